"""Match genes by name; report names without a match with the closest one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Protocol

import numpy as np
import pandas as pd

from stimpute._messages import name_list, warn

MIN_SHARED = 3
VERSION = re.compile(r"^(ens\w+\d)\.\d+$")  # ENSG00000141510.18
NO_LETTER = re.compile(r"[\W_]+")


def closest_names(name: str, available: Sequence[str], n: int = 3) -> list[str]:
    """Find the spellings that are closest to a name, ignoring case.

    Parameters
    ----------
    name
        The name that was not found.
    available
        Names that exist.
    n
        Maximum number of names to return.
    """
    by_lower: dict[str, str] = {}
    for other in available:
        by_lower.setdefault(other.lower(), other)
    return [by_lower[match] for match in get_close_matches(name.lower(), list(by_lower), n=n, cutoff=0.6)]


def _loose(name: str) -> str:
    """Reduce a name to what programs rarely change: no case, no spaces or punctuation, no version of Ensembl."""
    return NO_LETTER.sub("", VERSION.sub(r"\1", name.strip().lower()))


def _nearly_equal(names: pd.Index, available: pd.Index) -> list[str]:
    """List names that nearly are available ones, each with its counterpart: `"HLA.A for HLA-A"`."""
    by_loose = {_loose(name): name for name in available}
    by_loose.pop("", None)
    return [f"{name} for {by_loose[_loose(name)]}" for name in names if _loose(name) in by_loose]


def match_genes(spatial: pd.Index, reference: pd.Index) -> pd.Index:
    """Find the genes that both datasets name, in the order of the spatial data.

    Warns
    -----
    UserWarning
        If further names differ in case, spaces, punctuation or the version of an identifier only; they are not matched.

    Raises
    ------
    ValueError
        If fewer than three genes are shared.
    """
    shared = spatial[spatial.isin(reference)]
    near = _nearly_equal(spatial.difference(shared, sort=False), reference.difference(shared, sort=False))
    if len(shared) >= MIN_SHARED:
        if near:
            warn(
                f"{len(shared)} genes match by name; {len(near)} more differ in case, punctuation or version only and "
                f"are not used: {name_list(near)}. Bring both datasets to one spelling to use them.",
            )
        return shared
    if len(near) >= MIN_SHARED:
        hint = (
            f"They agree when case, punctuation and versions are ignored, {name_list(near, 2)}: bring both to one "
            "spelling."
        )
    else:
        hint = (
            "If one of them uses symbols and the other identifiers, name the column of `var` that holds the other "
            "kind: `StImputeModel.setup_anndata(adata, gene_symbols=...)`."
        )
    raise ValueError(
        f"Found {len(shared)} genes shared by the spatial data ({len(spatial)} genes, for example "
        f"{name_list(spatial)}) and the reference ({len(reference)} genes, for example {name_list(reference)}); at "
        f"least {MIN_SHARED} are needed. {hint}"
    )


class NamedSums(Protocol):
    """Anything that knows its genes and their sums."""

    @property
    def genes(self) -> pd.Index:
        """Names, shape (n_genes,)."""

    def gene_sums(self) -> np.ndarray:
        """Return the sum of every gene, shape (n_genes,)."""


def expressed_shared_genes(spatial: NamedSums, reference: NamedSums) -> pd.Index:
    """Find the genes that both datasets name and express, in the order of the spatial data.

    A shared gene that is zero everywhere in one of them carries no information: it is no input, but it can be imputed.

    Warns
    -----
    UserWarning
        If there are such genes.

    Raises
    ------
    ValueError
        If fewer than three genes are left.
    """
    shared = match_genes(spatial.genes, reference.genes)
    expressed = np.ones(len(shared), dtype=bool)
    for matrix in (spatial, reference):
        expressed &= matrix.gene_sums()[matrix.genes.get_indexer(shared)] > 0
    if not expressed.all():
        warn(
            f"{(~expressed).sum()} shared gene(s) are zero in every cell of one dataset and are not used as input: "
            f"{name_list(shared[~expressed])}.",
        )
    if expressed.sum() < MIN_SHARED:
        raise ValueError(
            f"{expressed.sum()} of {len(shared)} shared genes are expressed in both datasets; expected at least "
            f"{MIN_SHARED}. Check that both hold counts of these genes."
        )
    return shared[expressed]


def genes_in_totals(spatial: NamedSums, reference: NamedSums, shared: pd.Index) -> pd.Index:
    """Find the genes that a cell's total counts: shared genes, and those that the reference does not have.

    The others are predicted like unmeasured genes, so that no input may depend on them.
    """
    return spatial.genes[spatial.genes.isin(shared) | ~spatial.genes.isin(reference.genes)]


def locate_genes(requested: str | Iterable[str], available: pd.Index, where: str) -> np.ndarray:
    """Find the positions of the requested genes.

    Parameters
    ----------
    requested
        Gene names, in the order in which they are wanted.
    available
        Names that exist.
    where
        What `available` belongs to, for the message.

    Returns
    -------
    Integer positions, shape (n_requested,).

    Raises
    ------
    TypeError
        If the request is neither a name nor names, such as a mask or positions.
    ValueError
        If the request is empty or repeats a gene.
    KeyError
        If a gene does not exist; the message names its closest spellings.
    """
    if not isinstance(requested, Iterable):
        raise TypeError(f"`genes` is {requested!r}; expected a name or a list of names.")
    requested = [requested] if isinstance(requested, str) else list(requested)
    if wrong := [name for name in requested if not isinstance(name, str)]:
        raise TypeError(
            f"`genes` has {wrong[0]!r}; expected names, for example `list(adata.var_names[is_wanted])` for a mask."
        )
    names = pd.Index(requested, dtype=object)
    if names.empty:
        raise ValueError("`genes` is empty. Name at least one gene, or pass None for every unmeasured gene.")
    repeated = names[names.duplicated()].unique()
    if len(repeated):
        raise ValueError(f"`genes` repeats {name_list(repeated)}. Ask for each gene once.")
    positions = available.get_indexer(names)
    missing = names[positions < 0]
    if len(missing):
        raise KeyError(f"{len(missing)} gene(s) are not in {where}: {_with_suggestions(missing, available)}.")
    return positions


def check_genes_present(needed: Sequence[str], found: pd.Index) -> None:
    """Check that a section has every gene that a model reads, in any order.

    Raises
    ------
    ValueError
        If genes are missing.
    """
    missing = pd.Index(needed).difference(found)
    if len(missing):
        raise ValueError(
            f"The model reads {len(needed)} measured genes; {len(missing)} of them are not in this AnnData "
            f"({len(found)} genes): {name_list(missing)}. A model serves sections with the genes that it was trained "
            "on; train a new one with `StImputeModel(adata, reference)`."
        )


def _with_suggestions(missing: pd.Index, available: pd.Index, n_shown: int = 10) -> str:
    entries = []
    for name in missing[:n_shown]:
        close = closest_names(name, list(available))
        entries.append(f"{name!r} (did you mean {', '.join(close)}?)" if close else f"{name!r}")
    if len(missing) > n_shown:
        entries.append(f"and {len(missing) - n_shown} more")
    return ", ".join(entries)

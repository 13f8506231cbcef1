"""Genes are matched by name, and what does not match is said with its nearest spelling."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

import numpy as np
import pandas as pd

MIN_SHARED = 3


def nearest_names(name: str, available: Sequence[str], n: int = 3) -> list[str]:
    """Spellings in `available` that are closest to `name`, ignoring case.

    Parameters
    ----------
    name
        The name that was not found.
    available
        Names that exist.
    n
        How many to return at most.
    """
    by_lower: dict[str, str] = {}
    for other in available:
        by_lower.setdefault(other.lower(), other)
    return [by_lower[m] for m in get_close_matches(name.lower(), list(by_lower), n=n, cutoff=0.6)]


def check_unique(names: pd.Index, role: str) -> None:
    """Refuse duplicated names, of which nobody could say which column is meant.

    Raises
    ------
    ValueError
        If a name occurs more than once.
    """
    twice = names[names.duplicated()].unique()
    if len(twice):
        raise ValueError(
            f"The {role} has {len(twice)} duplicated gene name(s), among them {_listed(twice)}. Gene names must be "
            "unique: merge or drop the duplicates, or call `adata.var_names_make_unique()`."
        )


def shared_genes(spatial: pd.Index, reference: pd.Index) -> pd.Index:
    """Genes that both datasets name, in the order of the spatial panel.

    Raises
    ------
    ValueError
        If fewer than three genes are shared.
    """
    shared = spatial[spatial.isin(reference)]
    if len(shared) >= MIN_SHARED:
        return shared
    lowered = set(reference.str.lower())
    if sum(name.lower() in lowered for name in spatial) >= MIN_SHARED:
        hint = "They agree when case is ignored: bring both to one spelling."
    else:
        hint = (
            "If one of them uses symbols and the other identifiers, name the column of `var` that holds the other "
            "kind: `StImputeModel.setup_anndata(adata, gene_symbols=...)`."
        )
    raise ValueError(
        f"Found {len(shared)} genes shared by the spatial data ({len(spatial)} genes, for example {_listed(spatial)}) "
        f"and the reference ({len(reference)} genes, for example {_listed(reference)}); at least {MIN_SHARED} are "
        f"needed. {hint}"
    )


def locate_genes(requested: Iterable[str], available: pd.Index, where: str) -> np.ndarray:
    """Positions of the requested genes.

    Parameters
    ----------
    requested
        Gene names, in the order in which they are wanted.
    available
        Names that exist.
    where
        What `available` is, for the message.

    Returns
    -------
    Integer positions, shape (n_requested,).

    Raises
    ------
    ValueError
        If the request is empty or repeats a gene.
    KeyError
        If a gene does not exist; the message names its nearest spellings.
    """
    names = [requested] if isinstance(requested, str) else [str(name) for name in requested]
    if not names:
        raise ValueError("`genes` is empty. Name at least one gene, or pass None for every unmeasured gene.")
    if len(set(names)) < len(names):
        twice = pd.Index(names)
        raise ValueError(f"`genes` repeats {_listed(twice[twice.duplicated()].unique())}. Ask for each gene once.")
    positions = available.get_indexer(pd.Index(names))
    missing = [name for name, position in zip(names, positions, strict=True) if position < 0]
    if missing:
        raise KeyError(f"{len(missing)} gene(s) are not in {where}: {_with_suggestions(missing, available)}.")
    return positions


def _with_suggestions(missing: Sequence[str], available: pd.Index, n: int = 10) -> str:
    told = []
    for name in missing[:n]:
        near = nearest_names(name, list(available))
        told.append(f"{name!r}" + (f" (did you mean {', '.join(near)}?)" if near else ""))
    return ", ".join(told) + (f" and {len(missing) - n} more" if len(missing) > n else "")


def _listed(names: Iterable[str], n: int = 5) -> str:
    names = [str(name) for name in names]
    return ", ".join(names[:n]) + (", ..." if len(names) > n else "")

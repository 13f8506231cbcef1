"""Join several references to one AnnData, over the union of their genes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

import anndata as ad
import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from stimpute._arguments import check_arguments
from stimpute.data._annotations import in_memory, read_annotations
from stimpute.data._expression import ExpressionMatrix, expression_arguments, read_expression
from stimpute.data._relation_store import COEXPRESSION, StoredRelation, read_relation, relation_names, write_relation

DATASET_KEY = "dataset"

References = Mapping[str, AnnData] | Sequence[AnnData]


def is_several(references: object) -> TypeGuard[References]:
    """Tell whether references are given as a list or a dictionary."""
    return isinstance(references, (Mapping, list, tuple))


def name_references(references: References) -> dict[str, AnnData]:
    """Return references by name; those of a list are numbered from 1.

    Raises
    ------
    TypeError
        If one is not an AnnData.
    ValueError
        If there is none, or a name is empty or has a slash.
    """
    items = references.items() if isinstance(references, Mapping) else enumerate(references, 1)
    named = {str(name): adata for name, adata in items}
    if not named:
        raise ValueError("No reference was given. Pass at least one AnnData.")
    for name, adata in named.items():
        if not name.strip() or "/" in name:
            raise ValueError(
                f"A reference has the name {name!r}, which cannot be the name of a column in a file. Give it a name of "
                "at least one character and without slashes."
            )
        if not isinstance(adata, AnnData):
            raise TypeError(
                f"The reference {name!r} is a {type(adata).__name__}; expected an AnnData. Read files with "
                "`anndata.read_h5ad`."
            )
    return named


def join_references(references: References, setups: Mapping[str, Mapping[str, Any]] | None = None) -> AnnData:
    """Join several references to one, over the union of their genes.

    The first one is the main reference: statistics of genes, and relations between them, are taken from the first
    reference that has a gene. Each is normalized by its own totals. :class:`stimpute.StImputeModel` calls this function
    where it gets several references.

    Parameters
    ----------
    references
        References by name, or a list, which is numbered from 1; the most similar to the tissue first.
    setups
        Arguments of :meth:`stimpute.StImputeModel.setup_anndata` for some of them, by name. Values are counts of
        `X` by default.

    Returns
    -------
    All cells × the union of genes, to be set up with `dataset_key="dataset"`. `X` holds counts; if a reference is
    normalized, all are, and the setup needs `expression="normalized"`. A gene that a reference does not have is 0
    there. `obs["dataset"]` is the name of the reference. Gene relations are joined too.

    Raises
    ------
    TypeError
        If a reference is not an AnnData.
    KeyError
        If `setups` has a name that no reference has.
    ValueError
        If there is no reference, a name is empty or has a slash, or the values of one are not what they are declared to
        be.
    """
    check_arguments(join_references, locals())
    named = name_references(references)
    setups = dict(setups or {})
    unknown = sorted(set(setups) - set(named))
    if unknown:
        raise KeyError(f"`setups` has {unknown}; the references are {list(named)}.")
    matrices = {name: _read(adata, setups.get(name, {})) for name, adata in named.items()}
    are_counts = all(matrix.is_counts for matrix in matrices.values())
    cell_names = pd.Index(np.concatenate([adata.obs_names for adata in named.values()]))
    parts = []
    for name, adata in named.items():
        matrix = matrices[name]
        obs = in_memory(adata.obs).assign(**{DATASET_KEY: name})
        if not cell_names.is_unique:
            obs.index = obs.index + f"-{name}"
        values = matrix.values if are_counts else matrix.log_normalized()
        parts.append(AnnData(sparse.csr_matrix(values), obs=obs, var=in_memory(adata.var).set_axis(matrix.genes)))
    joined = ad.concat(parts, join="outer", merge="first", fill_value=0)
    joined.X = sparse.csr_matrix(joined.X)
    joined.obs[DATASET_KEY] = pd.Categorical(joined.obs[DATASET_KEY], categories=list(named))
    known = {name: read_annotations(adata) for name, adata in named.items()}
    for relation in sorted({relation for adata in known.values() for relation in relation_names(adata)}):
        if relation != COEXPRESSION:
            stored = [
                (read_relation(adata, relation), matrices[name].genes)
                for name, adata in known.items()
                if relation in relation_names(adata)
            ]
            write_relation(joined, _join_relation(stored, joined.var_names))
    return joined


def joined_setup(setups: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the arguments of `setup_anndata` for references that were joined with some setups."""
    kinds = {setup.get("expression") for setup in setups.values()}
    return {"expression": "normalized" if "normalized" in kinds else "counts", "dataset_key": DATASET_KEY}


def _read(adata: AnnData, setup: Mapping[str, Any]) -> ExpressionMatrix:
    return read_expression(adata, **expression_arguments(setup))


def _join_relation(parts: list[tuple[StoredRelation, pd.Index]], genes: pd.Index) -> StoredRelation:
    """Join a relation that several references have; each gene keeps the values of the first one that has any.

    Raises
    ------
    ValueError
        If it is not the same kind of relation everywhere, or its vectors differ in length.
    """
    first = parts[0][0]
    for stored, _ in parts:
        if stored.kind != first.kind or (first.kind == "vectors" and stored.values.shape[1] != first.values.shape[1]):
            raise ValueError(
                f"The references have different relations named {first.name!r}: {first.kind} and {stored.kind}, or "
                "vectors of different length. Make them again with the same function and file."
            )
    is_done = np.zeros(len(genes), dtype=bool)
    n_columns = len(genes) if first.kind == "edges" else first.values.shape[1]
    values = sparse.csr_matrix((len(genes), n_columns), dtype=np.float32)
    for stored, own_genes in parts:
        position = genes.get_indexer(own_genes)
        new = stored.has_values & ~is_done[position]
        place = sparse.csr_matrix((np.ones(new.sum()), (position[new], np.flatnonzero(new))), (len(genes), len(new)))
        rows = sparse.csr_matrix(stored.values)
        if first.kind == "edges":
            columns = sparse.csr_matrix((np.ones(len(new)), (np.arange(len(new)), position)), (len(new), len(genes)))
            rows = rows @ columns
        values = values + place @ rows
        is_done[position[new]] = True
    joined = values.toarray() if first.kind == "vectors" else values
    details = {**first.details, "coverage": float(is_done.mean())}
    return StoredRelation(first.name, first.kind, joined, is_done, details)

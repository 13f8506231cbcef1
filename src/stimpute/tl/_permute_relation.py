"""Permute the genes of a relation, so that it has the same numbers at the wrong genes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from anndata import AnnData
from scipy import sparse

from stimpute.data._coexpression import Coexpression
from stimpute.data._expression import read_expression
from stimpute.data._reference import ReferenceExpression
from stimpute.data._relation_store import COEXPRESSION, StoredRelation, read_relation, write_relation
from stimpute.model._setup import read_datasets
from stimpute.tl._folds import minimal_copy

PERMUTED_COEXPRESSION = "permuted_coexpression"


def permute_relation(
    reference: AnnData,
    relation: str,
    shared: np.ndarray,
    rng: np.random.Generator,
    setup: Mapping[str, Any],
    *,
    centered: bool,
) -> AnnData:
    """Copy a reference with the genes of one relation permuted.

    Parameters
    ----------
    reference
        From :func:`minimal_copy`; not changed.
    relation
        Name of the relation.
    shared
        Positions of the shared genes, shape (n_shared,).
    rng
        Random numbers.
    setup
        Arguments of `setup_anndata`.
    centered
        Whether the recipe centers expression profiles.
    """
    copy, _ = minimal_copy(reference, setup)
    if relation == COEXPRESSION:
        write_relation(copy, _permuted_coexpression(copy, shared, rng, setup, centered))
        return copy
    stored = read_relation(copy, relation)
    is_connected = stored.has_values
    if stored.kind == "edges":
        is_connected = np.asarray(stored.values.sum(0)).ravel() + np.asarray(stored.values.sum(1)).ravel() > 0
    order = np.arange(copy.n_vars)
    order[is_connected] = rng.permutation(order[is_connected])
    values = stored.values[order] if stored.kind == "vectors" else stored.values[order][:, order]
    permuted = StoredRelation(relation, stored.kind, values, stored.has_values[order], stored.details)
    write_relation(copy, permuted)
    return copy


def _permuted_coexpression(
    reference: AnnData, shared: np.ndarray, rng: np.random.Generator, setup: Mapping[str, Any], centered: bool
) -> StoredRelation:
    """Make a relation that holds, for the shared genes, the co-expression of randomly chosen genes that vary.

    A gene that does not vary is co-expressed with none, and would get back its true co-expression.
    """
    matrix = read_expression(reference, expression=setup.get("expression", "counts"))
    expression = ReferenceExpression(matrix, read_datasets(reference, setup.get("dataset_key"))[0])
    varying = rng.permutation(np.flatnonzero(expression.std > 0))
    other = np.resize(varying, len(shared))
    similarity = Coexpression(expression, other, centered).similarity(other)
    entries = sparse.coo_matrix(similarity)
    n_genes = reference.n_vars
    graph = sparse.csr_matrix((entries.data, (shared[entries.row], shared[entries.col])), shape=(n_genes, n_genes))
    has_edge = np.diff(graph.indptr) > 0
    return StoredRelation(PERMUTED_COEXPRESSION, "edges", graph, has_edge)

"""Compute how related two genes are: from expression, from vectors such as protein embeddings, or from edges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from anndata import AnnData
from scipy import sparse

from stimpute.data._coexpression import Coexpression
from stimpute.data._reference import ReferenceExpression
from stimpute.data._relation_store import COEXPRESSION, read_relation

MIN_WEIGHT = 1e-3  # of an edge in a row-normalized graph: every gene keeps some neighbors


class Relation(Protocol):
    """A similarity between any reference gene and the shared genes."""

    def similarity(self, targets: np.ndarray) -> np.ndarray:
        """Compute the similarity of target genes (positions) to the shared genes, shape (n_targets, n_shared)."""

    def digest_parts(self, order: np.ndarray) -> list[bytes]:
        """Return the data that the relation was made from, genes in the given order, for the fingerprint."""


@dataclass(frozen=True)
class Vectors:
    """Cosine of gene vectors (eq. 4), and co-expression where either gene has none (eq. 6).

    Attributes
    ----------
    vectors
        Shape (n_genes, n_dimensions).
    has_vector
        Whether a gene has a vector, shape (n_genes,).
    fallback
        Co-expression, for the other genes.
    centered
        Whether the mean vector is subtracted first. Embeddings of protein language models have a large common part;
        without it, the cosines between proteins differ.
    """

    vectors: np.ndarray
    has_vector: np.ndarray
    fallback: Coexpression
    centered: bool = True

    @cached_property
    def _mean(self) -> np.ndarray:
        if not self.centered or not self.has_vector.any():
            return np.zeros(self.vectors.shape[1], np.float32)
        # In double precision, so that the order of the genes does not change the sum.
        return self.vectors[self.has_vector].mean(0, dtype=np.float64).astype(np.float32)

    def _unit(self, genes: np.ndarray) -> np.ndarray:
        centered = self.vectors[genes] - self._mean
        return centered / np.maximum(np.linalg.norm(centered, axis=1, keepdims=True), 1e-12)

    @cached_property
    def _shared_unit(self) -> np.ndarray:
        return self._unit(self.fallback.shared)

    def similarity(self, targets: np.ndarray) -> np.ndarray:
        """See :class:`Relation`."""
        shared = self.fallback.shared
        both = self.has_vector[targets][:, None] & self.has_vector[shared][None]
        cosine = self._unit(targets) @ self._shared_unit.T
        if not both.all():
            cosine = np.where(both, cosine, self.fallback.similarity(targets))
        return cosine.astype(np.float32)

    def digest_parts(self, order: np.ndarray) -> list[bytes]:
        """See :class:`Relation`."""
        return [self.has_vector[order].tobytes(), self.vectors[order].astype(np.float32).tobytes()]


@dataclass(frozen=True)
class Edges:
    """Edge weights that a user gave, and co-expression for a gene without any edge to a shared gene.

    Attributes
    ----------
    graph
        Sparse weights, shape (n_genes, n_genes); the gene of a row receives messages from the genes of the columns.
    fallback
        Co-expression, for genes without edges.
    """

    graph: sparse.csr_matrix
    fallback: Coexpression

    def similarity(self, targets: np.ndarray) -> np.ndarray:
        """See :class:`Relation`."""
        weights = self.graph[targets][:, self.fallback.shared].toarray()
        has_edge = (weights > 0).any(1, keepdims=True)
        return np.where(has_edge, weights, self.fallback.similarity(targets)).astype(np.float32)

    def digest_parts(self, order: np.ndarray) -> list[bytes]:
        """See :class:`Relation`."""
        edges = self.graph[order][:, order].tocsr()
        edges.sort_indices()
        return [
            edges.indptr.astype(np.int64).tobytes(),
            edges.indices.astype(np.int64).tobytes(),
            edges.data.astype(np.float32).tobytes(),
        ]


def row_normalized(similarity: np.ndarray, position: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    """Turn similarities into edge weights from the input genes to target genes.

    Edges start at input genes only. Nothing is aggregated from a held-out gene, and the edges of a target do not
    depend on which other targets are asked for.

    Parameters
    ----------
    similarity
        Shape (n_targets, n_shared).
    position
        Position of each target among the shared genes, -1 outside, shape (n_targets,). A gene has no edge to itself.
    inputs
        Positions of the input genes among the shared genes, shape (n_inputs,).

    Returns
    -------
    float32, shape (n_targets, n_inputs); rows sum to 1.
    """
    weights = np.maximum(similarity[:, inputs], MIN_WEIGHT)
    weights[position[:, None] == inputs[None]] = 0
    return (weights / np.maximum(weights.sum(1, keepdims=True), 1e-12)).astype(np.float32)


def load_relations(
    adata: AnnData,
    expression: ReferenceExpression,
    shared: np.ndarray,
    names: Sequence[str],
    *,
    centered: bool = True,
    n_components: int | None = None,
) -> dict[str, Relation]:
    """Load relations of a reference AnnData by name, as copies: what is changed there later has no effect.

    Parameters
    ----------
    adata
        The reference, with the relations that :mod:`stimpute.pp` stored.
    expression
        Its expression.
    shared
        Positions of the shared genes in the reference.
    names
        Names of the relations; `"coexpression"` is computed from the expression.
    centered
        See :class:`Vectors` and :class:`Coexpression`.
    n_components
        See :class:`Coexpression`.

    Raises
    ------
    KeyError
        If the reference has no relation of that name.
    """
    coexpression = Coexpression(expression, shared, centered, n_components)
    relations: dict[str, Relation] = {}
    for name in names:
        if name == COEXPRESSION:
            relations[name] = coexpression
            continue
        stored = read_relation(adata, name)
        if stored.kind == "vectors":
            relations[name] = Vectors(stored.values.copy(), stored.has_values.copy(), coexpression, centered)
        else:
            graph = stored.values / max(1, stored.values.max())  # on the scale of correlations, which stand beside them
            relations[name] = Edges(sparse.csr_matrix(graph), coexpression)
    return relations

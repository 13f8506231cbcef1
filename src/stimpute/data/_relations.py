"""Compute how related two genes are: from expression, from vectors such as protein embeddings, or from edges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from anndata import AnnData
from scipy import sparse

from stimpute.data._reference import ReferenceDataset, ReferenceExpression
from stimpute.data._relation_store import COEXPRESSION, read_relation

MIN_WEIGHT = 1e-3  # of an edge in a row-normalized graph: every gene keeps some neighbors


class Relation(Protocol):
    """A similarity between any reference gene and the shared genes."""

    def similarity(self, targets: np.ndarray) -> np.ndarray:
        """Compute the similarity of target genes (positions) to the shared genes, shape (n_targets, n_shared)."""

    def digest_parts(self, order: np.ndarray) -> list[bytes]:
        """Return the data that the relation was made from, genes in the given order, for the fingerprint."""


@dataclass(frozen=True)
class _DatasetCoexpression:
    """Co-expression in one dataset."""

    dataset: ReferenceDataset
    shared: np.ndarray
    centered: bool

    @cached_property
    def _shared_profiles(self) -> np.ndarray:
        """Unit-length expression profiles of the shared genes, shape (n_cells, n_shared)."""
        profiles = self.dataset.dense(self.shared).astype(np.float64)
        if self.centered:
            profiles -= profiles.mean(0)
        norm = np.linalg.norm(profiles, axis=0)
        return (profiles / np.maximum(norm, 1e-12)).astype(np.float32)

    def similarity(self, targets: np.ndarray) -> np.ndarray:
        """Compute the similarity of target genes to the shared genes, shape (n_targets, n_shared)."""
        # The shared profiles are centered, so that centering the targets would not change the product.
        squares = self.dataset.std[targets] ** 2
        if not self.centered:
            squares = squares + self.dataset.mean[targets] ** 2
        norm = np.sqrt(self.dataset.n_cells * squares)
        product = self.dataset.by_gene[targets] @ self._shared_profiles
        return (product / np.maximum(norm, 1e-6)[:, None]).astype(np.float32)


@dataclass(frozen=True)
class Coexpression:
    """Cosine of expression over the reference cells (eq. 5); with centering, the Pearson correlation.

    It is computed in each dataset of the reference; every value is from the first dataset that has both genes.

    Attributes
    ----------
    expression
        Reference expression.
    shared
        Positions of the shared genes in the reference, shape (n_shared,).
    centered
        Whether profiles are centered first.
    """

    expression: ReferenceExpression
    shared: np.ndarray
    centered: bool = True

    def similarity(self, targets: np.ndarray) -> np.ndarray:
        """See :class:`Relation`; a gene that is constant in the reference is similar to none."""
        return self.expression.from_first_with_both(
            lambda index: self._by_dataset[index].similarity(targets), targets, self.shared
        )

    @cached_property
    def _by_dataset(self) -> list[_DatasetCoexpression]:
        return [_DatasetCoexpression(dataset, self.shared, self.centered) for dataset in self.expression.datasets]

    def digest_parts(self, order: np.ndarray) -> list[bytes]:
        """See :class:`Relation`; there is nothing but the expression."""
        return []


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

    def similarity(self, targets: np.ndarray) -> np.ndarray:
        """See :class:`Relation`."""
        shared = self.fallback.shared
        both = self.has_vector[targets][:, None] & self.has_vector[shared][None]
        cosine = self._unit(targets) @ self._unit(shared).T
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
    adata: AnnData, expression: ReferenceExpression, shared: np.ndarray, names: Sequence[str], *, centered: bool = True
) -> dict[str, Relation]:
    """Load relations of a reference AnnData by name.

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

    Raises
    ------
    KeyError
        If the reference has no relation of that name.
    """
    coexpression = Coexpression(expression, shared, centered)
    relations: dict[str, Relation] = {}
    for name in names:
        if name == COEXPRESSION:
            relations[name] = coexpression
            continue
        stored = read_relation(adata, name)
        if stored.kind == "vectors":
            relations[name] = Vectors(stored.values, stored.has_values, coexpression, centered)
        else:
            relations[name] = Edges(stored.values, coexpression)
    return relations

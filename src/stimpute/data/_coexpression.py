"""Compute the co-expression of genes in the reference."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from stimpute.data._reference import ReferenceDataset, ReferenceExpression

BLOCK_SIZE = 2**24  # expression values that are dense at once
N_ITERATIONS = 2  # of the search for principal components


@dataclass(frozen=True)
class Coexpression:
    """Cosine of expression over the reference cells (eq. 5); with centering, the Pearson correlation.

    It is computed in each dataset of the reference; every value is from the first dataset that has both genes. Of many
    shared genes, it is computed in the leading principal components of their expression. No array then has the size
    cells × shared genes, and the cost of a target gene grows with the number of cells that express it alone.

    Attributes
    ----------
    expression
        Reference expression.
    shared
        Positions of the shared genes in the reference, shape (n_shared,).
    centered
        Whether profiles are centered first.
    n_components
        Number of principal components of the shared genes in which it is computed; None for the exact value.
    """

    expression: ReferenceExpression
    shared: np.ndarray
    centered: bool = True
    n_components: int | None = None

    @cached_property
    def by_dataset(self) -> list[DatasetCoexpression]:
        """Co-expression in each dataset."""
        return [
            DatasetCoexpression(dataset, self.shared, self.centered, self.n_components)
            for dataset in self.expression.datasets
        ]

    @property
    def loadings(self) -> np.ndarray:
        """Coordinates of the shared genes in the components of the first dataset, shape (n_shared, n_components)."""
        return self.by_dataset[0].loadings

    def similarity(self, targets: np.ndarray) -> np.ndarray:
        """See :class:`~stimpute.data._relations.Relation`; a gene that is constant is similar to none."""
        position = pd.Index(self.shared).get_indexer(targets)
        if self.n_components is None and (position >= 0).all():
            return self._of_shared[position]
        return self._compute(targets)

    @cached_property
    def _of_shared(self) -> np.ndarray:
        """Similarity of the shared genes, which is asked for several times, shape (n_shared, n_shared)."""
        return self._compute(self.shared)

    def _compute(self, targets: np.ndarray) -> np.ndarray:
        return self.expression.from_first_with_both(
            lambda index: self.by_dataset[index].similarity(targets), targets, self.shared
        )

    def digest_parts(self, order: np.ndarray) -> list[bytes]:
        """See :class:`~stimpute.data._relations.Relation`; there is nothing but the expression."""
        return []


@dataclass(frozen=True)
class DatasetCoexpression:
    """Co-expression in one dataset of the reference.

    Attributes
    ----------
    dataset
        The dataset.
    shared, centered, n_components
        See :class:`Coexpression`.
    """

    dataset: ReferenceDataset
    shared: np.ndarray
    centered: bool
    n_components: int | None

    @cached_property
    def _shared_profiles(self) -> np.ndarray:
        """Unit-length expression profiles of the shared genes, shape (n_cells, n_shared)."""
        profiles = self.dataset.dense(self.shared).astype(np.float64)
        if self.centered:
            profiles -= profiles.mean(0)
        norm = np.where(self._mean_squares(self.shared) > 0, np.linalg.norm(profiles, axis=0), np.inf)
        return (profiles / np.maximum(norm, 1e-12)).astype(np.float32)

    @cached_property
    def _components(self) -> np.ndarray:
        """Orthonormal principal components of the shared genes, shape (n_cells, n_components).

        By subspace iteration: the unit profiles are multiplied block by block, and are never all dense.
        """
        n_cells = self.dataset.n_cells
        n_components = min(self.n_components or n_cells, n_cells, len(self.shared))
        components = np.random.default_rng(0).standard_normal((n_cells, n_components), dtype=np.float32)
        for _ in range(N_ITERATIONS):
            product = np.zeros_like(components)
            for block in self._unit_profiles():
                product += block.T @ (block @ components)
            components, _ = np.linalg.qr(product)
        return components

    @cached_property
    def loadings(self) -> np.ndarray:
        r"""Coordinates of the shared genes in the components, shape (n_shared, n_components).

        Their product :math:`L L^\top` approximates the similarity of the shared genes.
        """
        return np.concatenate([block @ self._components for block in self._unit_profiles()])

    def _mean_squares(self, genes: np.ndarray) -> np.ndarray:
        """Compute the mean squares of profiles, after centering if they are centered, shape (n_genes,)."""
        squares = self.dataset.std[genes] ** 2
        if not self.centered:
            squares = squares + self.dataset.mean[genes] ** 2
        return squares

    def _norms(self, genes: np.ndarray) -> np.ndarray:
        """Compute the lengths of profiles, infinite where a profile is zero, shape (n_genes,)."""
        squares = self._mean_squares(genes)
        norms = np.maximum(np.sqrt(self.dataset.n_cells * squares), 1e-6)
        return np.where(squares > 0, norms, np.inf)

    def _unit_profiles(self) -> Iterator[np.ndarray]:
        """Yield unit-length profiles of the shared genes in blocks, shape (n_in_block, n_cells)."""
        size = max(1, BLOCK_SIZE // self.dataset.n_cells)
        for start in range(0, len(self.shared), size):
            genes = self.shared[start : start + size]
            block = self.dataset.by_gene[genes].toarray()
            if self.centered:
                block -= self.dataset.mean[genes].astype(np.float32)[:, None]
            block /= self._norms(genes).astype(np.float32)[:, None]
            yield block

    def similarity(self, targets: np.ndarray) -> np.ndarray:
        """Compute the similarity of target genes to the shared genes, shape (n_targets, n_shared)."""
        # The shared profiles are centered, so that centering the targets would not change the products.
        norms = self._norms(targets)[:, None]
        if self.n_components is None:
            return (self.dataset.by_gene[targets] @ self._shared_profiles / norms).astype(np.float32)
        position = pd.Index(self.shared).get_indexer(targets)
        if (position >= 0).all():
            return self.loadings[position] @ self.loadings.T
        coordinates = self.dataset.by_gene[targets] @ self._components / norms
        return (coordinates @ self.loadings.T).astype(np.float32)

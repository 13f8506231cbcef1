"""Group reference cells into metacells, and describe genes by their expression in them."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from scipy import sparse
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import PCA

from stimpute.data._normalize import EPSILON, standardize
from stimpute.data._reference import Reference, ReferenceExpression

N_COMPONENTS = 30  # principal components that cells are clustered on


class Metacells:
    """Mean expression of genes in groups of reference cells.

    Parameters
    ----------
    reference
        The reference.
    metacell
        Metacell of every reference cell, shape (n_cells,), from :func:`find_metacells`.
    """

    def __init__(self, reference: Reference, metacell: np.ndarray) -> None:
        self.expression = reference.expression
        self.shared = reference.shared
        ones = np.ones(len(metacell), np.float32)
        members = sparse.csr_matrix((ones, (np.arange(len(metacell)), metacell)))
        sizes = np.asarray(members.sum(0)).ravel()
        self._average = members @ sparse.diags((1 / sizes).astype(np.float32))

    @cached_property
    def shared_profiles(self) -> np.ndarray:
        """Profiles of the shared genes, shape (n_metacells, n_shared)."""
        return self.profiles(self.shared)

    def profiles(self, genes: np.ndarray) -> np.ndarray:
        """Compute the mean of genes in every metacell, standardized over cells, shape (n_metacells, n_genes)."""
        mean = (self.expression.by_gene[genes] @ self._average).toarray().T
        return standardize(mean, self.expression.mean[genes], self.expression.std[genes])

    def cell_weights(self, weights: np.ndarray) -> np.ndarray:
        """Spread weights of the metacells evenly over their cells, shape (n_cells,); uniform if all are 0."""
        if not weights.any():
            return np.full(self.expression.n_cells, 1 / self.expression.n_cells)
        by_cell = self._average @ weights
        return by_cell / by_cell.sum()

    @cached_property
    def _unit_shared_profiles(self) -> np.ndarray:
        return _centered_unit_columns(self.shared_profiles)

    def correlation(self, genes: np.ndarray) -> np.ndarray:
        """Correlate genes with the shared genes over metacells, shape (n_genes, n_shared)."""
        return _centered_unit_columns(self.profiles(genes)).T @ self._unit_shared_profiles


def standardized_shared(reference: Reference) -> np.ndarray:
    """Standardize the shared genes of every reference cell, shape (n_cells, n_shared)."""
    expression = reference.expression
    shared = reference.shared
    return standardize(expression.dense(shared), expression.mean[shared], expression.std[shared])


def find_metacells(reference: Reference, n: int, seed: int) -> np.ndarray:
    """Group reference cells that are alike in the shared genes.

    Parameters
    ----------
    reference
        The reference.
    n
        Number of metacells; every cell is its own metacell where there are fewer cells.
    seed
        Seed of the clustering.

    Returns
    -------
    Metacell of every cell, numbered without gaps, shape (n_cells,).
    """
    n_cells = reference.expression.n_cells
    if n_cells <= n:
        return np.arange(n_cells)
    x = standardized_shared(reference)
    if x.shape[1] > N_COMPONENTS:
        x = PCA(N_COMPONENTS, random_state=seed).fit_transform(x)
    clustering = MiniBatchKMeans(n, n_init=1, batch_size=1024, max_iter=20, random_state=seed)
    _, metacell = np.unique(clustering.fit_predict(x), return_inverse=True)
    return metacell


def gene_statistics(expression: ReferenceExpression, genes: np.ndarray) -> np.ndarray:
    """Return mean, standard deviation and detection rate of genes in the reference, shape (n_genes, 3)."""
    return np.column_stack([expression.mean[genes], expression.std[genes], expression.detection_rate[genes]])


def weighted_gene_statistics(expression: ReferenceExpression, genes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Compute the same statistics over weighted cells, shape (n_genes, 3).

    Parameters
    ----------
    expression
        The reference.
    genes
        Positions of the genes, shape (n_genes,).
    weights
        One for each cell, with the sum 1, shape (n_cells,).
    """
    rows = expression.by_gene[genes].astype(np.float64)
    mean = rows @ weights
    detected = rows.copy()
    detected.data = (rows.data > 0).astype(np.float64)
    rows.data **= 2
    std = np.sqrt(np.maximum(rows @ weights - mean**2, 0))
    return np.column_stack([mean, std, detected @ weights])


def _centered_unit_columns(x: np.ndarray) -> np.ndarray:
    x = x - x.mean(0)
    return x / np.maximum(np.linalg.norm(x, axis=0), EPSILON)

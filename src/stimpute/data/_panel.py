"""What a recipe needs of the reference around its panel, computed once."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from scipy import sparse
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import PCA

from stimpute.data._normalize import EPSILON, standardise
from stimpute.data._reference import ReferenceBank

N_COMPONENTS = 30


class ReferencePanel:
    """The panel's genes in the reference: standardised cells, metacells and gene correlations.

    Parameters
    ----------
    bank
        The reference.
    panel
        Positions of the panel's genes, shape (n_panel,).
    metacell
        Metacell of every reference cell, shape (n_cells,), from :func:`find_metacells`.
    """

    def __init__(self, bank: ReferenceBank, panel: np.ndarray, metacell: np.ndarray) -> None:
        self.bank, self.panel = bank, panel
        ones = np.ones(len(metacell), np.float32)
        members = sparse.csr_matrix((ones, (np.arange(len(metacell)), metacell)))
        self._average = members @ sparse.diags((1 / np.asarray(members.sum(0)).ravel()).astype(np.float32))

    @cached_property
    def cells(self) -> np.ndarray:
        """Standardised panel of every reference cell, shape (n_cells, n_panel)."""
        return standardise(self.bank.dense(self.panel), self.bank.mean[self.panel], self.bank.std[self.panel])

    @cached_property
    def profiles(self) -> np.ndarray:
        """Standardised panel of every metacell, shape (n_metacells, n_panel)."""
        return self.metacell_profiles(self.panel)

    def metacell_profiles(self, genes: np.ndarray) -> np.ndarray:
        """Mean of genes in every metacell, standardised over cells, shape (n_metacells, n_genes)."""
        mean = (self.bank.by_gene[genes] @ self._average).toarray().T
        return standardise(mean, self.bank.mean[genes], self.bank.std[genes])

    @cached_property
    def _unit_profiles(self) -> np.ndarray:
        return _unit(self.profiles)

    def metacell_correlation(self, genes: np.ndarray) -> np.ndarray:
        """Correlation of genes with the panel over metacells, shape (n_genes, n_panel)."""
        return _unit(self.metacell_profiles(genes)).T @ self._unit_profiles


def _unit(x: np.ndarray) -> np.ndarray:
    x = x - x.mean(0)
    return x / np.maximum(np.linalg.norm(x, axis=0), EPSILON)


def find_metacells(bank: ReferenceBank, panel: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Group reference cells that are alike over the panel.

    Parameters
    ----------
    bank, panel
        See :class:`ReferencePanel`.
    n
        Metacells wanted; every cell is its own where there are fewer.
    seed
        Seed of the clustering.

    Returns
    -------
    Metacell of every cell, numbered without gaps, shape (n_cells,).
    """
    if bank.n_cells <= n:
        return np.arange(bank.n_cells)
    x = standardise(bank.dense(panel), bank.mean[panel], bank.std[panel])
    if len(panel) > N_COMPONENTS:
        x = PCA(N_COMPONENTS, random_state=seed).fit_transform(x)
    labels = MiniBatchKMeans(n, n_init=1, batch_size=1024, max_iter=20, random_state=seed).fit_predict(x)
    return np.unique(labels, return_inverse=True)[1]

"""Group reference cells into metacells, and describe genes by their expression in them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
from scipy import sparse
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import PCA

from stimpute.data._normalize import EPSILON, standardize
from stimpute.data._reference import Reference, ReferenceDataset, ReferenceExpression

STATISTICS = ("mean", "std", "detection_rate")  # of genes
CELLS_PER_BLOCK = 1024
MAX_GENES = 2000  # shared genes that cells are clustered on, the most variable ones
N_COMPONENTS = 30  # principal components that cells are clustered on


class DatasetMetacells:
    """Mean expression of genes in groups of cells of one dataset.

    Parameters
    ----------
    dataset
        The dataset.
    shared
        Positions of the shared genes.
    metacell
        Metacell of every cell, numbered without gaps, shape (n_cells,).
    """

    def __init__(self, dataset: ReferenceDataset, shared: np.ndarray, metacell: np.ndarray) -> None:
        self.dataset = dataset
        self.shared = shared
        self.metacell = metacell
        sizes = np.bincount(metacell)
        self._n_metacells = len(sizes)
        self._share = (1 / sizes).astype(np.float32)[metacell]  # of each cell in its metacell

    def __len__(self) -> int:
        return self._n_metacells

    @cached_property
    def shared_profiles(self) -> np.ndarray:
        """Profiles of the shared genes, shape (n_metacells, n_shared)."""
        return self.profiles(self.shared)

    def profiles(self, genes: np.ndarray) -> np.ndarray:
        """Compute the mean of genes in every metacell, standardized over cells, shape (n_metacells, n_genes)."""
        rows = self.dataset.by_gene[genes]
        values = rows.data * self._share[rows.indices]
        # The cells of a metacell become one column, in which a gene occurs several times: values are added up.
        shape = (len(genes), len(self))
        mean = sparse.csr_matrix((values, self.metacell[rows.indices], rows.indptr), shape=shape).toarray().T
        return standardize(mean, self.dataset.mean[genes], self.dataset.std[genes])

    def cell_weights(self, weights: np.ndarray) -> np.ndarray:
        """Spread weights of the metacells evenly over their cells, shape (n_cells,); uniform if all are 0."""
        if not weights.any():
            return np.full(self.dataset.n_cells, 1 / self.dataset.n_cells)
        by_cell = self._share * weights[self.metacell]
        return by_cell / by_cell.sum()

    @cached_property
    def _unit_shared_profiles(self) -> np.ndarray:
        return _centered_unit_columns(self.shared_profiles)

    def correlation(self, genes: np.ndarray) -> np.ndarray:
        """Correlate genes with the shared genes over metacells, shape (n_genes, n_shared)."""
        return _centered_unit_columns(self.profiles(genes)).T @ self._unit_shared_profiles


class Metacells:
    """Metacells of all datasets of the reference, one dataset after the other.

    Parameters
    ----------
    reference
        The reference.
    metacell
        Metacell of every reference cell, shape (n_cells,), from :func:`find_metacells`.
    """

    def __init__(self, reference: Reference, metacell: np.ndarray) -> None:
        self.expression = reference.expression
        self.by_dataset = []
        for dataset, rows in zip(self.expression.datasets, self.expression.rows, strict=True):
            _, own = np.unique(metacell[rows], return_inverse=True)
            self.by_dataset.append(DatasetMetacells(dataset, reference.shared, own))

    @cached_property
    def dataset(self) -> np.ndarray:
        """Return the dataset of every metacell, shape (n_metacells,)."""
        return np.repeat(np.arange(len(self.by_dataset)), [len(part) for part in self.by_dataset])

    @cached_property
    def shared_profiles(self) -> np.ndarray:
        """Profiles of the shared genes, shape (n_metacells, n_shared)."""
        return np.concatenate([part.shared_profiles for part in self.by_dataset])

    def profiles(self, genes: np.ndarray) -> np.ndarray:
        """Compute the mean of genes in every metacell, standardized within its dataset, shape (n_metacells, n_genes).

        A gene that a dataset does not have is 0 there, its mean.
        """
        return np.concatenate([part.profiles(genes) for part in self.by_dataset])

    def correlations(self, genes: np.ndarray, is_used: np.ndarray | None = None) -> list[np.ndarray]:
        """Correlate genes with the shared genes over the metacells of each dataset, shape (n_genes, n_shared) each.

        Where a dataset does not have both genes, or is not to be used, the first one that has them stands in.

        Parameters
        ----------
        genes
            Positions of the genes, shape (n_genes,).
        is_used
            Whether each dataset is used, shape (n_datasets,), all if None; the first one always is.
        """
        by_dataset = [part.correlation(genes) for part in self.by_dataset]
        shared = self.by_dataset[0].shared
        result = [self.expression.from_first_with_both(by_dataset.__getitem__, genes, shared)]
        for index in range(1, len(by_dataset)):
            known = self.expression.has_both(index, genes, shared)
            if is_used is not None:
                known &= is_used[index]
            result.append(np.where(known, by_dataset[index], result[0]))
        return result

    def weighted_statistics(self, genes: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Compute :func:`gene_statistics` over cells that are weighted by their metacell, shape (n_genes, 3).

        Like these they are of the first dataset that has a gene, on the scale of the very first one.

        Parameters
        ----------
        genes
            Positions of the genes, shape (n_genes,).
        weights
            Weight of each metacell, shape (n_metacells,).
        """
        result = np.empty((len(genes), 3))
        for index, part in enumerate(self.by_dataset):
            chosen = self.expression.first_dataset[genes] == index
            cell_weights = part.cell_weights(weights[self.dataset == index])
            found = weighted_gene_statistics(part.dataset, genes[chosen], cell_weights)
            for column, statistic in enumerate(STATISTICS):
                result[chosen, column] = self.expression.on_first_scale(index, statistic, found[:, column])
        return result


def standardized_genes(dataset: ReferenceDataset, genes: np.ndarray) -> np.ndarray:
    """Standardize some genes of every cell of a dataset, shape (n_cells, n_chosen)."""
    return standardize(dataset.dense(genes), dataset.mean[genes], dataset.std[genes])


def standardized_blocks(dataset: ReferenceDataset, genes: np.ndarray) -> Iterator[np.ndarray]:
    """Yield some standardized genes in blocks of cells, shape (n_in_block, n_chosen)."""
    by_cell = dataset.by_gene[genes].T.tocsr()
    for start in range(0, dataset.n_cells, CELLS_PER_BLOCK):
        block = by_cell[start : start + CELLS_PER_BLOCK].toarray()
        yield standardize(block, dataset.mean[genes], dataset.std[genes])


def find_metacells(reference: Reference, n: int, seed: int) -> np.ndarray:
    """Group reference cells of one dataset that are alike in the shared genes.

    Parameters
    ----------
    reference
        The reference.
    n
        Number of metacells of a dataset; every cell is its own metacell where there are fewer cells.
    seed
        Seed of the clustering.

    Returns
    -------
    Metacell of every cell, numbered without gaps from dataset to dataset, shape (n_cells,).
    """
    by_dataset = []
    n_found = 0
    for dataset in reference.expression.datasets:
        metacell = n_found + _cluster(dataset, reference.shared, n, seed)
        n_found = metacell.max() + 1
        by_dataset.append(metacell)
    return reference.expression.in_order(by_dataset)


def _cluster(dataset: ReferenceDataset, shared: np.ndarray, n: int, seed: int) -> np.ndarray:
    if dataset.n_cells <= n:
        return np.arange(dataset.n_cells)
    genes = shared
    if len(genes) > MAX_GENES:
        most_variable = np.argsort(dataset.std[genes], kind="stable")[-MAX_GENES:]
        genes = genes[np.sort(most_variable)]
    x = standardized_genes(dataset, genes)
    if x.shape[1] > N_COMPONENTS:
        x = PCA(min(N_COMPONENTS, *x.shape), random_state=seed).fit_transform(x)
    clustering = MiniBatchKMeans(n, n_init=1, batch_size=1024, max_iter=20, random_state=seed)
    _, metacell = np.unique(clustering.fit_predict(x), return_inverse=True)
    return metacell


def gene_statistics(expression: ReferenceExpression, genes: np.ndarray) -> np.ndarray:
    """Return mean, standard deviation and detection rate of genes in the reference, shape (n_genes, 3)."""
    return np.column_stack([getattr(expression, statistic)[genes] for statistic in STATISTICS])


def weighted_gene_statistics(dataset: ReferenceDataset, genes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Compute the same statistics over weighted cells, shape (n_genes, 3).

    Parameters
    ----------
    dataset
        The dataset.
    genes
        Positions of the genes, shape (n_genes,).
    weights
        One for each cell, with the sum 1, shape (n_cells,).
    """
    rows = dataset.by_gene[genes].astype(np.float64)
    mean = rows @ weights
    detected = rows.copy()
    detected.data = (rows.data > 0).astype(np.float64)
    rows.data **= 2
    std = np.sqrt(np.maximum(rows @ weights - mean**2, 0))
    return np.column_stack([mean, std, detected @ weights])


def _centered_unit_columns(x: np.ndarray) -> np.ndarray:
    x = x - x.mean(0)
    return x / np.maximum(np.linalg.norm(x, axis=0), EPSILON)

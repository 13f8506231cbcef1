"""Hold the reference: sparse log-normalized expression, the shared genes, and relations between genes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

from stimpute.data._expression import ExpressionMatrix
from stimpute.data._normalize import cell_totals, log_normalize_columns, median_total

if TYPE_CHECKING:
    from stimpute.data._relations import Relation


FAR = 1e6  # times the largest value of a statistic
GENES_PER_BLOCK = 1024  # whose values are converted at once, so that no second copy of the expression is made


class ReferenceDataset:
    """Log-normalized expression of one dataset of the reference, stored gene by gene.

    Totals are over the whole transcriptome, since none of it is held out.

    Parameters
    ----------
    matrix
        Counts or normalized values with gene names.
    """

    def __init__(self, matrix: ExpressionMatrix) -> None:
        totals = cell_totals(matrix.values) if matrix.is_counts else None
        self.target_sum = 1.0 if totals is None else median_total(totals)
        # genes × cells, a copy: rows of genes are read by chunks
        self.by_gene = matrix.values.T.tocsr().astype(np.float32, copy=False)
        self.by_gene.sum_duplicates()
        if totals is not None:
            log_normalize_columns(self.by_gene, totals, self.target_sum)

    @property
    def n_cells(self) -> int:
        """Return the number of cells."""
        return self.by_gene.shape[1]

    @cached_property
    def mean(self) -> np.ndarray:
        """Compute the mean of every gene, float64, shape (n_genes,)."""
        return self._row_means(lambda block: block.astype(np.float64))

    @cached_property
    def std(self) -> np.ndarray:
        """Compute the standard deviation of every gene, exactly 0 for a constant one, float64, shape (n_genes,)."""
        mean_square = self._row_means(lambda block: block.astype(np.float64).power(2))
        return np.where(self._is_constant, 0, np.sqrt(np.maximum(mean_square - self.mean**2, 0)))

    def _row_means(self, convert: Callable[[sparse.csr_matrix], sparse.csr_matrix]) -> np.ndarray:
        """Average converted values of every gene, float64, shape (n_genes,)."""
        means = np.empty(self.by_gene.shape[0])
        for start in range(0, len(means), GENES_PER_BLOCK):
            block = convert(self.by_gene[start : start + GENES_PER_BLOCK])
            means[start : start + GENES_PER_BLOCK] = np.asarray(block.mean(1)).ravel()
        return means

    @property
    def _is_constant(self) -> np.ndarray:
        """Whether a gene has one value in all cells: the rounding of sums would give it a small variance."""
        return self.by_gene.max(axis=1).toarray().ravel() == self.by_gene.min(axis=1).toarray().ravel()

    @cached_property
    def detection_rate(self) -> np.ndarray:
        """Compute the share of cells that express a gene, shape (n_genes,)."""
        starts = self.by_gene.indptr
        gene_of_zero = np.searchsorted(starts, np.flatnonzero(self.by_gene.data == 0), side="right") - 1
        n_explicit_zeros = np.bincount(gene_of_zero, minlength=len(starts) - 1)
        return (np.diff(starts) - n_explicit_zeros) / self.n_cells

    def dense(self, genes: np.ndarray) -> np.ndarray:
        """Return the expression of some genes in every cell, float32, shape (n_cells, n_chosen)."""
        return np.ascontiguousarray(self.by_gene[genes].toarray().T)


class ReferenceExpression:
    """Log-normalized expression of all datasets of the reference, over the union of their genes.

    A dataset has the genes that any of its cells expresses. Each is normalized by its own totals. What is known of a
    gene as a whole is taken from the first dataset that has it, on the scale of the very first one.

    Parameters
    ----------
    matrix
        Counts or normalized values with gene names.
    dataset
        Dataset of every cell, numbered in the order of their importance, shape (n_cells,); one dataset if None.
    """

    def __init__(self, matrix: ExpressionMatrix, dataset: np.ndarray | None = None) -> None:
        self.genes = matrix.genes
        self.n_cells = matrix.values.shape[0]
        if dataset is None:
            dataset = np.zeros(self.n_cells, dtype=int)
        self.rows = [np.flatnonzero(dataset == index) for index in range(dataset.max() + 1)]
        self.datasets = [ReferenceDataset(matrix)]
        if len(self.rows) > 1:
            self.datasets = [ReferenceDataset(matrix[rows]) for rows in self.rows]

    @property
    def n_genes(self) -> int:
        """Return the number of genes."""
        return len(self.genes)

    @cached_property
    def has_gene(self) -> np.ndarray:
        """Whether a dataset has a gene, shape (n_datasets, n_genes)."""
        return np.stack([dataset.detection_rate > 0 for dataset in self.datasets])

    @cached_property
    def first_dataset(self) -> np.ndarray:
        """Return the first dataset that has each gene, the very first for a gene that none has, shape (n_genes,)."""
        return self.has_gene.argmax(0)

    def has_both(self, index: int, genes: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Tell whether a dataset has two genes, shape (n_genes, n_others)."""
        return self.has_gene[index][genes][:, None] & self.has_gene[index][others]

    def from_first_with_both(
        self, compute: Callable[[int], np.ndarray], genes: np.ndarray, others: np.ndarray
    ) -> np.ndarray:
        """Compute a value for pairs of genes in the first dataset that has both, shape (n_genes, n_others).

        Parameters
        ----------
        compute
            Computes the values in a dataset. It is not called for datasets that are not needed.
        genes, others
            Positions of the genes.
        """
        result = compute(0)
        if len(self.datasets) == 1:
            return result
        unknown = ~self.has_both(0, genes, others)
        for index in range(1, len(self.datasets)):
            known = unknown & self.has_both(index, genes, others)
            if known.any():
                result = np.where(known, compute(index), result)
                unknown &= ~known
        return result

    def on_first_scale(self, index: int, statistic: str, values: np.ndarray) -> np.ndarray:
        """Bring a statistic of genes in a dataset to the scale of the first one, which may be deeper, or normalized.

        The quantiles over the genes that both have are matched. 0 stays 0, and beyond the largest value of these genes
        the factor is that of this value.

        Parameters
        ----------
        index
            Number of the dataset.
        statistic
            `"mean"`, `"std"` or `"detection_rate"`.
        values
            In this dataset, shape (n_chosen,).
        """
        both = self.has_gene[0] & self.has_gene[index]
        own, first = (np.sort(getattr(self.datasets[number], statistic)[both]) for number in (index, 0))
        if index == 0 or not both.any() or own[-1] == 0:
            return values
        matched = np.interp(values, [*own, FAR * own[-1]], [*first, FAR * first[-1]])
        return np.where(values == 0, 0, matched)

    def _of_first_dataset(self, statistic: str) -> np.ndarray:
        by_dataset = np.stack([getattr(dataset, statistic) for dataset in self.datasets])
        result = by_dataset[self.first_dataset, np.arange(self.n_genes)]
        for index in range(1, len(self.datasets)):
            only_here = (self.first_dataset == index) & self.has_gene[index]
            result[only_here] = self.on_first_scale(index, statistic, result[only_here])
        return result

    @cached_property
    def mean(self) -> np.ndarray:
        """Return the mean of every gene in the first dataset that has it, shape (n_genes,)."""
        return self._of_first_dataset("mean")

    @cached_property
    def std(self) -> np.ndarray:
        """Return the standard deviation of every gene in the first dataset that has it, shape (n_genes,)."""
        return self._of_first_dataset("std")

    @cached_property
    def detection_rate(self) -> np.ndarray:
        """Return the share of cells that express a gene in the first dataset that has it, shape (n_genes,)."""
        return self._of_first_dataset("detection_rate")

    def n_expressing(self, genes: np.ndarray) -> np.ndarray:
        """Count the cells of all datasets that express each gene, shape (n_chosen,)."""
        return sum(dataset.detection_rate[genes] * dataset.n_cells for dataset in self.datasets)

    def dense(self, genes: np.ndarray) -> np.ndarray:
        """Return the expression of some genes in every reference cell, float32, shape (n_cells, n_chosen)."""
        return self.in_order([dataset.dense(genes) for dataset in self.datasets])

    def in_order(self, by_dataset: list[np.ndarray]) -> np.ndarray:
        """Bring rows that are sorted by dataset into the order of the reference cells."""
        if len(by_dataset) == 1:
            return by_dataset[0]
        result = np.empty((self.n_cells, *by_dataset[0].shape[1:]), by_dataset[0].dtype)
        for rows, values in zip(self.rows, by_dataset, strict=True):
            result[rows] = values
        return result


@dataclass(frozen=True)
class Reference:
    """Reference expression with what a method needs to know of its genes.

    Attributes
    ----------
    expression
        Log-normalized expression.
    shared
        Positions of the shared genes among the reference genes, shape (n_shared,).
    relations
        Relations between genes, by name.
    n_components
        Number of principal components in which co-expression is computed; None for the exact value.
    datasets
        Names of the datasets; empty for one.
    """

    expression: ReferenceExpression
    shared: np.ndarray
    relations: Mapping[str, Relation]
    n_components: int | None = None
    datasets: tuple[str, ...] = ()

    def position_among_shared(self, targets: np.ndarray) -> np.ndarray:
        """Find each target gene among the shared genes; -1 for the others, shape (n_targets,)."""
        return pd.Index(self.shared).get_indexer(targets)

    def n_cells_expressing(self, targets: np.ndarray) -> np.ndarray:
        """Count the reference cells that express each target gene, shape (n_targets,)."""
        return self.expression.n_expressing(targets)

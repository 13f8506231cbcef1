"""Log-normalize counts and standardize genes."""

from __future__ import annotations

import numpy as np
from scipy import sparse

ROWS_PER_BLOCK = 256  # that are converted to float64 at once: they stay in the cache of a processor
VALUES_PER_BLOCK = 2**22  # that are scaled at once
LARGEST_LOGARITHM = 30.0  # log1p of a count never reaches it: larger values are not logarithms
EPSILON = 1e-6  # standard deviations and norms below it count as zero


def cell_totals(counts: sparse.csr_matrix) -> np.ndarray:
    """Sum the counts of every cell, float64, shape (n_cells,).

    SciPy sums float32 in float32, whatever `dtype` is asked for. The total without a gene would then depend on the
    counts of that gene, if it is large.
    """
    return weighted_totals(counts, np.ones(counts.shape[1]))


def weighted_totals(values: sparse.csr_matrix, weights: np.ndarray) -> np.ndarray:
    """Sum the weighted values of every row, float64, shape (n_rows,).

    Rows are not copied: new memory would take several times longer than the sums.
    """
    totals = np.empty(values.shape[0])
    for start in range(0, len(totals), ROWS_PER_BLOCK):
        indptr = values.indptr[start : start + ROWS_PER_BLOCK + 1]
        inside = slice(indptr[0], indptr[-1])
        shape = (len(indptr) - 1, values.shape[1])
        block = sparse.csr_matrix((values.data[inside], values.indices[inside], indptr - indptr[0]), shape=shape)
        totals[start : start + ROWS_PER_BLOCK] = block @ weights
    return totals


def median_total(totals: np.ndarray) -> float:
    """Take the median total over the cells that have any count; 1 if none has."""
    positive = totals[totals > 0]
    return float(np.median(positive)) if len(positive) else 1.0


def log_normalize(counts: np.ndarray, totals: np.ndarray, target_sum: float) -> np.ndarray:
    r"""Scale every cell to one total and take logarithms.

    .. math:: x_{cg} = \log(1 + n_{cg} \, T / t_c)

    Parameters
    ----------
    counts
        Counts :math:`n`, shape (n_cells, n_genes).
    totals
        Total :math:`t` of every cell over its input genes, shape (n_cells,). Totals below 1 count as 1.
    target_sum
        Total :math:`T` that every cell is scaled to.

    Returns
    -------
    float32, shape (n_cells, n_genes).
    """
    factor = (target_sum / np.maximum(totals, 1.0)).astype(np.float32)
    return np.log1p(counts.astype(np.float32, copy=False) * factor[:, None])


def log_normalize_sparse(counts: sparse.csr_matrix, totals: np.ndarray, target_sum: float) -> sparse.csr_matrix:
    """Do what :func:`log_normalize` does, on a sparse matrix that stays sparse."""
    factor = (target_sum / np.maximum(totals, 1.0)).astype(np.float32)
    scaled = counts.astype(np.float32)
    scaled.data *= np.repeat(factor, np.diff(scaled.indptr))
    np.log1p(scaled.data, out=scaled.data)
    return scaled


def log_normalize_columns(counts: sparse.csr_matrix, totals: np.ndarray, target_sum: float) -> None:
    """Do what :func:`log_normalize` does to float32 counts of genes × cells, without a copy."""
    factor = (target_sum / np.maximum(totals, 1.0)).astype(np.float32)
    for start in range(0, counts.nnz, VALUES_PER_BLOCK):
        values = slice(start, start + VALUES_PER_BLOCK)
        counts.data[values] *= factor[counts.indices[values]]
    np.log1p(counts.data, out=counts.data)


def standardize(x: np.ndarray, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Center and scale columns; a constant column becomes 0, shape (n_cells, n_genes)."""
    constant = std < EPSILON
    standardized = x - mean
    standardized /= np.where(constant, 1, std)
    standardized[:, constant] = 0
    return standardized.astype(np.float32)


def standardize_in_place(x: np.ndarray, mean: np.ndarray, std: np.ndarray) -> None:
    """Do what :func:`standardize` does to float32 values of shape (..., n_genes), without a copy."""
    x -= mean.astype(np.float32)
    x *= np.where(std < EPSILON, 0, 1 / np.maximum(std, EPSILON)).astype(np.float32)


def smallest_positive_value(x: sparse.csr_matrix) -> float:
    """Take the median over cells of the smallest positive value of a cell; 1 if no value is positive."""
    values = np.where(x.data > 0, x.data, np.inf)
    starts = x.indptr[:-1][np.diff(x.indptr) > 0]
    smallest = np.minimum.reduceat(values, starts)
    smallest = smallest[np.isfinite(smallest)]
    return float(np.median(smallest)) if len(smallest) else 1.0


def column_moments(x: sparse.csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """Compute mean and standard deviation of the columns of a sparse matrix, float64, each of shape (n_genes,)."""
    n_rows, n_columns = x.shape
    values = x.data.astype(np.float64)
    mean = np.bincount(x.indices, values, n_columns) / n_rows
    deviations = np.bincount(x.indices, (values - mean[x.indices]) ** 2, n_columns)
    n_zeros = n_rows - np.bincount(x.indices, minlength=n_columns)
    return mean, np.sqrt((deviations + n_zeros * mean**2) / n_rows)


def column_correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Compute the Pearson correlation of each pair of columns; 0 for a constant one."""
    a = a - a.mean(0)
    b = b - b.mean(0)
    norms = np.linalg.norm(a, axis=0) * np.linalg.norm(b, axis=0)
    return (a * b).sum(0) / np.maximum(norms, 1e-12)

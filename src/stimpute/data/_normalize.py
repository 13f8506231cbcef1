"""Log-normalisation and standardisation, with the statistics that a new slice must share."""

from __future__ import annotations

import numpy as np
from scipy import sparse

EPSILON = 1e-6


def cell_totals(counts: sparse.csr_matrix) -> np.ndarray:
    """Total count of every cell, shape (n_cells,)."""
    return np.asarray(counts.sum(1), dtype=np.float64).ravel()


def typical_total(totals: np.ndarray) -> float:
    """Median total over the cells that have any count; 1 if none has."""
    some = totals[totals > 0]
    return float(np.median(some)) if len(some) else 1.0


def log_normalise(counts: np.ndarray, totals: np.ndarray, target: float) -> np.ndarray:
    r"""Scale every cell to one total and take logarithms.

    .. math:: x_{cg} = \log(1 + n_{cg} \, T / t_c)

    Parameters
    ----------
    counts
        Counts :math:`n`, shape (n_cells, n_genes).
    totals
        Total :math:`t` of every cell over the genes that may be seen, shape (n_cells,). Totals below 1 count as 1.
    target
        Total :math:`T` that every cell is scaled to.

    Returns
    -------
    float32, shape (n_cells, n_genes).
    """
    factor = (target / np.maximum(totals, 1.0)).astype(np.float32)
    return np.log1p(counts.astype(np.float32, copy=False) * factor[:, None])


def log_normalise_sparse(counts: sparse.csr_matrix, totals: np.ndarray, target: float) -> sparse.csr_matrix:
    """:func:`log_normalise` for a sparse matrix, which stays sparse."""
    factor = (target / np.maximum(totals, 1.0)).astype(np.float32)
    scaled = counts.astype(np.float32)
    scaled.data *= np.repeat(factor, np.diff(scaled.indptr))
    np.log1p(scaled.data, out=scaled.data)
    return scaled


def standardise(x: np.ndarray, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Centre and scale columns; a constant column becomes 0, shape (n_cells, n_genes)."""
    constant = std < EPSILON
    return np.where(constant, 0, (x - mean) / np.where(constant, 1, std)).astype(np.float32)

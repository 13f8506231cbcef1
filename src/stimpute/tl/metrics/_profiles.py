"""Apply a metric to pairs of expression profiles, one block of profiles at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import numpy as np
from scipy import sparse

from stimpute._messages import with_article

Matrix: TypeAlias = np.ndarray | sparse.spmatrix | sparse.sparray
Axis: TypeAlias = Literal["gene", "cell"]

VALUES_PER_BLOCK = 4_000_000  # 32 MB as float64
RELATIVE_ROUNDING = 1e-6  # a range smaller than this share of the largest value is rounding, not variation


def over_profiles(
    metric: Callable[[np.ndarray, np.ndarray], np.ndarray],
    truth: Matrix,
    predicted: Matrix,
    axis: Axis,
) -> np.ndarray:
    """Apply a metric to the profiles of genes or of cells.

    Parameters
    ----------
    metric
        Takes two float64 arrays of shape (n_values, n_profiles) and returns one value per profile.
    truth, predicted
        Dense or sparse, shape (n_cells, n_genes).
    axis
        `"gene"`: a profile is a gene over all cells. `"cell"`: a profile is a cell over all genes.

    Returns
    -------
    One value per profile, shape (n_genes,) or (n_cells,).

    Raises
    ------
    TypeError
        If one is no matrix.
    ValueError
        If `axis` is unknown, the shapes differ, a matrix is empty or a value is not finite.
    """
    if axis not in ("gene", "cell"):
        raise ValueError(f'`axis` is {axis!r}; expected "gene" or "cell".')
    for name, matrix in (("truth", truth), ("predicted", predicted)):
        if not hasattr(matrix, "shape"):
            raise TypeError(f"`{name}` is {with_article(type(matrix))}; expected a matrix (n_cells, n_genes).")
    if truth.shape != predicted.shape or len(truth.shape) != 2:
        raise ValueError(
            f"`truth` has shape {truth.shape} and `predicted` {predicted.shape}; expected two equal shapes (n_cells, "
            "n_genes). Select the same cells and genes in both, or give two AnnData to `stimpute.tl.score`."
        )
    if 0 in truth.shape:
        raise ValueError(f"`truth` has shape {truth.shape}; expected at least one cell and one gene.")
    truth_columns = _profiles_as_columns(truth, axis)
    predicted_columns = _profiles_as_columns(predicted, axis)
    n_values, n_profiles = truth_columns.shape
    step = max(1, VALUES_PER_BLOCK // n_values)
    results = []
    for start in range(0, n_profiles, step):
        block = slice(start, start + step)
        results.append(metric(_dense(truth_columns[:, block]), _dense(predicted_columns[:, block])))
    return np.concatenate(results)


def center(x: np.ndarray) -> np.ndarray:
    """Subtract the mean of every column; a column that varies by rounding errors only becomes exactly 0."""
    is_constant = np.ptp(x, axis=0) <= RELATIVE_ROUNDING * np.abs(x).max(axis=0)
    return np.where(is_constant, 0.0, x - x.mean(axis=0))


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Compute the cosine of each pair of columns; 0 where one of them is all zero."""
    norm = np.sqrt((a * a).sum(axis=0) * (b * b).sum(axis=0))
    return np.divide((a * b).sum(axis=0), norm, out=np.zeros_like(norm), where=norm > 0)


def _profiles_as_columns(matrix: Matrix, axis: Axis) -> Any:
    columns = matrix if axis == "gene" else matrix.T
    return sparse.csc_array(columns) if sparse.issparse(columns) else np.asarray(columns)


def _dense(block: Any) -> np.ndarray:
    """Make a block a dense float64 array and check that it is finite."""
    values = np.asarray(block.toarray() if sparse.issparse(block) else block, dtype=np.float64)
    if not np.isfinite(values).all():
        raise ValueError("Found NaN or infinite values; expected finite expression. Look for empty cells or genes.")
    return values

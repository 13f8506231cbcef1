"""What the metrics share: two matrices, cut into pairs of profiles, a block at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import numpy as np
from scipy import sparse

Matrix: TypeAlias = np.ndarray | sparse.spmatrix | sparse.sparray
Axis: TypeAlias = Literal["gene", "cell"]
BLOCK = 4_000_000  # values of a block, 32 MB as float64
FLAT = 1e-6  # a spread below this share of the largest value is rounding, not variation


def over_profiles(
    metric: Callable[[np.ndarray, np.ndarray], np.ndarray], truth: Matrix, predicted: Matrix, axis: Axis
) -> np.ndarray:
    """Apply ``metric`` to blocks of profiles.

    Parameters
    ----------
    metric
        Takes two float64 arrays [values, profiles] and returns one value a profile.
    truth, predicted
        [cells, genes], dense or sparse.
    axis
        ``"gene"``: a profile is a gene over all cells; ``"cell"``: a cell over all genes.

    Returns
    -------
    One value a profile, [genes] or [cells].

    Raises
    ------
    ValueError
        If ``axis`` is unknown, the shapes differ, there is nothing to compare or a value is not finite.
    """
    if axis not in ("gene", "cell"):
        raise ValueError(f"axis={axis!r}: expected 'gene' or 'cell'.")
    if truth.shape != predicted.shape or len(truth.shape) != 2:
        raise ValueError(
            f"truth is {truth.shape} and predicted is {predicted.shape}: expected two equal [cells, genes]; "
            "bring both to the same cells and genes first, or give AnnData to stimpute.tl.score."
        )
    if 0 in truth.shape:
        raise ValueError(f"truth is {truth.shape}: expected at least one cell and one gene.")
    columns = [_by_column(matrix if axis == "gene" else matrix.T) for matrix in (truth, predicted)]
    n_values, n_profiles = columns[0].shape
    step = max(1, BLOCK // n_values)
    blocks = (slice(start, start + step) for start in range(0, n_profiles, step))
    return np.concatenate([metric(*(_finite(_dense(c[:, block])) for c in columns)) for block in blocks])


def centred(x: np.ndarray) -> np.ndarray:
    """Profiles minus their means; a profile that varies by no more than rounding becomes exactly 0."""
    flat = np.ptp(x, axis=0) <= FLAT * np.abs(x).max(axis=0)
    return np.where(flat, 0.0, x - x.mean(axis=0))


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosine of each pair of columns; 0 where one of them is all 0."""
    norm = np.sqrt((a * a).sum(axis=0) * (b * b).sum(axis=0))
    return np.divide((a * b).sum(axis=0), norm, out=np.zeros_like(norm), where=norm > 0)


def _by_column(matrix: Any) -> Any:
    return sparse.csc_array(matrix) if sparse.issparse(matrix) else np.asarray(matrix)


def _dense(block: Any) -> np.ndarray:
    return np.asarray(block.toarray() if sparse.issparse(block) else block, dtype=np.float64)


def _finite(block: np.ndarray) -> np.ndarray:
    if not np.isfinite(block).all():
        raise ValueError("Found NaN or infinite values: expected finite expression; look for empty cells or genes.")
    return block

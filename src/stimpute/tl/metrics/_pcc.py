"""Pearson correlation."""

from __future__ import annotations

import numpy as np

from stimpute.tl.metrics._profiles import Axis, Matrix, center, cosine, over_profiles


def pcc(truth: Matrix, predicted: Matrix, axis: Axis = "gene") -> np.ndarray:
    r"""Compute the Pearson correlation; higher is better.

    .. math:: \frac{\sum_i (a_i - \bar a)(b_i - \bar b)}{\sqrt{\sum_i (a_i - \bar a)^2 \sum_i (b_i - \bar b)^2}}

    A constant profile scores 0, because it does not show where a gene is expressed.

    Parameters
    ----------
    truth, predicted
        Expression, shape (n_cells, n_genes).
    axis
        Compute one value per `"gene"` or per `"cell"`.

    Returns
    -------
    Shape (n_genes,) or (n_cells,), between -1 and 1.
    """
    return over_profiles(correlation, truth, predicted, axis)


def correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Compute the Pearson correlation of each pair of columns; 0 for a constant one."""
    return cosine(center(a), center(b))

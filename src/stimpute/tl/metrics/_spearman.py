"""Spearman correlation."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

from stimpute.tl.metrics._pcc import correlation
from stimpute.tl.metrics._profiles import Axis, Matrix, over_profiles


def spearman(truth: Matrix, predicted: Matrix, axis: Axis = "gene") -> np.ndarray:
    """Compute the Spearman correlation, :func:`pcc` of the ranks with ties at their mean rank; higher is better.

    A constant profile scores 0.

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
    return over_profiles(_rank_correlation, truth, predicted, axis)


def _rank_correlation(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    return correlation(rankdata(truth, axis=0), rankdata(predicted, axis=0))

from __future__ import annotations

import numpy as np

from ._profiles import Axis, Matrix, centred, cosine, over_profiles


def pcc(truth: Matrix, predicted: Matrix, axis: Axis = "gene") -> np.ndarray:
    r"""Pearson correlation; higher is better.

    .. math:: \frac{\sum_i (a_i - \bar a)(b_i - \bar b)}{\sqrt{\sum_i (a_i - \bar a)^2 \sum_i (b_i - \bar b)^2}}

    A profile that is constant scores 0: it says nothing about where a gene is expressed.

    Parameters
    ----------
    truth, predicted
        Expression [cells, genes].
    axis
        One value for each ``"gene"`` or for each ``"cell"``.

    Returns
    -------
    [genes] or [cells], between -1 and 1.
    """
    return over_profiles(correlation, truth, predicted, axis)


def correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Pearson correlation of each pair of columns."""
    return cosine(centred(a), centred(b))

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

from ._pcc import correlation
from ._profiles import Axis, Matrix, over_profiles


def spearman(truth: Matrix, predicted: Matrix, axis: Axis = "gene") -> np.ndarray:
    """Spearman correlation: :func:`pcc` of the ranks, ties at their mean rank; higher is better.

    A profile that is constant scores 0.

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
    return over_profiles(lambda a, b: correlation(rankdata(a, axis=0), rankdata(b, axis=0)), truth, predicted, axis)

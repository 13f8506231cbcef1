from __future__ import annotations

import numpy as np

from ._profiles import Axis, Matrix, cosine, over_profiles


def css(truth: Matrix, predicted: Matrix, axis: Axis = "gene") -> np.ndarray:
    r"""Cosine similarity score, the paper's first metric; higher is better.

    .. math:: \frac{\sum_i a_i b_i}{\sqrt{\sum_i a_i^2}\,\sqrt{\sum_i b_i^2}}

    It does not centre the profiles, so a constant already scores high on genes that are expressed everywhere: read it
    beside :func:`pcc`. A profile that is all zero scores 0.

    Parameters
    ----------
    truth, predicted
        Expression [cells, genes].
    axis
        One value for each ``"gene"`` or for each ``"cell"``.

    Returns
    -------
    [genes] or [cells], between -1 and 1, and not below 0 for expression.
    """
    return over_profiles(cosine, truth, predicted, axis)

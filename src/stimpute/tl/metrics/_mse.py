from __future__ import annotations

import numpy as np

from ._profiles import Axis, Matrix, over_profiles


def mse(truth: Matrix, predicted: Matrix, axis: Axis = "gene") -> np.ndarray:
    """Mean squared error, the paper's second metric; lower is better.

    It depends on the scale of the genes: a prediction of each gene's mean is hard to beat.

    Parameters
    ----------
    truth, predicted
        Expression [cells, genes].
    axis
        One value for each ``"gene"`` or for each ``"cell"``.

    Returns
    -------
    [genes] or [cells], not below 0, in squared units of the expression.
    """
    return over_profiles(lambda a, b: ((a - b) ** 2).mean(axis=0), truth, predicted, axis)

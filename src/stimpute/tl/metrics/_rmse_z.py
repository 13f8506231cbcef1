from __future__ import annotations

import numpy as np

from ._profiles import Axis, Matrix, centred, over_profiles


def rmse_z(truth: Matrix, predicted: Matrix, axis: Axis = "gene") -> np.ndarray:
    r"""Root mean squared error of z-scored profiles [Li2022]_; lower is better.

    .. math:: \sqrt{\frac{1}{n} \sum_i (z^a_i - z^b_i)^2}, \quad z^a_i = (a_i - \bar a) / \sigma_a

    It is free of scale: for profiles that vary it equals :math:`\sqrt{2 - 2\,\mathrm{PCC}}`. A constant profile has
    all z-scores 0, so that it scores 1 against one that varies.

    Parameters
    ----------
    truth, predicted
        Expression [cells, genes].
    axis
        One value for each ``"gene"`` or for each ``"cell"``.

    Returns
    -------
    [genes] or [cells], between 0 and 2.

    References
    ----------
    .. [Li2022] Li et al., Nature Methods 19, 662 (2022).
    """
    return over_profiles(lambda a, b: np.sqrt(((_z(a) - _z(b)) ** 2).mean(axis=0)), truth, predicted, axis)


def _z(x: np.ndarray) -> np.ndarray:
    x = centred(x)
    spread = x.std(axis=0)
    return x / np.where(spread > 0, spread, 1)

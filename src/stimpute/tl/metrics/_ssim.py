from __future__ import annotations

import numpy as np

from ._profiles import Axis, Matrix, over_profiles

C1, C2 = 0.01**2, 0.03**2  # the usual constants, for a range of 1


def ssim(truth: Matrix, predicted: Matrix, axis: Axis = "gene") -> np.ndarray:
    r"""Structural similarity of profiles that are scaled to a maximum of 1 [Li2022]_; higher is better.

    .. math::

        \frac{(2 \mu_a \mu_b + c_1)(2 \sigma_{ab} + c_2)}{(\mu_a^2 + \mu_b^2 + c_1)(\sigma_a^2 + \sigma_b^2 + c_2)}

    with :math:`c_1 = 0.01^2` and :math:`c_2 = 0.03^2`. Predictions below 0 count as 0. It rewards the right spread, so
    that a prediction shrunk towards the mean loses here first. Profiles that are all zero stay zero; two of them
    score 1.

    Parameters
    ----------
    truth, predicted
        Expression [cells, genes], not negative.
    axis
        One value for each ``"gene"`` or for each ``"cell"``.

    Returns
    -------
    [genes] or [cells], between -1 and 1.

    References
    ----------
    .. [Li2022] Li et al., Nature Methods 19, 662 (2022).
    """
    return over_profiles(_ssim, truth, predicted, axis)


def _ssim(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    a, b = (x / np.maximum(x.max(axis=0), 1e-9) for x in (truth, predicted.clip(min=0)))
    mean_a, mean_b = a.mean(axis=0), b.mean(axis=0)
    shared = ((a - mean_a) * (b - mean_b)).mean(axis=0)
    means = (2 * mean_a * mean_b + C1) / (mean_a**2 + mean_b**2 + C1)
    return means * (2 * shared + C2) / (a.var(axis=0) + b.var(axis=0) + C2)

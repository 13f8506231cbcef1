"""Structural similarity."""

from __future__ import annotations

import numpy as np

from stimpute.tl.metrics._profiles import Axis, Matrix, over_profiles

# The usual stabilizing constants for values between 0 and 1.
C1 = 0.01**2
C2 = 0.03**2
MIN_MAXIMUM = 1e-9  # keeps a profile of zeros at zero when it is divided by its maximum


def ssim(truth: Matrix, predicted: Matrix, axis: Axis = "gene") -> np.ndarray:
    r"""Compute the structural similarity of profiles that are scaled to a maximum of 1 [Li2022]_; higher is better.

    .. math::

        \frac{(2 \mu_a \mu_b + c_1)(2 \sigma_{ab} + c_2)}{(\mu_a^2 + \mu_b^2 + c_1)(\sigma_a^2 + \sigma_b^2 + c_2)}

    with :math:`c_1 = 0.01^2` and :math:`c_2 = 0.03^2`. Predictions below 0 count as 0. A prediction with too small a
    variance, shrunken toward the mean, scores low. Profiles that are all zero stay zero; two of them score 1.

    Parameters
    ----------
    truth, predicted
        Expression, shape (n_cells, n_genes), not negative.
    axis
        Compute one value per `"gene"` or per `"cell"`.

    Returns
    -------
    Shape (n_genes,) or (n_cells,), between -1 and 1.

    References
    ----------
    .. [Li2022] Li et al., Nature Methods 19, 662 (2022).
    """
    return over_profiles(_similarity, truth, predicted, axis)


def _similarity(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    a = _scale_to_one(truth)
    b = _scale_to_one(predicted.clip(min=0))
    mean_a = a.mean(axis=0)
    mean_b = b.mean(axis=0)
    covariance = ((a - mean_a) * (b - mean_b)).mean(axis=0)
    means = (2 * mean_a * mean_b + C1) / (mean_a**2 + mean_b**2 + C1)
    return means * (2 * covariance + C2) / (a.var(axis=0) + b.var(axis=0) + C2)


def _scale_to_one(x: np.ndarray) -> np.ndarray:
    return x / np.maximum(x.max(axis=0), MIN_MAXIMUM)

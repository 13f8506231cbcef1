"""Root mean squared error of z-scores."""

from __future__ import annotations

import numpy as np

from stimpute.tl.metrics._profiles import Axis, Matrix, center, over_profiles


def rmse_z(truth: Matrix, predicted: Matrix, axis: Axis = "gene") -> np.ndarray:
    r"""Compute the root mean squared error of z-scored profiles [Li2022]_; lower is better.

    .. math:: \sqrt{\frac{1}{n} \sum_i (z^a_i - z^b_i)^2}, \quad z^a_i = (a_i - \bar a) / \sigma_a

    It does not depend on scale: for profiles that vary it equals :math:`\sqrt{2 - 2\,\mathrm{PCC}}`. All z-scores of a
    constant profile are 0, so it scores 1 against a profile that varies.

    Parameters
    ----------
    truth, predicted
        Expression, shape (n_cells, n_genes).
    axis
        Compute one value per `"gene"` or per `"cell"`.

    Returns
    -------
    Shape (n_genes,) or (n_cells,), between 0 and 2.

    References
    ----------
    .. [Li2022] Li et al., Nature Methods 19, 662 (2022).
    """
    return over_profiles(_error, truth, predicted, axis)


def _error(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    return np.sqrt(((_z_score(truth) - _z_score(predicted)) ** 2).mean(axis=0))


def _z_score(x: np.ndarray) -> np.ndarray:
    x = center(x)
    std = x.std(axis=0)
    return x / np.where(std > 0, std, 1)

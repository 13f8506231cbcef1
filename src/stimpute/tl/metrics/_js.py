"""Jensen-Shannon divergence."""

from __future__ import annotations

import numpy as np
from scipy.special import rel_entr

from stimpute.tl.metrics._profiles import Axis, Matrix, over_profiles


def js(truth: Matrix, predicted: Matrix, axis: Axis = "gene") -> np.ndarray:
    r"""Compute the Jensen-Shannon divergence of profiles that are scaled to a sum of 1 [Li2022]_; lower is better.

    .. math:: \tfrac12 \mathrm{KL}(a \,\|\, m) + \tfrac12 \mathrm{KL}(b \,\|\, m), \quad m = \tfrac12 (a + b)

    Values below 0 count as 0. A profile that is all zero is replaced by a uniform one.

    Parameters
    ----------
    truth, predicted
        Expression, shape (n_cells, n_genes), not negative.
    axis
        Compute one value per `"gene"` or per `"cell"`.

    Returns
    -------
    Shape (n_genes,) or (n_cells,), between 0 and ln 2, in nats.

    References
    ----------
    .. [Li2022] Li et al., Nature Methods 19, 662 (2022).
    """
    return over_profiles(_divergence, truth, predicted, axis)


def _divergence(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    a = _to_distribution(truth)
    b = _to_distribution(predicted)
    m = (a + b) / 2
    return (rel_entr(a, m) + rel_entr(b, m)).sum(axis=0) / 2


def _to_distribution(x: np.ndarray) -> np.ndarray:
    """Scale every column to a sum of 1; a column of zeros becomes uniform."""
    x = x.clip(min=0)
    total = x.sum(axis=0)
    return np.where(total > 0, x / np.where(total > 0, total, 1), 1 / len(x))

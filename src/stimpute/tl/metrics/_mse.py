"""Mean squared error."""

from __future__ import annotations

import numpy as np

from stimpute.tl.metrics._profiles import Axis, Matrix, over_profiles


def mse(truth: Matrix, predicted: Matrix, axis: Axis = "gene") -> np.ndarray:
    """Compute the mean squared error, the second metric of the paper; lower is better.

    It depends on the scale of the genes: few methods do better than predicting the mean of each gene.

    Parameters
    ----------
    truth, predicted
        Expression, shape (n_cells, n_genes).
    axis
        Compute one value per `"gene"` or per `"cell"`.

    Returns
    -------
    Shape (n_genes,) or (n_cells,), at least 0, in squared units of the expression.
    """
    return over_profiles(_mean_squared_error, truth, predicted, axis)


def _mean_squared_error(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    return ((truth - predicted) ** 2).mean(axis=0)

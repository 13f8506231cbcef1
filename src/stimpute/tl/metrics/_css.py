"""Cosine similarity score."""

from __future__ import annotations

import numpy as np

from stimpute.tl.metrics._profiles import Axis, Matrix, cosine, over_profiles


def css(truth: Matrix, predicted: Matrix, axis: Axis = "gene") -> np.ndarray:
    r"""Compute the cosine similarity score, the first metric of the paper; higher is better.

    .. math:: \frac{\sum_i a_i b_i}{\sqrt{\sum_i a_i^2}\,\sqrt{\sum_i b_i^2}}

    Profiles are not centered, so a constant prediction already scores high on genes that most cells express: compare
    with :func:`pcc`. A profile that is all zero scores 0.

    Parameters
    ----------
    truth, predicted
        Expression, shape (n_cells, n_genes).
    axis
        Compute one value per `"gene"` or per `"cell"`.

    Returns
    -------
    Shape (n_genes,) or (n_cells,), between -1 and 1; at least 0 where no value is negative.
    """
    return over_profiles(cosine, truth, predicted, axis)

"""Bring the reference to the scale of the spatial data, for `paper`."""

from __future__ import annotations

import numpy as np

from stimpute.data._normalize import LARGEST_LOGARITHM, median_total


def reference_factor(spatial: np.ndarray, reference: np.ndarray) -> float:
    """Compute the factor on reference totals that gives its cells the median total of the spatial cells.

    The paper scales cells by "the median number of transcripts per cell" and does not say of which dataset. Here both
    datasets are scaled to the spatial cells, over the genes that both measured.

    Parameters
    ----------
    spatial, reference
        Log-normalized input genes, shape (n_cells, n_inputs).
    """
    if max(spatial.max(initial=0), reference.max(initial=0)) > LARGEST_LOGARITHM:
        return 1.0
    spatial_totals = np.expm1(spatial.astype(np.float64)).sum(1)
    reference_totals = np.expm1(reference.astype(np.float64)).sum(1)
    return median_total(spatial_totals) / median_total(reference_totals)


def rescale(expression: np.ndarray, factor: float) -> np.ndarray:
    """Log-normalize again as if totals had been multiplied by a factor; zeros stay zero.

    Values that are too large to be logarithms are moved as the largest logarithm is, so that none overflows.
    """
    if factor == 1:
        return expression
    logarithm = np.minimum(expression, np.float32(LARGEST_LOGARITHM))
    return np.log1p(np.expm1(logarithm) * np.float32(factor)) + (expression - logarithm)

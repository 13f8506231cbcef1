"""Scale the reference to the spatial data, and score predicted profiles, for `paper`."""

from __future__ import annotations

import numpy as np
import torch

from stimpute.data._normalize import median_total
from stimpute.module._reliability_network import ReliabilityNetwork

N_QUANTILES = 32
LARGEST_LOGARITHM = 30.0  # log1p of a count never reaches it: larger values are not logarithms


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
    """Log-normalize again as if totals had been multiplied by a factor; zeros stay zero."""
    if factor == 1:
        return expression
    return np.log1p(np.expm1(expression) * np.float32(factor))


def profile_quantiles(predicted: np.ndarray) -> np.ndarray:
    """Describe each gene's predicted profile by its quantiles, shape (n_genes, N_QUANTILES)."""
    return np.quantile(predicted, np.linspace(0, 1, N_QUANTILES), axis=0).T.astype(np.float32)


@torch.inference_mode()
def score_profiles(network: ReliabilityNetwork, profiles: np.ndarray) -> np.ndarray:
    """Predict the score of genes from their quantiles, shape (n_genes,)."""
    return network.inference(torch.from_numpy(profiles).to(network.device))["score"].cpu().numpy().astype(np.float64)

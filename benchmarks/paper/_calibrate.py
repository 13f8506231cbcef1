"""Give every method's predictions the same calibration of levels, and the paper's post hoc reliability."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from benchmarks.paper._held_out import HeldOut
from sklearn.linear_model import LinearRegression
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from stimpute.tl.metrics import css

SMALL = 0.05  # added to standard deviations before their logarithm
N_QUANTILES = 32  # of a predicted profile, as the recipe `paper` describes it


def calibrated(held: HeldOut) -> HeldOut:
    r"""Replace the level of every gene: :math:`\mu_g + r \sigma_g z_{cg}`, at least 0.

    The z-score is that of the prediction. Mean and standard deviation of a gene are regressed on those of its
    prediction and of its reference values, and the slope r is one number: all fitted on the genes of the other folds.
    """
    result = np.empty_like(held.predicted)
    mean, std = held.predicted.mean(0), held.predicted.std(0)
    z_score = (held.predicted - mean) / np.where(std < 1e-6, 1, std)
    truth_z = (held.truth - held.truth.mean(0)) / np.maximum(held.truth.std(0), 1e-6)
    means = np.column_stack([mean, held.genes["reference_mean"]])
    stds = np.log(np.column_stack([std, held.genes["reference_std"]]) + SMALL)
    for number in np.unique(held.fold):
        here = held.fold == number
        other = ~here
        level = LinearRegression().fit(means[other], held.truth[:, other].mean(0)).predict(means[here])
        spread = LinearRegression().fit(stds[other], np.log(held.truth[:, other].std(0) + SMALL)).predict(stds[here])
        product = (z_score[:, other] * truth_z[:, other]).sum()
        slope = np.clip(product / max((z_score[:, other] ** 2).sum(), 1e-12), 0, 1)
        result[:, here] = level + slope * (np.exp(spread) - SMALL).clip(0) * z_score[:, here]
    return replace(held, predicted=result.clip(0))


def post_hoc_reliability(held: HeldOut, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    """Predict the CSS of every gene from its predicted profile, as eq. 13, out of fold; shape (n_genes,).

    Parameters
    ----------
    held
        Predictions of any method.
    noise
        Standard deviation of Gaussian noise that is added to the profiles that are scored, in standard deviations of
        all predictions. The network is fitted on profiles without noise.
    seed
        Seed of noise and network.
    """
    random = np.random.default_rng(seed)
    score = css(held.truth, held.predicted)
    noisy = held.predicted + noise * held.predicted.std() * random.standard_normal(held.predicted.shape)
    clean_profiles, noisy_profiles = (_quantiles(values) for values in (held.predicted, noisy.clip(0)))
    result = np.empty(len(score))
    for number in np.unique(held.fold):
        here = held.fold == number
        network = MLPRegressor(hidden_layer_sizes=(32,), max_iter=2000, alpha=0.1, random_state=seed)
        model = make_pipeline(StandardScaler(), network).fit(clean_profiles[~here], score[~here])
        result[here] = model.predict(noisy_profiles[here]).clip(0, 1)
    return result


def _quantiles(predicted: np.ndarray) -> np.ndarray:
    return np.quantile(predicted, np.linspace(0, 1, N_QUANTILES), axis=0).T

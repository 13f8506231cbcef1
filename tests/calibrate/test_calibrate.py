"""Calibration: what is promised on genes that were not seen."""

import numpy as np
import pytest

from stimpute.calibrate._intervals import Intervals
from stimpute.calibrate._moments import Moments
from stimpute.calibrate._reliability import Reliability


@pytest.fixture
def rng():
    return np.random.default_rng(1)


def test_moments_find_a_linear_platform_effect(rng):
    statistics = rng.normal(size=(300, 3))
    mean, std = 1 + statistics @ [0.5, 0.1, 0], np.exp(-0.5 + statistics @ [0, 0.2, 0.1])
    found_mean, found_std = Moments.fit(statistics[:200], np.maximum(mean, 0)[:200], std[:200]).predict(
        statistics[200:]
    )
    assert np.corrcoef(found_mean, np.maximum(mean[200:], 0))[0, 1] > 0.95
    np.testing.assert_allclose(found_std, std[200:], rtol=0.1)


def test_out_of_fold_moments_do_not_depend_on_the_gene_itself(rng):
    statistics, fold = rng.normal(size=(40, 3)), np.arange(40) % 5
    mean, std = rng.uniform(0, 2, 40), rng.uniform(0.5, 1, 40)
    first = Moments.out_of_fold(statistics, mean, std, fold)[0][7]
    mean[fold == fold[7]] = 50
    assert Moments.out_of_fold(statistics, mean, std, fold)[0][7] == first


def simulated(rng, n_genes, n_cells=400):
    """Skewed, heteroscedastic residuals that differ from gene to gene, clipped at zero as expression is."""
    mean = rng.uniform(0.2, 2, n_genes)
    std = 0.5 * rng.lognormal(0, 0.2, n_genes)
    predicted = np.maximum(mean + 0.3 * rng.normal(size=(n_cells, n_genes)), 0)
    noise = rng.gamma(2, 1, size=predicted.shape) - 2
    return np.maximum(predicted + std * noise * (0.5 + 0.3 * predicted), 0), predicted, mean, std


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_intervals_cover_unseen_genes(rng, share):
    truth, predicted, mean, std = simulated(rng, 160)
    seen = slice(0, 100)
    fold = np.arange(100) % 5
    intervals = Intervals.fit(truth[:, seen], predicted[:, seen], std[seen], fold)
    low, high = intervals.bounds(predicted[:, 100:], std[100:], share)
    inside = (truth[:, 100:] >= low) & (truth[:, 100:] <= high)
    assert abs(inside.mean() - share) < 0.05
    assert (low >= 0).all()
    assert (high >= low).all()


def test_wider_intervals_contain_narrower_ones(rng):
    truth, predicted, mean, std = simulated(rng, 60)
    intervals = Intervals.fit(truth, predicted, std, np.arange(60) % 5)
    inner, outer = (intervals.bounds(predicted, std, share) for share in (0.5, 0.95))
    assert (outer[0] <= inner[0] + 1e-6).all()
    assert (outer[1] >= inner[1] - 1e-6).all()


MANY = np.full(200, 1e6)


def test_reliability_ranks_unseen_genes(rng):
    features = rng.normal(size=(120, 4))
    reached = np.clip(0.3 + 0.15 * features[:, 0] + 0.05 * rng.normal(size=120), -1, 1)
    model = Reliability.fit(features[:80], reached[:80], np.full(80, 0.3))
    assert np.corrcoef(model.predict(features[80:], np.full(40, 0.3), MANY[:40]), reached[80:])[0, 1] > 0.8


def test_reliability_of_few_genes_is_drawn_to_what_a_calibrated_prediction_reaches(rng):
    features, reached, spread = rng.normal(size=(5, 4)), np.full(5, 0.9), np.full(5, 0.2)
    assert 0.2 < Reliability.fit(features, reached, spread).predict(features, spread, MANY[:5]).mean() < 0.5


def test_reliability_promises_hardly_more_than_was_reached(rng):
    features, reached = rng.normal(size=(50, 4)), rng.uniform(0, 0.7, 50)
    model = Reliability.fit(features, reached, np.full(50, 0.3))
    usual, wild = (model.predict(features, np.full(50, spread), MANY[:50]) for spread in (0.9, 1.5))
    assert usual.max() < wild.max() < reached.max() + 0.2


def test_genes_that_few_reference_cells_have_are_less_reliable(rng):
    features, reached = rng.normal(size=(50, 4)), rng.uniform(0, 0.7, 50)
    model = Reliability.fit(features, reached, np.full(50, 0.3))
    by_count = [model.predict(features[:1], np.full(1, 0.3), np.array([k]))[0] for k in (0, 3, 30, 3000)]
    assert by_count == sorted(by_count)
    assert by_count[0] == 0
    assert by_count[1] < 0.6 * by_count[3]
    assert by_count[2] > 0.8 * by_count[3]

import numpy as np
import pytest

from stimpute.calibrate._intervals import GRID, Intervals
from stimpute.data._arrays import from_arrays, to_arrays


@pytest.fixture
def rng():
    return np.random.default_rng(1)


def simulate(rng, n_genes, n_cells=400):
    """Draw skewed, heteroscedastic residuals that differ between genes, clipped at zero as expression is."""
    mean = rng.uniform(0.2, 2, n_genes)
    std = 0.5 * rng.lognormal(0, 0.2, n_genes)
    predicted = np.maximum(mean + 0.3 * rng.normal(size=(n_cells, n_genes)), 0)
    noise = rng.gamma(2, 1, size=predicted.shape) - 2
    return np.maximum(predicted + std * noise * (0.5 + 0.3 * predicted), 0), predicted, std


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_intervals_cover_unseen_genes(rng, level):
    truth, predicted, std = simulate(rng, 160)
    seen = slice(0, 100)
    intervals = Intervals.fit(truth[:, seen], predicted[:, seen], std[seen], np.arange(100) % 5)
    lower, upper = intervals.bounds(predicted[:, 100:], std[100:], level)
    inside = (truth[:, 100:] >= lower) & (truth[:, 100:] <= upper)
    assert abs(inside.mean() - level) < 0.05
    assert (lower >= 0).all()
    assert (upper >= lower).all()
    assert (lower.dtype, upper.dtype) == (np.float32, np.float32)


def test_wider_intervals_contain_narrower_ones(rng):
    truth, predicted, std = simulate(rng, 60)
    intervals = Intervals.fit(truth, predicted, std, np.arange(60) % 5)
    inner, outer = (intervals.bounds(predicted, std, level) for level in (0.5, 0.95))
    assert (outer[0] <= inner[0] + 1e-6).all()
    assert (outer[1] >= inner[1] - 1e-6).all()


def test_bounds_by_hand():
    """Two bins with residuals that are uniform, twice as wide in the second; coverage is nominal."""
    quantiles = np.stack([2 * GRID - 1, 4 * GRID - 2])
    intervals = Intervals(np.array([5.0]), quantiles, GRID)
    predicted = np.array([[4.0, 0.1], [6.0, 20.0]])
    lower, upper = intervals.bounds(predicted, np.array([1.0, 10.0]), 0.5)
    np.testing.assert_allclose(lower, [[3.5, 0], [5, 10]], atol=1e-6)
    np.testing.assert_allclose(upper, [[4.5, 5.1], [7, 30]], atol=1e-6)


def test_observed_coverage_replaces_the_nominal_level():
    quantiles = (2 * GRID - 1)[None]
    too_narrow = Intervals(np.empty(0), quantiles, GRID / 2)
    _, upper = too_narrow.bounds(np.full((1, 1), 9.0), np.ones(1), 0.25)
    assert upper.item() == pytest.approx(9.5)


def test_coverage_is_observed_on_genes_that_the_quantiles_have_not_seen(rng):
    """Quantiles of narrow residuals cover few of the wide ones, and those of wide residuals all of the narrow ones."""
    predicted = np.full((500, 6), 50.0)
    width = np.repeat([0.01, 1.0], 3)
    truth = predicted + width * rng.uniform(-1, 1, predicted.shape)
    coverage = Intervals.fit(truth, predicted, np.ones(6), np.repeat([0, 1], 3)).coverage
    assert coverage[GRID == 0.9] == pytest.approx(0.5, abs=0.02)


def test_equal_predictions_make_one_bin(rng):
    truth = np.abs(rng.normal(size=(50, 6)))
    intervals = Intervals.fit(truth, np.ones_like(truth), np.ones(6), np.arange(6) % 3)
    assert intervals.quantiles.shape == (len(intervals.edges) + 1, len(GRID))
    lower, upper = intervals.bounds(np.ones((4, 1)), np.ones(1), 0.9)
    assert (lower < upper).all()


def test_coverage_never_falls(rng):
    truth, predicted, std = simulate(rng, 30)
    coverage = Intervals.fit(truth, predicted, std, np.arange(30) % 5).coverage
    assert (np.diff(coverage) >= 0).all()
    assert coverage.max() <= 1


def test_intervals_survive_as_arrays(rng):
    truth, predicted, std = simulate(rng, 30)
    intervals = Intervals.fit(truth, predicted, std, np.arange(30) % 5)
    again = from_arrays(Intervals, to_arrays(intervals), {})
    np.testing.assert_array_equal(again.bounds(predicted, std, 0.9), intervals.bounds(predicted, std, 0.9))

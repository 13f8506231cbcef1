import numpy as np
import pandas as pd
import pytest

from stimpute.calibrate import _intervals
from stimpute.calibrate._intervals import (
    GRID,
    MIN_VALUES,
    N_BINS,
    Intervals,
    _lower_bound,
    _quantiles_by_bin,
    _reached_probability,
)
from stimpute.data._arrays import from_arrays, to_arrays


@pytest.fixture
def rng():
    return np.random.default_rng(1)


def simulate(rng, n_genes, n_cells=400, depth=200.0):
    """Draw counts of genes with different rates in cells with different totals, and know the rates."""
    total = depth * rng.lognormal(0, 0.5, n_cells)
    mean_rate = rng.lognormal(-5, 1, n_genes)
    rate = mean_rate * rng.gamma(2, 0.5, (n_cells, n_genes))
    counts = rng.poisson(rate * total[:, None])
    truth = np.log1p(counts * (depth / total)[:, None])
    predicted = np.log1p(rate * depth)
    return truth, predicted, truth.std(0), np.log1p(depth / total)


def fit(truth, predicted, std, molecule, fold=None):
    n_genes = truth.shape[1]
    fold = np.arange(n_genes) % 5 if fold is None else fold
    return Intervals.fit(truth, predicted, std, np.repeat(molecule[:, None], n_genes, 1), fold)


def bounds(intervals, predicted, std, molecule, level):
    central = intervals.central(level, predicted.mean(0), predicted.std(0))
    return intervals.bounds(predicted, std, molecule, central)


def promise_on_all_values(quantiles, edges=(), probability=GRID):
    """Make intervals for data in which no value above zero was missed."""
    n_bins = len(quantiles)
    return Intervals(np.array(edges), quantiles, probability, np.ones(n_bins), np.zeros((n_bins, len(GRID))), 1.0)


def above_zero(truth, inside):
    return inside[truth > 0].mean()


def least_covered_quarter(inside):
    by_gene = np.sort(inside.mean(0))
    return by_gene[: len(by_gene) // 4].mean()


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_intervals_cover_unseen_genes(rng, level):
    truth, predicted, std, molecule = simulate(rng, 160)
    seen = slice(0, 100)
    intervals = fit(truth[:, seen], predicted[:, seen], std[seen], molecule)
    lower, upper = bounds(intervals, predicted[:, 100:], std[100:], molecule, level)
    inside = (truth[:, 100:] >= lower) & (truth[:, 100:] <= upper)
    assert inside.mean() > level - 0.03
    assert above_zero(truth[:, 100:], inside) > 2 * level - 1 - 0.05
    assert least_covered_quarter(inside) > 2 * level - 1 - 0.05
    assert (lower >= 0).all()
    assert (upper >= lower).all()
    assert (lower.dtype, upper.dtype) == (np.float32, np.float32)


def test_a_sample_of_many_genes_covers_as_well(rng, monkeypatch):
    truth, predicted, std, molecule = simulate(rng, 400)
    monkeypatch.setattr(_intervals, "MAX_GENES", 100)
    intervals = fit(truth[:, :300], predicted[:, :300], std[:300], molecule)
    sample = np.linspace(0, 299, 100).round().astype(int)
    alone = fit(truth[:, sample], predicted[:, sample], std[sample], molecule, sample % 5)
    np.testing.assert_array_equal(intervals.quantiles, alone.quantiles)
    np.testing.assert_array_equal(intervals.probability, alone.probability)
    lower, upper = bounds(intervals, predicted[:, 300:], std[300:], molecule, 0.9)
    inside = (truth[:, 300:] >= lower) & (truth[:, 300:] <= upper)
    assert inside.mean() > 0.87
    assert above_zero(truth[:, 300:], inside) > 0.75


def test_all_genes_of_a_small_panel_count(rng, monkeypatch):
    truth, predicted, std, molecule = simulate(rng, 100)
    known = fit(truth, predicted, std, molecule)
    monkeypatch.setattr(_intervals, "MAX_GENES", 100)
    np.testing.assert_array_equal(fit(truth, predicted, std, molecule).quantiles, known.quantiles)
    monkeypatch.setattr(_intervals, "MAX_GENES", 99)
    assert (fit(truth, predicted, std, molecule).quantiles != known.quantiles).any()


def test_intervals_are_no_wider_than_needed(rng):
    """One of the three promises binds: none could be kept by narrower intervals."""
    truth, predicted, std, molecule = simulate(rng, 100)
    intervals = fit(truth, predicted, std, molecule)
    lower, upper = bounds(intervals, predicted, std, molecule, 0.9)
    inside = (truth >= lower) & (truth <= upper)
    slack = [inside.mean() - 0.9, above_zero(truth, inside) - 0.8, least_covered_quarter(inside) - 0.8]
    assert min(slack) < 0.03


def test_a_lower_bound_is_zero_or_at_least_one_molecule(rng):
    truth, predicted, std, molecule = simulate(rng, 100)
    lower, _ = bounds(fit(truth, predicted, std, molecule), predicted, std, molecule, 0.5)
    assert ((lower == 0) | (lower >= molecule[:, None] * (1 - 1e-6))).all()
    assert (lower > 0).any()


def test_cells_with_fewer_molecules_get_wider_intervals(rng):
    truth, predicted, std, molecule = simulate(rng, 100)
    intervals = fit(truth, predicted, std, molecule)
    same = np.full((2, 1), 1.0)
    lower, upper = bounds(intervals, same, np.ones(1), np.array([0.2, 2.0]), 0.9)
    width = (upper - lower).ravel()
    assert width[1] > width[0]


def test_wider_intervals_contain_narrower_ones(rng):
    truth, predicted, std, molecule = simulate(rng, 60)
    intervals = fit(truth, predicted, std, molecule)
    inner, outer = (bounds(intervals, predicted, std, molecule, level) for level in (0.5, 0.95))
    assert (outer[0] <= inner[0] + 1e-6).all()
    assert (outer[1] >= inner[1] - 1e-6).all()


def test_bounds_by_hand():
    """Two bins with residuals that are uniform, twice as wide in the second; every probability is reached."""
    quantiles = np.stack([2 * GRID - 1, 4 * GRID - 2])
    molecule = np.log1p(1.0)
    intervals = promise_on_all_values(quantiles, [np.expm1(5.0)])
    std = np.array([1.0, 4.0]) / molecule  # so that residuals are scaled by 1 and 2
    predicted = np.array([[4.0, 0.1], [6.0, 20.0]])
    lower, upper = bounds(intervals, predicted, std, np.full(2, molecule), 0.5)
    np.testing.assert_allclose(lower, [[3.5, 0], [5, 18]], atol=1e-5)
    np.testing.assert_allclose(upper, [[4.5, 1.1], [7, 22]], atol=1e-5)


def test_reached_probability_replaces_the_nominal_one():
    quantiles = (2 * GRID - 1)[None]
    too_narrow = promise_on_all_values(quantiles, probability=GRID / 2)
    _, upper = bounds(too_narrow, np.full((1, 1), 9.0), np.ones(1), np.ones(1), 0.25)
    assert upper.item() == pytest.approx(9.5)
    assert too_narrow.highest == 0.5


def test_values_above_zero_of_rare_genes_are_covered(rng):
    """The probability that all genes together need would miss most of them."""
    truth, predicted, std, molecule = simulate(rng, 240, depth=40.0)
    seen = slice(0, 120)
    intervals = fit(truth[:, seen], predicted[:, seen], std[seen], molecule)
    rare = 120 + np.argsort(predicted[:, 120:].mean(0))[:30]
    truth, predicted = truth[:, rare], predicted[:, rare]
    of_gene = intervals.central(0.9, predicted.mean(0), predicted.std(0))
    of_all = np.full(len(rare), np.interp(0.9, intervals.probability, GRID))
    shares = []
    for central in (of_gene, of_all):
        lower, upper = intervals.bounds(predicted, std[rare], molecule, central)
        shares.append(above_zero(truth, (truth >= lower) & (truth <= upper)))
    assert shares[0] > 0.72
    assert shares[1] < 0.5


def test_the_probability_of_a_gene_by_hand():
    """Values above zero of the lower bin are missed as often as the quantiles leave out, those of the upper never."""
    missed = np.stack([0.5 * (1 - GRID), np.zeros(len(GRID))])
    quantiles = np.stack([2 * GRID - 1] * 2)
    molecule = np.log1p(4.0)
    half_a_molecule = np.log1p(2.0)
    intervals = Intervals(np.array([0.5]), quantiles, GRID**0.25, np.array([0.5, 1.0]), missed, molecule)
    mean = np.array([0.0, half_a_molecule, 9.0])  # of genes with all, half and none of their cells in the lower bin
    std = np.full(3, 0.1)
    for_all_values = 0.9**4  # the second gene alone would need 0.4, and the third none
    np.testing.assert_allclose(intervals.central(0.9, mean, std), [0.8, for_all_values, for_all_values], atol=0.01)
    np.testing.assert_allclose(intervals.central(0.5, mean, std), 0.5**4, atol=0.01)


def test_coverage_is_observed_on_genes_that_the_quantiles_have_not_seen(rng):
    """Quantiles of narrow residuals cover few of the wide ones, and those of wide residuals all of the narrow ones."""
    predicted = np.full((500, 8), 5.0)
    width = np.repeat([0.01, 1.0], 4)
    truth = predicted + width * rng.uniform(-1, 1, predicted.shape)
    intervals = fit(truth, predicted, np.ones(8), np.ones(500), np.repeat([0, 1], 4))
    nothing_of_the_least_covered_quarter = (1 + 0.01 * 0.9) / 2
    reached = intervals.probability[GRID == 0.9]
    assert reached == pytest.approx(nothing_of_the_least_covered_quarter, abs=0.01)


def test_the_highest_probability_by_hand():
    """That which held-out values were covered with, and no more than values above zero allow."""
    nothing_missed = Intervals(np.array([1.0]), np.zeros((2, 3)), 0.9 * GRID, np.ones(2), np.zeros((2, len(GRID))), 1.0)
    assert nothing_missed.highest == 0.9 * GRID[-1]
    missed = np.linspace([0.5, 0.3], [0.3, 0.1], len(GRID)).T  # a share of all values, by bin and probability
    few_above_zero = Intervals(np.array([1.0]), np.zeros((2, 3)), GRID, np.full(2, 0.4), missed, 1.0)
    assert few_above_zero.highest == pytest.approx(1 - 0.4 / 0.8 / 2)


def test_the_quantiles_are_those_of_the_residuals_with_a_similar_expected_number_of_molecules(rng):
    truth, predicted, std, molecule = simulate(rng, 30)
    intervals = fit(truth, predicted, std, molecule)
    expected = np.expm1(predicted) / np.expm1(molecule)[:, None]
    residual = (truth - predicted) / np.sqrt(std * molecule[:, None])
    bins = pd.qcut(expected.ravel(), N_BINS, labels=False)
    for number, row in enumerate(intervals.quantiles):
        np.testing.assert_allclose(row, np.quantile(residual.ravel()[bins == number], GRID), atol=1e-9)
    assert len(intervals.quantiles) == N_BINS


def test_a_bin_with_few_values_gets_the_quantiles_of_all(rng):
    residual = rng.normal(size=(3 * MIN_VALUES - 1, 1))
    bins = np.repeat([0, 1], [2 * MIN_VALUES, MIN_VALUES - 1])[:, None]
    of_all = np.quantile(residual, GRID)
    np.testing.assert_array_equal(_quantiles_by_bin(residual, bins, 3)[1:], [of_all, of_all])
    bins[0] = 1
    np.testing.assert_array_equal(_quantiles_by_bin(residual, bins, 3)[1], np.quantile(residual[bins == 1], GRID))


def test_what_held_out_intervals_cover_is_counted_by_gene_and_by_bin(rng):
    truth, predicted, std, molecule = simulate(rng, 12, n_cells=200, depth=60.0)
    truth[truth > 0] -= 0.6 * molecule.min()  # values between zero and one count, too
    predicted[rng.uniform(size=predicted.shape) < 0.2] = 0  # such predictions have intervals that end at zero
    fold = np.arange(12) % 3
    intervals = fit(truth, predicted, std, molecule, fold)
    bins = np.searchsorted(intervals.edges, np.expm1(predicted) / np.expm1(molecule)[:, None], side="right")
    scale = np.sqrt(std * molecule[:, None])
    covered = np.zeros((12, len(GRID)))
    missed = np.zeros_like(intervals.quantiles)
    for gene in range(12):
        others = fold != fold[gene]
        residual = ((truth - predicted) / scale)[:, others]
        for cell in range(len(truth)):
            alike = residual[bins[:, others] == bins[cell, gene]]
            low, high = (np.interp(ends, GRID, np.quantile(alike, GRID)) for ends in ((1 - GRID) / 2, (1 + GRID) / 2))
            lower = predicted[cell, gene] + scale[cell, gene] * low
            lower = np.where(lower < molecule[cell], 0, lower)
            upper = np.maximum(predicted[cell, gene] + scale[cell, gene] * high, 0)
            inside = (lower <= truth[cell, gene]) & (truth[cell, gene] <= upper)
            covered[gene] += inside / len(truth)
            if truth[cell, gene] > 0:
                missed[bins[cell, gene]] += ~inside
    n_values = np.bincount(bins.ravel())
    np.testing.assert_allclose(intervals.probability, _reached_probability(covered), atol=1e-9)
    np.testing.assert_allclose(intervals.missed_above_zero, missed / n_values[:, None])
    np.testing.assert_allclose(intervals.above_zero, np.bincount(bins.ravel(), truth.ravel() > 0) / n_values)


def test_equal_predictions_make_one_bin(rng):
    truth = np.abs(rng.normal(size=(50, 6)))
    intervals = fit(truth, np.ones_like(truth), np.ones(6), np.ones(50))
    assert intervals.quantiles.shape == (len(intervals.edges) + 1, len(GRID))
    lower, upper = bounds(intervals, np.ones((4, 1)), np.ones(1), np.ones(4), 0.9)
    assert (lower < upper).all()


def test_the_probability_never_falls(rng):
    truth, predicted, std, molecule = simulate(rng, 30)
    probability = fit(truth, predicted, std, molecule).probability
    assert (np.diff(probability) >= 0).all()
    assert probability.max() <= 1


def test_genes_without_any_count_can_be_calibrated():
    nothing = np.zeros((40, 5))
    intervals = fit(nothing, nothing, np.full(5, 1e-3), np.ones(40))
    assert (intervals.probability == 1).all()
    lower, upper = bounds(intervals, nothing, np.full(5, 1e-3), np.ones(40), 0.9)
    assert (lower == 0).all()
    assert np.isfinite(upper).all()


def test_intervals_survive_as_arrays(rng):
    truth, predicted, std, molecule = simulate(rng, 30)
    intervals = fit(truth, predicted, std, molecule)
    again = from_arrays(Intervals, to_arrays(intervals), {})
    np.testing.assert_array_equal(
        bounds(again, predicted, std, molecule, 0.9), bounds(intervals, predicted, std, molecule, 0.9)
    )


def test_the_least_covered_quarter_of_genes_is_found_in_any_order():
    covered = np.array([[0.9, 1.0], [0.9, 1.0], [0.1, 0.4], [0.9, 1.0]])
    mean = [0.7, 0.85]
    least = [(1 + 0.1) / 2, (1 + 0.4) / 2]
    np.testing.assert_allclose(_reached_probability(covered), np.minimum(mean, least))
    np.testing.assert_allclose(_reached_probability(covered[::-1]), np.minimum(mean, least))
    five = np.concatenate([covered, [[0.5, 0.6]]])  # two of five are a quarter, rounded up
    np.testing.assert_allclose(_reached_probability(five), [(1 + 0.3) / 2, (1 + 0.5) / 2])


def test_a_lower_bound_of_exactly_one_molecule_stays():
    np.testing.assert_array_equal(_lower_bound(np.array([0.5, 1.0, 1.5]), np.ones(3)), [0, 1, 1.5])


def test_no_bin_is_empty_where_many_predictions_are_zero(rng):
    truth, predicted, std, molecule = simulate(rng, 30)
    predicted = np.maximum(predicted - np.quantile(predicted, 0.3), 0)
    intervals = fit(truth, predicted, std, molecule)
    bins = np.digitize(np.expm1(predicted) / np.expm1(molecule)[:, None], intervals.edges)
    assert (np.bincount(bins.ravel(), minlength=len(intervals.quantiles)) > 0).all()
    assert (intervals.above_zero > 0).all()


def test_values_that_are_no_logarithms_have_finite_intervals(rng):
    truth = rng.gamma(0.5, 800.0, (60, 10))
    predicted = rng.gamma(0.5, 800.0, (60, 10))
    intervals = fit(truth, predicted, truth.std(0), np.full(60, 50.0))
    lower, upper = bounds(intervals, predicted, truth.std(0), np.full(60, 50.0), 0.8)
    assert np.isfinite([lower, upper]).all()
    assert all(np.isfinite(array).all() for array in to_arrays(intervals).values())

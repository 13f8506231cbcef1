"""Mean and standard deviation of a gene on the spatial platform."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from stimpute.calibrate._moments import MATCHED_MEAN, MATCHED_STD, MIN_STD, PENALTY, Moments, _fit_mixture, _ridge


@pytest.fixture
def rng():
    return np.random.default_rng(1)


def from_coefficients(mean, std):
    """Moments whose statistics need no scaling."""
    n = len(mean) - 1
    return Moments(np.zeros(n), np.ones(n), np.array([mean, std], dtype=float))


def test_a_linear_platform_effect_is_found(rng):
    statistics = rng.normal(size=(300, 6))
    mean = 1 + statistics @ [0.5, 0.1, 0, 0.2, 0, 0]
    std = np.exp(-0.5 + statistics @ [0, 0.2, 0.1, 0, 0.1, 0])
    moments = Moments.fit(statistics[:200], np.maximum(mean, 0)[:200], std[:200])
    found_mean, found_std = moments.predict(statistics[200:])
    assert np.corrcoef(found_mean, np.maximum(mean[200:], 0))[0, 1] > 0.95
    np.testing.assert_allclose(found_std, std[200:], rtol=0.1)


@pytest.mark.parametrize("scale", [0.01, 100])
def test_units_of_the_statistics_do_not_matter(rng, scale):
    statistics = rng.normal(size=(40, 6))
    mean = rng.uniform(0, 2, 40)
    std = rng.uniform(0.5, 1, 40)
    first = Moments.fit(statistics, mean, std).predict(statistics)
    second = Moments.fit(scale * statistics + 3, mean, std).predict(scale * statistics + 3)
    np.testing.assert_allclose(first, second, rtol=1e-3)


def test_predictions_by_hand():
    moments = from_coefficients([1.0, 2, 0], [0.0, 0, 1])
    mean, std = moments.predict(np.array([[1.0, 0], [-3, np.log(2)]]))
    np.testing.assert_allclose(mean, [3, 0])  # never negative
    np.testing.assert_allclose(std, [1 - MIN_STD, 2 - MIN_STD])


def test_statistics_far_from_those_of_the_panel_are_clipped():
    moments = from_coefficients([1.0, 2], [0.0, 0])
    assert moments.predict(np.array([[100.0]]))[0] == moments.predict(np.array([[3.0]]))[0]
    assert from_coefficients([10.0, 2], [0.0, 0]).predict(np.array([[-100.0]]))[0] == 4


def test_the_standard_deviation_has_a_minimum():
    assert from_coefficients([0.0, 0], [-50.0, 0]).predict(np.zeros((1, 1)))[1] == 1e-3


def test_the_regressions_are_of_the_mean_and_the_logarithm_of_the_standard_deviation(rng):
    statistics = rng.gamma(1.0, size=(9, 6)) * [1, 10, 0.1, 1, 5, 2]
    mean = rng.uniform(0, 2, 9)
    std = np.append(0, rng.uniform(0.5, 1, 8))
    x = (statistics - statistics.mean(0)) / statistics.std(0)
    expected = [_fit_mixture(x, mean, MATCHED_MEAN), _fit_mixture(x[1:], np.log(std[1:] + MIN_STD), MATCHED_STD)]
    np.testing.assert_allclose(Moments.fit(statistics, mean, std).coefficients, expected, rtol=1e-3, atol=1e-4)


def test_the_ridge_regression_is_that_of_scikit_learn(rng):
    x = rng.normal(size=(12, 3))
    y = rng.normal(size=12)
    coefficients, left_out = _ridge(x, y)
    model = Ridge(PENALTY).fit(x, y)
    np.testing.assert_allclose(coefficients, [model.intercept_, *model.coef_], rtol=1e-5)
    for gene in range(12):
        others = np.arange(12) != gene
        by_refitting = Ridge(PENALTY).fit(x[others], y[others]).predict(x[[gene]])
        np.testing.assert_allclose(left_out[gene], by_refitting[0], rtol=1e-4, atol=1e-5)


def test_with_few_genes_the_line_prevails(rng):
    mixed = []
    ridge = []
    for _ in range(50):
        x = rng.normal(size=(12, 6))
        y = x[:, MATCHED_MEAN] + rng.normal(size=12)
        mixed.append(np.delete(_fit_mixture(x, y, MATCHED_MEAN)[1:], MATCHED_MEAN))
        ridge.append(np.delete(_ridge(x, y)[0][1:], MATCHED_MEAN))
    assert np.mean(np.square(mixed)) < 0.1 * np.mean(np.square(ridge))


def test_the_share_of_the_ridge_regression_is_that_of_the_equation_between_0_and_1(rng):
    shares = []
    for n_genes in [4, 8, 30, 300] * 20:
        x = rng.normal(size=(n_genes, 6))
        if n_genes == 300:
            x *= 0.02  # so that the ridge regression is small, and twice of it would have less error
        y = 100 * (x @ [1, 1, 1, 0, 1, 1]) if n_genes in (8, 300) else rng.normal(size=n_genes)
        line, line_left_out = _ridge(x[:, [2]], y)
        full, full_left_out = _ridge(x, y)
        difference = full_left_out - line_left_out
        error = y - line_left_out
        share = (difference * error).sum() / ((difference**2).sum() + 5 * (error**2).mean())
        shares.append(share)
        expected = np.clip(share, 0, 1) * full
        expected[[0, 3]] += (1 - np.clip(share, 0, 1)) * line
        np.testing.assert_allclose(_fit_mixture(x, y, 2), expected, atol=1e-9)
    assert min(shares) < 0
    assert max(shares) > 1


@pytest.mark.parametrize("column", [MATCHED_MEAN, MATCHED_STD])
def test_with_many_genes_all_statistics_count(rng, column):
    x = rng.normal(size=(400, 6))
    true = np.array([1.0, -1, 0.5, 2, 0, 1])
    np.testing.assert_allclose(_fit_mixture(x, x @ true, column)[1:], true, atol=0.05)


def test_three_genes_are_enough(rng):
    statistics = rng.normal(size=(3, 6))
    for found in Moments.out_of_fold(statistics, np.ones(3), np.ones(3), np.arange(3)):
        np.testing.assert_allclose(found, 1, rtol=1e-2)
    for found in Moments.fit(statistics[:1], np.ones(1), np.ones(1)).predict(statistics):
        assert np.isfinite(found).all()


def test_out_of_fold_moments_do_not_depend_on_the_fold_itself(rng):
    statistics, fold = rng.normal(size=(40, 6)), np.arange(40) % 5
    mean, std = rng.uniform(0, 2, 40), rng.uniform(0.5, 1, 40)
    same_fold = fold == fold[7]
    before = Moments.out_of_fold(statistics, mean, std, fold)
    mean[same_fold] = 50
    std[same_fold] = 9
    after = Moments.out_of_fold(statistics, mean, std, fold)
    for first, second in zip(before, after, strict=True):
        np.testing.assert_array_equal(first[same_fold], second[same_fold])
        assert not np.allclose(first[~same_fold], second[~same_fold])
    by_hand = Moments.fit(statistics[~same_fold], mean[~same_fold], std[~same_fold]).predict(statistics[same_fold])
    np.testing.assert_allclose([found[same_fold] for found in after], by_hand)

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from stimpute.calibrate._reliability import EXCESS_SHARE, ReliabilityRegression

MANY_CELLS = np.full(200, 1e6)


@pytest.fixture
def rng():
    return np.random.default_rng(1)


def test_unseen_genes_are_ranked(rng):
    features = rng.normal(size=(120, 4))
    observed = np.clip(0.3 + 0.15 * features[:, 0] + 0.05 * rng.normal(size=120), -1, 1)
    model = ReliabilityRegression.fit(features[:80], observed[:80], np.full(80, 0.3))
    predicted = model.predict(features[80:], np.full(40, 0.3), MANY_CELLS[:40])
    assert np.corrcoef(predicted, observed[80:])[0, 1] > 0.8


def test_with_few_genes_the_level_is_near_that_of_a_calibrated_prediction(rng):
    features, observed, predicted_std = rng.normal(size=(5, 4)), np.full(5, 0.9), np.full(5, 0.2)
    model = ReliabilityRegression.fit(features, observed, predicted_std)
    assert 0.2 < model.predict(features, predicted_std, MANY_CELLS[:5]).mean() < 0.5


def test_the_regression_is_of_the_departure_from_a_calibrated_prediction(rng):
    features = rng.normal(size=(20, 3)) * [1, 10, 0.1]
    observed = rng.uniform(0, 0.7, 20)
    predicted_std = rng.uniform(0, 0.5, 20)
    model = ReliabilityRegression.fit(features, observed, predicted_std)
    expected = Ridge(10).fit((features - features.mean(0)) / features.std(0), observed - predicted_std)
    np.testing.assert_allclose(model.coefficients[0], expected.intercept_ * 20 / 120)
    np.testing.assert_allclose(model.coefficients[1:], expected.coef_, rtol=1e-4)


def test_a_feature_that_is_constant_says_nothing(rng):
    features = np.column_stack([rng.normal(size=20), np.ones(20)])
    model = ReliabilityRegression.fit(features, rng.uniform(0, 0.7, 20), np.full(20, 0.3))
    assert model.coefficients[2] == 0


def test_predictions_are_hardly_above_the_best_that_was_observed(rng):
    features, observed = rng.normal(size=(50, 4)), rng.uniform(0, 0.7, 50)
    model = ReliabilityRegression.fit(features, observed, np.full(50, 0.3))
    usual, large = (model.predict(features, np.full(50, std), MANY_CELLS[:50]) for std in (0.9, 1.5))
    assert usual.max() < large.max() < observed.max() + 0.2


def test_predictions_by_hand():
    model = ReliabilityRegression(np.array([1.0]), np.array([2.0]), np.array([0.1, 0.2]), best_observed=0.6)
    features = np.array([[1.0], [3.0], [-99.0], [99.0]])  # standardized: 0, 1, clipped to -3 and 3
    found = model.predict(features, np.full(4, 0.2), np.array([30.0, 1e12, 1e12, 1e12]))
    excess = 0.6 + EXCESS_SHARE * (0.2 + 0.1 + 0.6 - 0.6)
    np.testing.assert_allclose(found, [0.3 * np.sqrt(30 / 40), 0.5, -0.3, excess], rtol=1e-6)


def test_predictions_are_correlations():
    model = ReliabilityRegression(np.zeros(1), np.ones(1), np.array([0.0, 5.0]), best_observed=0.99)
    found = model.predict(np.array([[-9.0], [9.0]]), np.full(2, 9.0), MANY_CELLS[:2])
    assert (np.abs(found) <= 1).all()


def test_genes_that_few_reference_cells_express_are_less_reliable(rng):
    features, observed = rng.normal(size=(50, 4)), rng.uniform(0, 0.7, 50)
    model = ReliabilityRegression.fit(features, observed, np.full(50, 0.3))
    by_count = [model.predict(features[:1], np.full(1, 0.3), np.array([k]))[0] for k in (0, 3, 30, 3000)]
    assert by_count == sorted(by_count)
    assert by_count[0] == 0
    assert by_count[1] < 0.6 * by_count[3]
    assert by_count[2] > 0.8 * by_count[3]


def test_out_of_fold_predictions_do_not_depend_on_the_fold_itself(rng):
    features, observed = rng.normal(size=(40, 4)), rng.uniform(0, 0.7, 40)
    fold, predicted_std, n_cells = np.arange(40) % 5, rng.uniform(0, 0.5, 40), rng.integers(1, 50, 40)
    same_fold = fold == 2
    before = ReliabilityRegression.out_of_fold(features, observed, predicted_std, n_cells, fold)
    observed[same_fold] = -1
    after = ReliabilityRegression.out_of_fold(features, observed, predicted_std, n_cells, fold)
    np.testing.assert_array_equal(before[same_fold], after[same_fold])
    assert not np.allclose(before[~same_fold], after[~same_fold])
    model = ReliabilityRegression.fit(features[~same_fold], observed[~same_fold], predicted_std[~same_fold])
    by_hand = model.predict(features[same_fold], predicted_std[same_fold], n_cells[same_fold])
    np.testing.assert_array_equal(after[same_fold], by_hand)

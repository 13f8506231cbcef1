import numpy as np
import pytest

from stimpute.calibrate._moments import MIN_STD, Moments


@pytest.fixture
def rng():
    return np.random.default_rng(1)


def test_a_linear_platform_effect_is_found(rng):
    statistics = rng.normal(size=(300, 3))
    mean, std = 1 + statistics @ [0.5, 0.1, 0], np.exp(-0.5 + statistics @ [0, 0.2, 0.1])
    moments = Moments.fit(statistics[:200], np.maximum(mean, 0)[:200], std[:200])
    found_mean, found_std = moments.predict(statistics[200:])
    assert np.corrcoef(found_mean, np.maximum(mean[200:], 0))[0, 1] > 0.95
    np.testing.assert_allclose(found_std, std[200:], rtol=0.1)


def test_predictions_by_hand():
    moments = Moments(np.array([[1.0, 2, 0], [0.0, 0, 1]]))
    mean, std = moments.predict(np.array([[1.0, 0], [-3, np.log(2)]]))
    np.testing.assert_allclose(mean, [3, 0])  # never negative
    np.testing.assert_allclose(std, [1 - MIN_STD, 2 - MIN_STD])


def test_the_standard_deviation_has_a_minimum():
    assert Moments(np.array([[0.0, 0], [-50.0, 0]])).predict(np.zeros((1, 1)))[1] == MIN_STD


def test_out_of_fold_moments_do_not_depend_on_the_fold_itself(rng):
    statistics, fold = rng.normal(size=(40, 3)), np.arange(40) % 5
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

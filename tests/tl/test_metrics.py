import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import sparse
from scipy.spatial.distance import jensenshannon
from scipy.stats import pearsonr, spearmanr
from skimage.metrics import structural_similarity

from stimpute.tl import metrics

ALL = [getattr(metrics, name) for name in metrics.__all__]
BEST = {"css": 1, "pcc": 1, "spearman": 1, "ssim": 1, "mse": 0, "rmse_z": 0, "js": 0}


@pytest.fixture(scope="module")
def pair():
    rng = np.random.default_rng(0)
    truth = rng.gamma(1, 1, (40, 7)).astype(np.float32)
    return truth, (truth + rng.gamma(1, 1, truth.shape)).astype(np.float32)


def test_values_by_hand():
    truth, predicted = np.array([[1.0], [2], [3]]), np.array([[2.0], [2], [5]])
    assert metrics.css(truth, predicted)[0] == pytest.approx(21 / np.sqrt(14 * 33))
    assert metrics.mse(truth, predicted)[0] == pytest.approx(5 / 3)
    assert metrics.pcc(truth, predicted)[0] == pytest.approx(np.sqrt(3) / 2)
    assert metrics.rmse_z(truth, predicted)[0] == pytest.approx(np.sqrt(2 - np.sqrt(3)))


def test_against_scipy(pair):
    truth, predicted = pair
    genes = list(zip(truth.T, predicted.T, strict=True))
    np.testing.assert_allclose(metrics.pcc(*pair), [pearsonr(a, b)[0] for a, b in genes], rtol=1e-5)
    np.testing.assert_allclose(metrics.spearman(*pair), [spearmanr(a, b)[0] for a, b in genes], rtol=1e-6)
    np.testing.assert_allclose(metrics.js(*pair), [jensenshannon(a, b) ** 2 for a, b in genes], rtol=1e-5)
    z = lambda x: (x - x.mean()) / x.std()
    np.testing.assert_allclose(
        metrics.rmse_z(*pair), [np.sqrt(np.mean((z(a) - z(b)) ** 2)) for a, b in genes], rtol=1e-5
    )


def test_ssim_is_the_global_structural_similarity(pair):
    truth, predicted = (x / x.max(0) for x in pair)
    window = {"win_size": 39, "use_sample_covariance": False, "data_range": 1.0, "full": True}
    for gene, value in enumerate(metrics.ssim(*pair)):
        # one window over 39 of 40 values, so that it is close and not equal
        _, full = structural_similarity(truth[:, gene].astype(float), predicted[:, gene].astype(float), **window)
        assert value == pytest.approx(full[20], abs=0.05)


@pytest.mark.parametrize("metric", ALL)
def test_cells_are_scored_like_genes_of_the_transposed_matrix(pair, metric):
    truth, predicted = pair
    assert metric(truth, predicted).shape == (7,)
    np.testing.assert_allclose(metric(truth, predicted, axis="cell"), metric(truth.T, predicted.T))


@pytest.mark.parametrize("metric", ALL)
def test_a_perfect_prediction_is_best(pair, metric):
    np.testing.assert_allclose(metric(pair[0], pair[0]), BEST[metric.__name__], atol=1e-6)


@pytest.mark.parametrize("metric", ALL)
def test_sparse_and_blocks_change_nothing(pair, metric, monkeypatch):
    truth, predicted = np.where(pair[0] > 1, pair[0], 0), pair[1]
    expected = metric(truth, predicted)
    np.testing.assert_allclose(metric(sparse.csr_matrix(truth), sparse.csr_array(predicted)), expected)
    monkeypatch.setattr("stimpute.tl.metrics._profiles.VALUES_PER_BLOCK", 90)
    np.testing.assert_allclose(metric(truth, predicted), expected)


@pytest.mark.parametrize("metric", [metrics.css, metrics.pcc, metrics.spearman])
@pytest.mark.parametrize("constant", [0.0, 0.1, 1e6 / 3])
def test_a_constant_scores_zero(pair, metric, constant):
    flat = np.full_like(pair[0], constant)
    if metric is not metrics.css or constant == 0:
        np.testing.assert_array_equal(metric(pair[0], flat), 0)
        np.testing.assert_array_equal(metric(flat, flat), 0)


def test_errors_of_a_constant(pair):
    zero, flat = np.zeros_like(pair[0]), np.full_like(pair[0], 0.1)
    np.testing.assert_allclose(metrics.rmse_z(pair[0], flat), 1, rtol=1e-6)
    np.testing.assert_array_equal(metrics.rmse_z(flat, flat), 0)
    np.testing.assert_allclose(metrics.js(zero, flat), 0, atol=1e-12)
    np.testing.assert_allclose(metrics.js(pair[0], zero), metrics.js(pair[0], flat))


@pytest.mark.parametrize("metric", ALL)
@given(
    truth=arrays(np.float32, (5, 3), elements=st.floats(0, 100, width=32)),
    predicted=arrays(np.float32, (5, 3), elements=st.floats(0, 100, width=32)),
)
def test_always_finite(metric, truth, predicted):
    assert np.isfinite(metric(truth, predicted)).all()


def test_inputs_are_unchanged(pair):
    before = [x.copy() for x in pair]
    for metric in ALL:
        metric(*pair)
    for x, y in zip(pair, before, strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize(
    ("truth", "predicted", "axis", "message"),
    [
        (np.ones((2, 3)), np.ones((3, 2)), "gene", "expected two equal"),
        (np.ones((0, 3)), np.ones((0, 3)), "gene", "at least one"),
        (np.ones((2, 3)), np.full((2, 3), np.nan), "gene", "NaN"),
        (np.ones((2, 3)), np.ones((2, 3)), 0, 'expected "gene"'),
    ],
)
def test_bad_input_is_named(truth, predicted, axis, message):
    with pytest.raises(ValueError, match=message):
        metrics.pcc(truth, predicted, axis=axis)

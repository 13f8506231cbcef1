"""The simple methods, computed again by hand on a few cells."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from stimpute import tl
from stimpute.tl._baselines import neighbor_mean
from stimpute.tl._gene_fold import DenseData

GENES = list("abcdefgh")


def make_pair(n_cells=9, n_reference=60, seed=0) -> tuple[AnnData, AnnData]:
    rng = np.random.default_rng(seed)
    levels = rng.gamma(2.0, 2.0, len(GENES))
    make = lambda n: AnnData(
        sparse.csr_matrix(rng.poisson(levels * rng.gamma(2.0, 0.5, (n, 1)), (n, len(GENES))).astype(np.float32)),
        var=pd.DataFrame(index=GENES),
    )
    return make(n_cells), make(n_reference)


@pytest.fixture
def fold():
    return tl.gene_folds(*make_pair(), n_folds=4)[0]


def log_normalized(counts: pd.DataFrame) -> pd.DataFrame:
    totals = counts.sum(axis=1)
    return np.log1p(counts.mul(totals[totals > 0].median() / totals.clip(lower=1), axis=0))


@pytest.fixture
def by_name(fold):
    """Log-normalized inputs, and the reference, as tables."""
    return log_normalized(fold.spatial.to_df()), log_normalized(fold.reference.to_df())


def test_there_are_three():
    assert list(tl.BASELINES) == ["constant", "reference mean, calibrated", "kNN"]


def test_the_constant_is_the_mean_of_the_inputs(fold, by_name):
    spatial, _ = by_name
    found = tl.BASELINES["constant"](fold)
    assert found.shape == (9, len(fold.targets))
    np.testing.assert_allclose(found, spatial.to_numpy().mean(), rtol=1e-5)


def test_the_reference_mean_is_mapped_by_a_line_through_the_inputs(fold, by_name):
    spatial, reference = by_name
    inputs = reference[list(spatial)].mean()
    slope, intercept = np.polyfit(inputs, spatial.mean(), 1)
    expected = np.maximum(intercept + slope * reference[fold.targets].mean(), 0)
    found = tl.BASELINES["reference mean, calibrated"](fold)
    np.testing.assert_allclose(found, np.tile(expected, (9, 1)), rtol=1e-4)


def test_knn_is_the_mean_of_the_fifty_nearest_cells(fold, by_name):
    spatial, reference = by_name
    z_score = lambda x: ((x - x.mean()) / x.std(ddof=0)).to_numpy()
    query, base = z_score(spatial), z_score(reference[list(spatial)])
    unit = lambda x: x / np.linalg.norm(x, axis=1, keepdims=True)
    nearest = np.argsort(-(unit(query) @ unit(base).T), axis=1)[:, :50]
    targets = reference[fold.targets].to_numpy()
    found = tl.BASELINES["kNN"](fold)
    np.testing.assert_allclose(found, targets[nearest].mean(1), rtol=1e-4)
    assert found.std(0).min() > 0


def test_with_fewer_reference_cells_all_are_neighbors():
    fold = tl.gene_folds(*make_pair(n_reference=20), n_folds=4)[0]
    found = tl.BASELINES["kNN"](fold)
    mean = log_normalized(fold.reference.to_df())[fold.targets].mean()
    np.testing.assert_allclose(found, np.tile(mean, (9, 1)), rtol=1e-5)


def test_the_nearest_cell_alone():
    base = np.array([[0.0, 1], [1, 0], [0, -1], [-1, 0]], np.float32)
    targets = np.arange(4, dtype=np.float32)[:, None]
    data = DenseData(base[[2, 0, 1, 3]], base, targets)
    assert neighbor_mean(data, k=1).ravel().tolist() == [2, 0, 1, 3]


@pytest.mark.parametrize("name", tl.BASELINES)
def test_no_baseline_sees_the_truth(name):
    spatial, reference = make_pair()
    fold = tl.gene_folds(spatial, reference, n_folds=4)[2]
    counts = spatial.to_df()
    counts[fold.targets] = np.arange(9)[:, None] * np.full(len(fold.targets), 7)
    changed = AnnData(sparse.csr_matrix(counts.to_numpy(np.float32)), obs=spatial.obs, var=spatial.var)
    again = tl.gene_folds(changed, reference, n_folds=4)[2]
    assert again.targets == fold.targets
    assert not np.allclose(again.truth, fold.truth)
    np.testing.assert_array_equal(tl.BASELINES[name](again), tl.BASELINES[name](fold))


@pytest.mark.parametrize("name", tl.BASELINES)
def test_predictions_are_expression_of_every_target(name):
    for fold in tl.gene_folds(*make_pair(seed=1), n_folds=4):
        found = tl.BASELINES[name](fold)
        assert found.shape == fold.truth.shape
        assert found.dtype == np.float32
        assert (found >= 0).all()

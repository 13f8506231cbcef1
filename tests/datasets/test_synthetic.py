import numpy as np
import pytest
from scipy.sparse import isspmatrix_csr

from stimpute.datasets import synthetic_tissue


@pytest.fixture(scope="module")
def tissue():
    return synthetic_tissue(seed=0)


def test_the_parts_fit_together(tissue):
    spatial, reference, truth = tissue.spatial, tissue.reference, tissue.truth
    assert spatial.shape == (2000, 60)
    assert reference.shape == (3000, 300)
    assert truth.shape == (2000, 300)
    assert list(truth.obs_names) == list(spatial.obs_names)
    assert list(truth.var_names) == list(reference.var_names)
    assert list(truth.var_names[truth.var["measured"]]) == list(spatial.var_names)
    np.testing.assert_array_equal(truth[:, spatial.var_names].layers["counts"].toarray(), spatial.X.toarray())
    assert {"cell_type", "domain"} <= set(spatial.obs)
    assert spatial.obsm["spatial"].shape == (2000, 2)


def test_counts_are_sparse_integers(tissue):
    for adata in (tissue.spatial, tissue.reference):
        assert isspmatrix_csr(adata.X)
        assert adata.X.dtype == np.float32
        assert (adata.X.data > 0).all()
        assert (adata.X.data == np.round(adata.X.data)).all()


def test_one_seed_one_tissue(tissue):
    again, other = synthetic_tissue(seed=0), synthetic_tissue(seed=1)
    assert (again.spatial.X != tissue.spatial.X).nnz == 0
    np.testing.assert_array_equal(again.proteins.X, tissue.proteins.X)
    assert (other.spatial.X != tissue.spatial.X).nnz > 0


def test_no_global_seed():
    np.random.seed(3)  # noqa: NPY002
    expected = np.random.rand()  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    synthetic_tissue(50, 50)
    assert np.random.rand() == expected  # noqa: NPY002


def test_proteins_share_a_direction_and_depend_on_the_programs(tissue):
    vectors = tissue.proteins.X
    assert tissue.proteins.n_obs == 288
    assert set(tissue.proteins.obs_names) < set(tissue.reference.var_names)
    pairs = np.triu_indices(len(vectors), 1)
    assert np.median(_cosine(vectors)[pairs]) == pytest.approx(0.9, abs=0.04)
    centered = _cosine(vectors - vectors.mean(0))[pairs]
    together = np.corrcoef(tissue.truth[:, tissue.proteins.obs_names].X.T)[pairs]
    assert np.corrcoef(centered, together)[0, 1] > 0.2


def test_neighbors_beat_the_mean_without_solving_it(tissue):
    measured = tissue.truth.var["measured"].to_numpy()
    totals = tissue.spatial.X.sum(1)
    truth = _lognorm(tissue.truth.layers["counts"].toarray(), totals)
    reference = _lognorm(tissue.reference.X.toarray(), tissue.reference.X.sum(1))
    z = lambda x: (x - x.mean(0)) / x.std(0)
    unit = lambda x: x / np.linalg.norm(x, axis=1, keepdims=True)
    similarity = unit(z(truth[:, measured])) @ unit(z(reference[:, measured])).T
    nearest = np.argpartition(-similarity, 50, axis=1)[:, :50]
    predicted = reference[:, ~measured][nearest].mean(1)
    pcc = [np.corrcoef(a, b)[0, 1] for a, b in zip(truth[:, ~measured].T, predicted.T, strict=True)]
    assert 0.3 < np.mean(pcc) < 0.55


def test_the_values_of_a_seed_stay_the_same():
    tissue = synthetic_tissue(40, 30, 5, 7, seed=3, n_missing_proteins=2)
    assert tissue.spatial.X.sum() == 1061
    assert tissue.reference.X.sum() == 1693
    assert tissue.truth.X.sum() == pytest.approx(692.06946, rel=1e-5)
    assert tissue.proteins.X.sum() == pytest.approx(-184.63025, rel=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_cells": 0}, "`n_cells` is 0"),
        ({"n_programs": 0}, "`n_programs` is 0"),
        ({"n_measured": 2}, "`n_measured` is 2; expected at least 3"),
        ({"n_unmeasured": -1}, "`n_unmeasured` is -1"),
        ({"n_missing_proteins": 300}, "`n_missing_proteins` is 300; expected at most 299"),
        ({"n_missing_proteins": -1}, "`n_missing_proteins` is -1"),
    ],
)
def test_impossible_sizes_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        synthetic_tissue(**change)


def test_tiny_tissue():
    tissue = synthetic_tissue(1, 1, 3, 0, n_types=1, n_domains=1, n_programs=1, n_protein_dims=1, n_missing_proteins=0)
    assert tissue.spatial.shape == (1, 3)


def _cosine(x):
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    return unit @ unit.T


def _lognorm(counts, totals):
    totals = np.maximum(np.asarray(totals), 1)
    return np.log1p(counts / totals * np.median(totals))

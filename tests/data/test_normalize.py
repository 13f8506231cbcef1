import numpy as np
import pytest
import scanpy as sc
from anndata import AnnData
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse

from stimpute.data._normalize import (
    cell_totals,
    column_correlation,
    column_moments,
    log_normalize,
    log_normalize_sparse,
    median_total,
    standardize,
)

COUNTS = hnp.arrays(np.float32, (6, 4), elements=st.integers(0, 100).map(float))


@given(COUNTS)
def test_sparse_equals_dense(counts):
    totals = cell_totals(sparse.csr_matrix(counts))
    dense = log_normalize(counts, totals, 20.0)
    found = log_normalize_sparse(sparse.csr_matrix(counts), totals, 20.0)
    np.testing.assert_allclose(found.toarray(), dense, rtol=1e-6)
    assert np.isfinite(dense).all()
    assert (dense.dtype, found.dtype) == (np.float32, np.float32)


def test_it_is_what_scanpy_does():
    counts = np.random.default_rng(0).integers(1, 20, (30, 7)).astype(np.float32)
    adata = AnnData(counts.copy())
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    totals = cell_totals(sparse.csr_matrix(counts))
    np.testing.assert_allclose(log_normalize(counts, totals, median_total(totals)), adata.X, rtol=1e-5)


def test_the_median_total_is_of_cells_that_have_one():
    assert median_total(np.array([0, 0, 0, 10, 30, 50])) == 30
    assert median_total(np.zeros(3)) == 1


def test_the_counts_are_not_changed():
    counts = sparse.csr_matrix(np.arange(12, dtype=np.float32).reshape(3, 4))
    before = counts.copy()
    log_normalize_sparse(counts, cell_totals(counts), 5.0)
    assert (counts != before).nnz == 0


@given(COUNTS)
def test_standardized_columns(counts):
    x = standardize(counts, counts.mean(0, dtype=np.float64), counts.std(0, dtype=np.float64))
    assert x.dtype == np.float32
    np.testing.assert_allclose(x.mean(0), 0, atol=1e-4)
    constant = counts.std(0) == 0
    np.testing.assert_allclose(x.std(0), ~constant, atol=1e-3)
    assert (x[:, constant] == 0).all()


def test_correlation_is_that_of_numpy_and_zero_for_a_constant():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(50, 4)), rng.normal(size=(50, 4))
    a[:, 3] = 2
    found = column_correlation(a, b)
    expected = [np.corrcoef(a[:, i], b[:, i])[0, 1] for i in range(3)]
    np.testing.assert_allclose(found[:3], expected)
    assert found[3] == pytest.approx(0)


@given(COUNTS)
def test_moments_of_sparse_columns_are_those_of_dense_ones(counts):
    mean, std = column_moments(sparse.csr_matrix(counts))
    np.testing.assert_allclose(mean, counts.mean(0, dtype=np.float64), atol=1e-9)
    np.testing.assert_allclose(std, counts.std(0, dtype=np.float64), atol=1e-6)

import numpy as np
import pytest
import scanpy as sc
from anndata import AnnData
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse

from stimpute.data import _normalize
from stimpute.data._normalize import (
    cell_totals,
    column_correlation,
    column_moments,
    log_normalize,
    log_normalize_columns,
    log_normalize_sparse,
    median_total,
    smallest_positive_value,
    standardize,
    standardize_in_place,
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


def test_totals_below_one_count_as_one():
    """They are what held-out genes leave of a cell with hardly any count."""
    counts = np.array([[0.25, 0.5], [0, 1], [2, 6]], dtype=np.float32)
    totals = np.array([0.75, 1.0, 8.0])
    expected = np.log1p(counts * 20 / [[1], [1], [8]])
    np.testing.assert_allclose(log_normalize(counts, totals, 20.0), expected, rtol=1e-6)
    found = log_normalize_sparse(sparse.csr_matrix(counts), totals, 20.0)
    np.testing.assert_allclose(found.toarray(), expected, rtol=1e-6)
    genes_by_cells = sparse.csr_matrix(counts.T)
    log_normalize_columns(genes_by_cells, totals, 20.0)
    np.testing.assert_allclose(genes_by_cells.toarray().T, expected, rtol=1e-6)


@given(COUNTS)
def test_columns_of_sparse_counts_equal_dense_ones_in_every_block(counts):
    totals = cell_totals(sparse.csr_matrix(counts))
    expected = log_normalize(counts, totals, 20.0)
    genes_by_cells = sparse.csr_matrix(counts.T)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_normalize, "VALUES_PER_BLOCK", 3)
        log_normalize_columns(genes_by_cells, totals, 20.0)
    np.testing.assert_allclose(genes_by_cells.toarray().T, expected, rtol=1e-6)


def test_totals_are_exact_in_every_block(monkeypatch):
    """Above 2^24, float32 has no odd numbers."""
    monkeypatch.setattr(_normalize, "ROWS_PER_BLOCK", 2)
    counts = np.array([[2**24, 1, 0], [1, 2, 3], [4, 5, 6], [0, 2**24, 3], [7, 8, 9]], dtype=np.float32)
    totals = cell_totals(sparse.csr_matrix(counts))
    assert totals.tolist() == [2**24 + 1, 6, 15, 2**24 + 3, 24]


def test_the_smallest_positive_value_is_a_median_over_cells_that_have_one():
    x = np.array([[0.5, 0.6, 0.7], [0, 0, 0], [4, 0, 0], [-1, 9, 8]], dtype=np.float32)
    assert smallest_positive_value(sparse.csr_matrix(x)) == 4  # of 0.5, 4 and 8
    assert smallest_positive_value(sparse.csr_matrix(np.array([[-1.0, 0], [-2, -3]]))) == 1
    assert smallest_positive_value(sparse.csr_matrix((2, 3))) == 1
    stored_zero = sparse.csr_matrix((np.array([0.0, 3]), np.array([0, 1]), np.array([0, 2])), shape=(1, 2))
    assert smallest_positive_value(stored_zero) == 3


def test_it_is_what_scanpy_does():
    counts = np.random.default_rng(0).integers(1, 20, (30, 7)).astype(np.float32)
    adata = AnnData(counts.copy())
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    totals = cell_totals(sparse.csr_matrix(counts))
    np.testing.assert_allclose(log_normalize(counts, totals, median_total(totals)), adata.X, rtol=1e-5)


def test_the_median_total_is_of_cells_that_have_one():
    assert median_total(np.array([0, 0, 0, 10, 30, 50])) == 30
    assert median_total(np.array([0, 0.5, 1, 7])) == 1
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


@given(COUNTS)
def test_standardizing_in_place_gives_the_same(counts):
    mean = counts.mean(0, dtype=np.float64)
    std = counts.std(0, dtype=np.float64)
    expected = standardize(counts, mean, std)
    standardize_in_place(counts, mean, std)
    np.testing.assert_allclose(counts, expected, atol=1e-5)


def test_a_gene_that_was_constant_is_zero_in_new_cells_too():
    mean, std = np.array([1.0, 2]), np.array([0.0, 4])
    values = np.array([[5.0, 6], [1, 2]], dtype=np.float32)
    expected = [[0, 1], [0, 0]]
    np.testing.assert_array_equal(standardize(values, mean, std), expected)
    standardize_in_place(values, mean, std)
    np.testing.assert_array_equal(values, expected)


def test_correlation_is_that_of_numpy_and_zero_for_a_constant():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(50, 4)), rng.normal(size=(50, 4))
    a[:, 3] = 2
    found = column_correlation(a, b)
    expected = [np.corrcoef(a[:, i], b[:, i])[0, 1] for i in range(3)]
    np.testing.assert_allclose(found[:3], expected)
    assert found[3] == pytest.approx(0)
    np.testing.assert_allclose(column_correlation(1e-3 * a, 1e-3 * b)[:3], expected)


@given(COUNTS)
def test_moments_of_sparse_columns_are_those_of_dense_ones(counts):
    mean, std = column_moments(sparse.csr_matrix(counts))
    np.testing.assert_allclose(mean, counts.mean(0, dtype=np.float64), atol=1e-9)
    np.testing.assert_allclose(std, counts.std(0, dtype=np.float64), atol=1e-6)

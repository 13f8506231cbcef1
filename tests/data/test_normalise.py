import numpy as np
import scanpy as sc
from anndata import AnnData
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse

from stimpute.data._normalize import cell_totals, log_normalise, log_normalise_sparse, standardise, typical_total

COUNTS = hnp.arrays(np.float32, (6, 4), elements=st.integers(0, 100).map(float))


@given(COUNTS)
def test_sparse_equals_dense(counts):
    totals = cell_totals(sparse.csr_matrix(counts))
    dense = log_normalise(counts, totals, 20.0)
    np.testing.assert_allclose(
        log_normalise_sparse(sparse.csr_matrix(counts), totals, 20.0).toarray(), dense, rtol=1e-6
    )
    assert np.isfinite(dense).all()


def test_it_is_what_scanpy_does():
    counts = np.random.default_rng(0).integers(1, 20, (30, 7)).astype(np.float32)
    adata = AnnData(counts.copy())
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    totals = cell_totals(sparse.csr_matrix(counts))
    np.testing.assert_allclose(log_normalise(counts, totals, typical_total(totals)), adata.X, rtol=1e-5)


def test_the_typical_total_is_of_cells_that_have_one():
    assert typical_total(np.array([0, 0, 0, 10, 30, 50])) == 30
    assert typical_total(np.zeros(3)) == 1


@given(COUNTS)
def test_standardised_columns(counts):
    x = standardise(counts, counts.mean(0, dtype=np.float64), counts.std(0, dtype=np.float64))
    assert x.dtype == np.float32
    np.testing.assert_allclose(x.mean(0), 0, atol=1e-4)
    constant = counts.std(0) == 0
    np.testing.assert_allclose(x.std(0), ~constant, atol=1e-3)
    assert (x[:, constant] == 0).all()

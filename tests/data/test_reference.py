import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from stimpute.data._reference import ReferenceBank


@pytest.fixture
def counts():
    x = np.random.default_rng(0).poisson(1.0, (40, 9)).astype(np.float32)
    x[:, 4], x[7] = 0, 0
    return x


GENES = pd.Index([f"g{i}" for i in range(9)])


def expected(counts):
    totals = counts.sum(1)
    return np.log1p(counts * (np.median(totals[totals > 0]) / np.maximum(totals, 1))[:, None])


def test_statistics_are_those_of_the_dense_matrix(counts):
    bank, dense = ReferenceBank(sparse.csr_matrix(counts), GENES, counts=True), expected(counts)
    np.testing.assert_allclose(bank.dense(np.arange(9)), dense, rtol=1e-5)
    np.testing.assert_allclose(bank.mean, dense.mean(0), rtol=1e-5)
    np.testing.assert_allclose(bank.std, dense.std(0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(bank.detection, (dense > 0).mean(0))
    assert bank.dense(np.array([3, 0])).dtype == np.float32
    assert (bank.n_cells, bank.n_genes) == (40, 9)


def test_explicit_zeros_are_not_detected(counts):
    x = sparse.csr_matrix(np.ones_like(counts))
    x.data = counts.ravel().copy()
    np.testing.assert_allclose(ReferenceBank(x, GENES, counts=True).detection, (counts > 0).mean(0))


def test_the_input_is_not_changed(counts):
    x = sparse.csr_matrix(counts)
    before = x.copy()
    ReferenceBank(x, GENES, counts=True).fingerprint()
    assert (x != before).nnz == 0
    assert x.nnz == before.nnz


def test_the_fingerprint_is_of_names_and_values(counts):
    make = lambda x, genes=GENES: ReferenceBank(x, genes, counts=True).fingerprint()
    same = make(sparse.csr_matrix(counts))
    order = np.random.default_rng(1).permutation(9)
    assert make(counts[:, order], GENES[order]) == same
    zeros = sparse.csr_matrix(np.ones_like(counts))
    zeros.data = counts.ravel().copy()
    for form in (counts, sparse.csc_matrix(counts), counts.astype(np.int64), zeros):
        assert make(form) == same
    assert make(counts[:, order], GENES) != same
    assert make(counts[::-1]) != same
    assert make(counts[:-1]) != same
    assert make(counts, pd.Index([*GENES[:-1], "other"])) != same
    counts[3, 3] += 1
    assert make(counts) != same

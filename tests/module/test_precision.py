import numpy as np
import pytest
import torch

from stimpute.module._precision import DensePrecision, LowRankPrecision

N_GENES = 9


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def pair(rng):
    """The same inverse, of low rank and dense."""
    loadings = rng.normal(size=(N_GENES, 3))
    diagonal = rng.uniform(0.5, 2, N_GENES)
    inverse = np.linalg.inv(loadings @ loadings.T + np.diag(diagonal))
    low_rank = LowRankPrecision(torch.tensor(loadings), torch.tensor(diagonal))
    return low_rank, DensePrecision(torch.tensor(inverse, dtype=torch.float32))


def test_the_low_rank_form_is_the_inverse(pair, rng):
    low_rank, dense = pair
    x = torch.tensor(rng.normal(size=(2, 4, N_GENES)), dtype=torch.float32)
    torch.testing.assert_close(low_rank.multiply(x), dense.multiply(x), rtol=1e-4, atol=1e-5)


def test_rows_and_diagonal_are_those_of_the_inverse(pair):
    low_rank, dense = pair
    genes = torch.tensor([4, 0, 8])
    torch.testing.assert_close(low_rank.rows(genes), dense.rows(genes), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(low_rank.diagonal(genes), dense.diagonal(genes), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(dense.rows(genes)[0, 4], dense.diagonal(genes)[0])


def test_no_array_has_the_size_of_all_pairs(pair):
    low_rank, _ = pair
    assert max(buffer.numel() for buffer in low_rank.buffers()) < N_GENES**2

import numpy as np
import pytest
import torch
from scipy import sparse

from stimpute.pp import _graph
from stimpute.pp._graph import similarity_graph, unit_rows


def dense_top(unit: np.ndarray, k: int) -> np.ndarray:
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -1)
    cosine[cosine <= 0] = 0
    smallest_kept = np.sort(cosine, axis=1)[:, -min(k, len(unit))][:, None]
    return np.where(cosine >= smallest_kept, cosine, 0)


@pytest.mark.parametrize("n", [3, 31, 32, 33, 101])
@pytest.mark.parametrize("k", [1, 5])
def test_blocks_equal_the_dense_product(monkeypatch, n, k):
    monkeypatch.setattr(_graph, "BLOCK_BYTES", 1)  # tiles of 32 rows
    features = torch.from_numpy(np.random.default_rng(n).normal(size=(n, 8)).astype(np.float32))
    unit = unit_rows(features, features.mean(dim=0))
    graph = similarity_graph(lambda a, b: unit[a:b], n, 8, k)
    assert isinstance(graph, sparse.csr_matrix)
    assert graph.dtype == np.float32
    assert graph.has_sorted_indices
    np.testing.assert_allclose(graph.toarray(), dense_top(unit.numpy(), k), atol=1e-6)


def test_more_neighbours_than_rows():
    unit = unit_rows(torch.tensor([[1.0, 0.1], [1.0, 0.0], [-1.0, 0.0]]), torch.zeros(2))
    graph = similarity_graph(lambda a, b: unit[a:b], 3, 2, 50)
    assert graph.nnz == 2  # the negative pair and the diagonal are dropped
    assert graph[0, 1] == graph[1, 0] > 0.99


def test_rows_equal_to_the_mean_have_no_neighbour():
    constant = torch.full((1, 1000), 0.1)
    assert not unit_rows(constant, constant.mean(dim=1, keepdim=True)).any()
    small = torch.tensor([[1e-12, 0.0, 2e-12]])
    np.testing.assert_allclose(unit_rows(small, small.mean(dim=1, keepdim=True)).norm(), 1, rtol=1e-5)


def test_needs_a_neighbour():
    with pytest.raises(ValueError, match="n_neighbors is 0"):
        similarity_graph(lambda a, b: torch.ones(b - a, 1), 2, 1, 0)

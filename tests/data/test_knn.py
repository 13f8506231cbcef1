import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stimpute.data import _knn
from stimpute.data._knn import nearest_by_cosine


def by_hand(query, base, k):
    """Compare every pair of rows."""
    unit = lambda x: x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    cosine = unit(query) @ unit(base).T
    index = np.argsort(-cosine, axis=1, kind="stable")[:, :k]
    return index, np.take_along_axis(cosine, index, 1)


@given(st.integers(1, 20), st.integers(1, 30), st.integers(1, 6), st.integers(0, 5), st.data())
def test_the_search_finds_what_comparing_all_pairs_finds(n_query, n_base, n_features, seed, data):
    k = data.draw(st.integers(1, n_base))
    rng = np.random.default_rng(seed)
    query, base = rng.normal(size=(n_query, n_features)), rng.normal(size=(n_base, n_features))
    index, cosine = nearest_by_cosine(torch.tensor(query), torch.tensor(base), k)
    _, expected_cosine = by_hand(query, base, k)
    np.testing.assert_allclose(cosine, expected_cosine, atol=1e-6)
    unit = lambda x: x / np.linalg.norm(x, axis=-1, keepdims=True)
    np.testing.assert_allclose((unit(query)[:, None] * unit(base)[index]).sum(2), cosine, atol=1e-6)
    assert all(len(set(row)) == k for row in index)


def test_positions_and_types():
    rng = np.random.default_rng(0)
    query, base = rng.normal(size=(9, 4)), rng.normal(size=(25, 4))
    as_tensor = lambda x: torch.tensor(x, dtype=torch.float32)
    index, cosine = nearest_by_cosine(as_tensor(query), as_tensor(base), 5)
    np.testing.assert_array_equal(index, by_hand(query, base, 5)[0])
    assert (index.dtype, cosine.dtype) == (np.int64, np.float32)
    assert (np.diff(cosine, axis=1) <= 0).all()


@pytest.mark.parametrize("block", [1, 30, 70])
def test_blocks_change_nothing(monkeypatch, block):
    rng = np.random.default_rng(0)
    query, base = torch.tensor(rng.normal(size=(11, 4))), torch.tensor(rng.normal(size=(30, 4)))
    expected = nearest_by_cosine(query, base, 3)
    monkeypatch.setattr(_knn, "BLOCK_ELEMENTS", block)
    for found, whole in zip(nearest_by_cosine(query, base, 3), expected, strict=True):
        np.testing.assert_allclose(found, whole)


def test_no_query_has_no_neighbors():
    index, cosine = nearest_by_cosine(torch.empty(0, 4), torch.ones(3, 4), 2)
    assert index.shape == cosine.shape == (0, 2)
    assert (index.dtype, cosine.dtype) == (np.int64, np.float32)


def test_a_row_of_zeros_has_cosine_zero():
    _, cosine = nearest_by_cosine(torch.zeros(1, 3), torch.eye(3), 3)
    assert cosine.tolist() == [[0, 0, 0]]


def test_the_inputs_are_not_changed():
    query, base = torch.full((2, 3), 5.0), torch.full((4, 3), 7.0)
    nearest_by_cosine(query, base, 1)
    assert (query == 5).all()
    assert (base == 7).all()


def test_a_cell_has_the_same_neighbors_in_every_batch():
    torch.manual_seed(0)
    base = torch.rand(1, 64) + 1e-7 * torch.rand(500, 64)  # cosines that differ less than rounding in float32
    query = torch.rand(30, 64)
    whole, _ = nearest_by_cosine(query, base, 10)
    for size in (1, 7, 29):
        parts = [nearest_by_cosine(part, base, 10)[0] for part in query.split(size)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)

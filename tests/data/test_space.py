import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from stimpute.data import _space
from stimpute.data._space import dense_if_small, neighbor_mean, sample_cells, spatial_neighbors, spatial_order


@given(st.integers(1, 80), st.sampled_from([2, 3]), st.integers(0, 3))
def test_the_order_is_a_permutation_section_by_section(n, n_axes, seed):
    rng = np.random.default_rng(seed)
    section = rng.integers(0, 3, n)
    order = spatial_order(rng.normal(size=(n, n_axes)), section)
    assert sorted(order) == list(range(n))
    assert (np.diff(section[order]) >= 0).all()


def test_the_order_keeps_neighbors_together():
    coords = np.random.default_rng(0).random((2000, 2))
    steps = lambda xy: np.linalg.norm(np.diff(xy, axis=0), axis=1).mean()
    assert steps(coords[spatial_order(coords)]) < 0.1 * steps(coords)


def test_cells_on_a_line_come_in_their_order():
    position = np.random.default_rng(0).permutation(1000)
    order = spatial_order(np.column_stack([position, np.zeros(1000)]))
    np.testing.assert_array_equal(position[order], np.arange(1000))


def test_the_order_does_not_depend_on_the_units_and_the_origin_of_an_axis():
    coords = np.random.default_rng(0).integers(0, 2**15, (300, 2)).astype(float)
    coords[:2] = [[0, 0], [2**15, 2**15]]  # so that positions are exact
    expected = spatial_order(coords)
    for scale, origin in [(1000, 0), ([8, 1], 0), (0.25, [0, -4096]), (1, [64, 2]), (2.0**-40, 0)]:
        np.testing.assert_array_equal(spatial_order(coords * scale + origin), expected)


@pytest.mark.parametrize("coords", [np.zeros((5, 2)), np.c_[np.arange(5), np.zeros(5)], np.full((1, 2), 3.0)])
def test_cells_on_one_spot_or_line(coords):
    assert sorted(spatial_order(coords)) == list(range(len(coords)))


@given(st.integers(1, 100), st.integers(1, 150))
def test_a_sample_is_even_and_without_repeats(n, wanted):
    sample = sample_cells(np.random.default_rng(0).permutation(n), wanted)
    assert len(sample) == len(set(sample)) == min(n, wanted)
    assert list(sample) == sorted(sample)
    along_the_order = sample_cells(np.arange(n), wanted)
    assert along_the_order[0] == 0
    assert along_the_order[-1] == n - 1 or wanted == 1


@pytest.mark.parametrize("run", [1, 5, 64])
@pytest.mark.parametrize(("n_cells", "n"), [(10, 7), (100, 95), (5001, 999), (5001, 5000)])
def test_a_sample_repeats_no_cell(n_cells, n, run):
    sample = sample_cells(np.random.default_rng(0).permutation(n_cells), n, run)
    assert len(np.unique(sample)) == len(sample) <= n
    assert len(sample) == n or run > 1


def test_a_sample_of_runs_has_neighbors_along_the_order():
    sample = sample_cells(np.arange(1000), 100, run=20)
    assert len(sample) == 100
    assert (np.diff(sample) == 1).sum() == 95
    assert sample.max() > 900


def test_neighbors_are_of_the_same_section_and_never_the_cell_itself():
    rng = np.random.default_rng(0)
    coords, section = rng.random((60, 2)), np.arange(60) % 2
    coords[:10] = 0.5  # ten cells on one spot
    neighbors = spatial_neighbors(coords, section, 4)
    some = np.array([7, 2, 30])
    np.testing.assert_array_equal(spatial_neighbors(coords, section, 4, some), neighbors[some])
    assert neighbors.shape == (60, 4)
    assert neighbors.dtype == np.int32
    assert (section[neighbors] == section[:, None]).all()
    assert not (neighbors == np.arange(60)[:, None]).any()
    distance = np.linalg.norm(coords[:, None] - coords[None], axis=2)
    distance[section[:, None] != section[None]] = np.inf
    np.fill_diagonal(distance, np.inf)
    found = np.take_along_axis(distance, neighbors, 1)
    np.testing.assert_allclose(np.sort(found, 1), np.sort(distance, 1)[:, :4])


def test_neighbors_in_one_section_are_the_nearest_cells(monkeypatch):
    monkeypatch.setattr(_space, "CELLS_PER_QUERY", 7)
    coords = np.random.default_rng(0).random((40, 3))
    distance = np.linalg.norm(coords[:, None] - coords[None], axis=2)
    nearest = np.argsort(distance, axis=1)[:, 1:6]
    found = spatial_neighbors(coords, np.zeros(40), 5)
    np.testing.assert_array_equal(np.sort(found, axis=1), np.sort(nearest, axis=1))


def test_small_sections_repeat_and_a_single_cell_is_its_own_neighbor():
    neighbors = spatial_neighbors(np.random.default_rng(0).random((4, 2)), np.array([0, 0, 0, 1]), 5)
    assert set(neighbors[0]) == {1, 2}
    assert set(neighbors[3]) == {3}
    two = spatial_neighbors(np.array([[0.0, 0], [1, 1]]), np.zeros(2), 3)
    assert two.tolist() == [[1, 1, 1], [0, 0, 0]]


def test_the_mean_of_neighbors_counts_repeated_ones():
    expression = sparse.csr_matrix(np.array([[1.0, 0], [3, 0], [0, 8]], np.float32))
    found = neighbor_mean(expression, np.array([[1, 2], [0, 0]]))
    np.testing.assert_allclose(found, [[1.5, 4], [1, 0]])
    alone = neighbor_mean(expression.toarray(), np.array([[2], [0], [1]]))
    np.testing.assert_allclose(alone, [[0, 8], [1, 0], [3, 0]])


def test_the_mean_of_neighbors_is_the_same_where_they_are_too_many_to_be_dense(monkeypatch):
    rng = np.random.default_rng(0)
    expression = sparse.random(50, 20, 0.3, "csr", dtype=np.float32, random_state=rng)
    neighbors = rng.integers(0, 50, (30, 7))
    dense = dense_if_small(expression)
    assert isinstance(dense, np.ndarray)
    monkeypatch.setattr(_space, "MAX_DENSE", 0)
    assert dense_if_small(expression) is expression
    np.testing.assert_array_equal(neighbor_mean(expression, neighbors), neighbor_mean(dense, neighbors))


@pytest.mark.parametrize("max_dense", [0, 100])
def test_the_mean_has_all_genes_also_if_the_last_ones_are_zero(monkeypatch, max_dense):
    """And cells that are nobody's neighbor do not matter."""
    monkeypatch.setattr(_space, "MAX_DENSE", max_dense)
    expression = sparse.csr_matrix(np.array([[2.0, 0, 0], [4, 1, 0], [0, 0, 9]], np.float32))
    found = neighbor_mean(dense_if_small(expression), np.array([[1, 0], [0, 0]]))
    np.testing.assert_allclose(found, [[3, 0.5, 0], [2, 0, 0]])

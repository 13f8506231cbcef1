import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from stimpute.data._space import nearest_around, sample_cells, spatial_order
from stimpute.data._spatial import SpatialCells


@given(st.integers(1, 80), st.sampled_from([2, 3]), st.integers(0, 3))
def test_the_order_is_a_permutation_section_by_section(n, n_dims, seed):
    rng = np.random.default_rng(seed)
    batch = rng.integers(0, 3, n)
    order = spatial_order(rng.normal(size=(n, n_dims)), batch)
    assert sorted(order) == list(range(n))
    assert (np.diff(batch[order]) >= 0).all()


def test_the_order_keeps_neighbours_together():
    coords = np.random.default_rng(0).random((2000, 2))
    steps = lambda xy: np.linalg.norm(np.diff(xy, axis=0), axis=1).mean()
    assert steps(coords[spatial_order(coords)]) < 0.1 * steps(coords)


@pytest.mark.parametrize("coords", [np.zeros((5, 2)), np.c_[np.arange(5), np.zeros(5)], np.full((1, 2), 3.0)])
def test_cells_on_one_spot_or_line(coords):
    assert sorted(spatial_order(coords)) == list(range(len(coords)))


@given(st.integers(1, 100), st.integers(1, 150))
def test_a_sample_is_even_and_without_repeats(n, wanted):
    sample = sample_cells(np.random.default_rng(0).permutation(n), wanted)
    assert len(sample) == len(set(sample)) == min(n, wanted)
    assert list(sample) == sorted(sample)


def test_neighbours_are_of_the_same_section_and_never_the_cell_itself():
    rng = np.random.default_rng(0)
    coords, batch = rng.random((60, 2)), np.arange(60) % 2
    coords[:10] = 0.5  # ten cells on one spot
    around = nearest_around(coords, batch, 4)
    assert around.shape == (60, 4)
    assert (batch[around] == batch[:, None]).all()
    assert not (around == np.arange(60)[:, None]).any()
    distance = np.linalg.norm(coords[:, None] - coords[None], axis=2)
    distance[batch[:, None] != batch[None]] = np.inf
    np.fill_diagonal(distance, np.inf)
    found = np.take_along_axis(distance, around, 1)
    np.testing.assert_allclose(np.sort(found, 1), np.sort(distance, 1)[:, :4])


def test_small_sections_repeat_and_a_lone_cell_has_itself():
    around = nearest_around(np.random.default_rng(0).random((4, 2)), np.array([0, 0, 0, 1]), 5)
    assert set(around[0]) == {1, 2}
    assert set(around[3]) == {3}


def test_cells_without_a_place_have_none_around():
    cells = SpatialCells.from_matrix(sparse.csr_matrix(np.eye(3)), np.arange(3), counts=True)
    with pytest.raises(ValueError, match=r"no positions.*spatial_key"):
        cells.around(2)


@pytest.mark.parametrize("run", [1, 5, 64])
@pytest.mark.parametrize(("n_cells", "n"), [(10, 7), (100, 95), (5001, 999), (5001, 5000)])
def test_a_sample_repeats_no_cell(n_cells, n, run):
    sample = sample_cells(np.random.default_rng(0).permutation(n_cells), n, run)
    assert len(np.unique(sample)) == len(sample) <= n
    assert len(sample) == n or run > 1

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from stimpute.data._arrays import from_arrays, to_arrays
from stimpute.data._expression import ExpressionMatrix
from stimpute.data._folds import GeneSplit
from stimpute.data._space import spatial_neighbors, spatial_order
from stimpute.data._spatial import ProbeCells, SpatialCells

GENES = pd.Index(list("abcdef"))
NOTHING_HELD_OUT = GeneSplit.nothing_held_out(6)
SPLIT = GeneSplit(np.array([0, 2, 3, 5]), np.array([1, 4]))


def make_cells(values, inputs=GENES, shared=GENES, is_counts=True, **kwargs) -> SpatialCells:
    matrix = ExpressionMatrix(sparse.csr_matrix(values), GENES[: values.shape[1]], is_counts)
    return SpatialCells.from_matrix(matrix, pd.Index(inputs), pd.Index(shared), **kwargs)


@pytest.fixture
def counts():
    return np.random.default_rng(0).integers(0, 9, (12, 6)).astype(np.float32)


@pytest.fixture
def placed(counts):
    """Cells of two sections with positions."""
    coords = np.random.default_rng(1).random((12, 2))
    return make_cells(counts, coords=coords, section=np.arange(12) % 2)


# ---------------------------------------------------------------- totals and normalization


def test_held_out_genes_are_not_in_the_totals(counts):
    cells = make_cells(counts)
    np.testing.assert_array_equal(cells.input_totals(SPLIT), counts[:, SPLIT.inputs].sum(1))
    np.testing.assert_array_equal(cells.input_totals(NOTHING_HELD_OUT), counts.sum(1))
    assert cells.target_sum(SPLIT) == np.median(counts[:, SPLIT.inputs].sum(1))


@given(st.integers(0, 1000), st.sampled_from([1, 4]))
def test_a_held_out_gene_changes_no_input(value, gene):
    counts = np.random.default_rng(0).integers(0, 9, (12, 6)).astype(np.float32)
    other = counts.copy()
    other[:, gene] = value
    inputs = lambda cells: cells.log_normalized(SPLIT, cells.target_sum(SPLIT))[:, SPLIT.inputs]
    np.testing.assert_array_equal(inputs(make_cells(other)), inputs(make_cells(counts)))


def test_held_out_genes_are_scaled_by_the_same_totals(counts):
    found = make_cells(counts).log_normalized(SPLIT, 10.0)
    totals = counts[:, SPLIT.inputs].sum(1, keepdims=True)
    np.testing.assert_allclose(found, np.log1p(counts * 10 / totals), rtol=1e-6)
    assert found.dtype == np.float32


def test_inputs_that_are_not_shared_count_in_the_totals(counts):
    part = make_cells(counts, inputs=list("cafb"), shared=list("ca"))
    assert part.expression.toarray().tolist() == counts[:, [2, 0]].tolist()
    assert part.total_counts.tolist() == counts[:, [0, 1, 2, 5]].sum(1).tolist()
    assert part[np.array([1])].total_counts.tolist() == [counts[1, [0, 1, 2, 5]].sum()]


def test_normalized_values_are_not_scaled(counts):
    values = np.log1p(counts)
    cells = make_cells(values, is_counts=False)
    assert cells.total_counts is None
    assert cells.input_totals(SPLIT) is None
    assert cells.target_sum(SPLIT) == 1
    np.testing.assert_array_equal(cells.log_normalized(SPLIT, 1.0), values)
    assert cells[np.arange(3)].total_counts is None


@pytest.mark.parametrize("is_counts", [True, False])
def test_sparse_log_normalized_values_are_the_dense_ones(counts, is_counts):
    cells = make_cells(counts, is_counts=is_counts)
    found = cells.log_normalized_sparse(SPLIT, 10.0)
    assert sparse.issparse(found)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.toarray(), cells.log_normalized(SPLIT, 10.0), rtol=1e-6)


@pytest.mark.parametrize("has_coords", [True, False])
@pytest.mark.parametrize("is_counts", [True, False])
def test_parts_that_are_joined_are_the_cells(counts, has_coords, is_counts):
    coords = np.random.default_rng(1).random((12, 2)) if has_coords else None
    cells = make_cells(counts, is_counts=is_counts, coords=coords, section=np.arange(12) % 2)
    parts = list(cells.parts(5))
    assert [len(part) for part in parts] == [5, 5, 2]
    assert SpatialCells.join(parts[:1]) is parts[0]
    joined = SpatialCells.join(parts)
    assert joined.expression.format == "csr"
    np.testing.assert_array_equal(joined.expression.toarray(), counts)
    for name in ("total_counts", "coords", "section"):
        np.testing.assert_array_equal(getattr(joined, name), getattr(cells, name))
    assert (joined.total_counts is None) == (not is_counts)
    assert (joined.coords is None) == (not has_coords)


# ---------------------------------------------------------------- cells in space


def test_cells_keep_the_sections_that_were_given(placed):
    np.testing.assert_array_equal(placed.section, np.arange(12) % 2)


def test_rows_are_taken_from_everything(placed):
    rows = np.array([5, 2, 7])
    part = placed[rows]
    assert len(part) == 3
    np.testing.assert_array_equal(part.expression.toarray(), placed.expression.toarray()[rows])
    np.testing.assert_array_equal(part.coords, placed.coords[rows])
    np.testing.assert_array_equal(part.section, placed.section[rows])


def test_order_and_neighbors_are_those_of_the_positions(placed, counts):
    np.testing.assert_array_equal(placed.order, spatial_order(placed.coords, placed.section))
    np.testing.assert_array_equal(placed.neighbors(3), spatial_neighbors(placed.coords, placed.section, 3))
    assert make_cells(counts).order.tolist() == list(range(12))
    assert make_cells(counts).section.tolist() == [0] * 12


def test_cells_without_positions_have_no_neighbors(counts):
    with pytest.raises(ValueError, match=r"no positions.*spatial_key"):
        make_cells(counts).neighbors(2)


@given(st.lists(st.integers(0, 29), min_size=1, max_size=30, unique=True), st.integers(1, 6))
def test_a_chunk_gives_what_all_cells_give(rows, k):
    """The mean over neighbors, computed from a chunk alone and from all cells."""
    rng = np.random.default_rng(0)
    values = rng.integers(0, 9, (30, 6)).astype(np.float32)
    cells = make_cells(values, coords=rng.random((30, 2)), section=np.arange(30) // 20)
    rows = np.array(rows)
    neighbors = cells.neighbors(k)
    chunk = cells.chunk(rows, neighbors)
    assert len(chunk) == len(rows)
    assert chunk.neighbors.shape == (len(rows), k)
    assert len(chunk.cells) == len(np.unique([*rows, *neighbors[rows].ravel()]))
    everything = cells.log_normalized(SPLIT, 10.0)
    in_chunk = chunk.cells.log_normalized(SPLIT, 10.0)
    np.testing.assert_array_equal(in_chunk[chunk.rows], everything[rows])
    np.testing.assert_array_equal(in_chunk[chunk.neighbors], everything[neighbors[rows]])
    np.testing.assert_array_equal(chunk.cells.coords[chunk.rows], cells.coords[rows])


def test_a_chunk_without_neighbors_holds_its_own_cells_alone(placed):
    rows = np.array([4, 1])
    chunk = placed.chunk(rows)
    assert chunk.neighbors is None
    assert len(chunk.cells) == len(chunk) == 2
    found = chunk.cells.expression.toarray()[chunk.rows]
    np.testing.assert_array_equal(found, placed.expression.toarray()[rows])


# ---------------------------------------------------------------- probe cells


def test_probe_cells_keep_values_and_totals_but_no_positions(placed):
    rows = np.array([3, 8])
    probe = ProbeCells.take(placed, rows)
    cells = from_arrays(ProbeCells, to_arrays(probe), {"n_shared": 6}).cells()
    np.testing.assert_array_equal(cells.expression.toarray(), placed.expression.toarray()[rows])
    np.testing.assert_array_equal(cells.total_counts, placed.total_counts[rows])
    assert cells.coords is None
    np.testing.assert_array_equal(cells.log_normalized(SPLIT, 9.0), placed[rows].log_normalized(SPLIT, 9.0))


def test_probe_cells_with_normalized_values_have_no_totals(counts):
    probe = ProbeCells.take(make_cells(np.log1p(counts), is_counts=False), np.arange(3))
    assert set(to_arrays(probe)) == {"expression"}
    assert probe.cells().total_counts is None


def test_probe_cells_are_a_copy(placed):
    probe = ProbeCells.take(placed, np.arange(12))
    probe.expression[:] = -1
    assert placed.expression.min() >= 0

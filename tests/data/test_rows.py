"""Rows of matrices that are not in memory."""

import os
import shutil

import anndata as ad
import dask.array as da
import h5py
import numpy as np
import pandas as pd
import pytest
import zarr
from anndata import AnnData
from lazy import FORMS, in_form
from scipy import sparse

from stimpute.data import _rows
from stimpute.data._checksums import ChangedDataError, RowChecksums, cell_checksums, gene_weights
from stimpute.data._rows import LazyRows, by_rows, is_lazy, read_all, take_rows, version_of

N_CELLS, N_GENES = 90, 9
BY_COLUMN = ("backed CSC", "Dask CSC")
WEIGHTS = gene_weights(pd.Index([f"g{number}" for number in range(N_GENES)]))
ALL_GENES = np.arange(N_GENES)


@pytest.fixture(autouse=True)
def _several_blocks(monkeypatch):
    monkeypatch.setattr(_rows, "ROWS_PER_BLOCK", 37)
    monkeypatch.setattr(_rows, "MIN_ROWS", 10)


@pytest.fixture(scope="module")
def x():
    x = np.random.default_rng(0).poisson(0.7, (N_CELLS, N_GENES)).astype(np.float32)
    x[:, -1] = 0
    return x


@pytest.fixture(scope="module")
def opened(x, tmp_path_factory):
    """Open the matrix in any form; each is written once."""
    known = {}

    def open_form(form):
        if form not in known:
            known[form] = in_form(AnnData(sparse.csr_matrix(x)), form, tmp_path_factory.mktemp("stored"))
        return known[form].X

    return open_form


@pytest.fixture(scope="module")
def zarr_group(x, tmp_path_factory):
    group = zarr.open_group(tmp_path_factory.mktemp("zarr"), mode="w")
    ad.io.write_elem(group, "CSR", sparse.csr_matrix(x))
    ad.io.write_elem(group, "dense", x)
    return group


def checksums(x):
    return RowChecksums(WEIGHTS, cell_checksums(sparse.csr_matrix(x), WEIGHTS))


def assert_holds(rows, x, kind):
    """Whole rows in blocks of a known type."""
    assert rows.shape == x.shape
    assert rows.dtype == x.dtype
    assert rows.numblocks[1] == 1
    for start, block in zip(np.cumsum([0, *rows.chunks[0]]), rows.blocks, strict=False):
        values = block.compute(scheduler="synchronous")
        assert isinstance(values, kind)
        assert isinstance(rows._meta, kind)
        assert values.dtype == x.dtype
        dense = values if kind is np.ndarray else values.toarray()
        np.testing.assert_array_equal(dense, x[start : start + len(dense)])


# ---------------------------------------------------------------- blocks of rows


@pytest.mark.parametrize("form", ["backed CSR", "backed dense"])
def test_a_file_is_read_in_blocks_of_rows(opened, x, form):
    assert is_lazy(opened(form))
    rows = by_rows(opened(form))
    assert rows.chunks[0] == (37, 37, 16)
    assert_holds(rows, x, sparse.csr_matrix if form == "backed CSR" else np.ndarray)


def test_a_zarr_store_is_read_in_blocks_of_rows(zarr_group, x):
    csr = ad.io.sparse_dataset(zarr_group["CSR"])
    dense = zarr_group["dense"]
    for matrix, kind in ((csr, sparse.csr_matrix), (dense, np.ndarray)):
        assert is_lazy(matrix)
        rows = by_rows(matrix)
        assert rows.chunks[0] == (37, 37, 16)
        assert_holds(rows, x, kind)
        np.testing.assert_array_equal(read_all(matrix).toarray(), x)


@pytest.mark.parametrize("form", BY_COLUMN)
def test_a_matrix_stored_by_column_is_read(opened, x, form):
    assert is_lazy(opened(form))
    rows = by_rows(opened(form))
    assert isinstance(rows, sparse.csr_matrix)
    np.testing.assert_array_equal(rows.toarray(), x)


@pytest.mark.parametrize(
    ("rows_per_chunk", "joined"),
    [(9, (37, 37, 16)), (10, (10,) * 9), (40, (40, 40, 10)), (90, (90,))],
)
def test_small_chunks_of_a_dask_array_are_joined(x, rows_per_chunk, joined):
    whole = by_rows(da.from_array(x, chunks=(rows_per_chunk, -1)))
    assert whole.chunks == (joined, (N_GENES,))
    if rows_per_chunk < N_CELLS:
        assert by_rows(da.from_array(x, chunks=(rows_per_chunk, 4))).chunks == whole.chunks
    assert_holds(whole, x, np.ndarray)


def test_small_dask_arrays(x):
    assert by_rows(da.from_array(x[:5], chunks=-1)).chunks == ((5,), (N_GENES,))
    assert by_rows(da.from_array(x[:18], chunks=(9, -1))).chunks == ((18,), (N_GENES,))


def test_only_the_rows_of_a_block_are_read(x, tmp_path):
    group = zarr.open_group(tmp_path, mode="w")
    ad.io.write_elem(group, "X", sparse.csr_matrix(x), dataset_kwargs={"chunks": (50,)})
    chunks = [path for path in (tmp_path / "X" / "data").rglob("*") if path.name.isdigit()]
    max(chunks, key=lambda path: int(path.name)).write_bytes(b"damaged")
    blocks = by_rows(ad.io.sparse_dataset(group["X"])).blocks
    np.testing.assert_array_equal(blocks[0].compute(scheduler="synchronous").toarray(), x[:37])
    with pytest.raises((RuntimeError, ValueError)):
        blocks[2].compute(scheduler="synchronous")


@pytest.mark.parametrize("form", sorted(FORMS))
def test_a_whole_matrix_is_read_as_csr(opened, x, form):
    found = read_all(opened(form))
    assert isinstance(found, sparse.csr_matrix)
    assert found.dtype == x.dtype
    np.testing.assert_array_equal(found.toarray(), x)


def test_a_matrix_in_memory_stays_as_it_is(x):
    for matrix in (x, sparse.csr_matrix(x), sparse.csc_matrix(x)):
        assert not is_lazy(matrix)
        assert read_all(matrix) is matrix


@pytest.mark.parametrize("share", [1.01, 0.99])
def test_a_matrix_by_column_is_read_if_it_fits_into_memory(opened, x, monkeypatch, share):
    """Values and positions take twelve bytes each, by column and by row at the same time."""
    needed = 2 * 12 * np.count_nonzero(x) / _rows.MEMORY_SHARE
    memory = type("Memory", (), {"available": share * needed})
    monkeypatch.setattr(_rows.psutil, "virtual_memory", lambda: memory)
    if share > 1:
        np.testing.assert_array_equal(by_rows(opened("backed CSC")).toarray(), x)
    else:
        with pytest.raises(MemoryError, match=r"stored by gene \(CSC\).*tocsr"):
            by_rows(opened("backed CSC"))


# ---------------------------------------------------------------- files that changed


@pytest.fixture(params=["backed CSR", "backed dense"])
def file_and_path(x, tmp_path, request):
    return in_form(AnnData(sparse.csr_matrix(x)), request.param, tmp_path), tmp_path / "a.h5ad"


def test_a_file_is_not_read_after_it_was_written_again(file_and_path):
    adata, path = file_and_path
    rows = by_rows(adata.X)
    version = version_of(adata.X)
    assert version == version_of(adata.X)
    os.utime(path, ns=(0, version[1] + 1))
    assert version != version_of(adata.X)
    with pytest.raises(ChangedDataError, match=r"^\S*a.h5ad was written again or removed since it was opened"):
        rows.compute(scheduler="synchronous")


def test_versions_of_two_files_differ(x, tmp_path):
    found = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        adata = in_form(AnnData(sparse.csr_matrix(x)), "backed CSR", tmp_path / name)
        os.utime(tmp_path / name / "a.h5ad", ns=(0, 0))
        found.append(version_of(adata.X))
    assert found[0] != found[1]


def test_a_file_that_was_removed_is_named(file_and_path):
    adata, path = file_and_path
    rows = by_rows(adata.X)
    path.unlink()
    with pytest.raises(ChangedDataError, match="cannot be read.*a.h5ad"):
        rows.compute(scheduler="synchronous")
    with pytest.raises(ChangedDataError, match=r"a.h5ad was written again or removed.*\. Open it again by `anndata"):
        by_rows(adata.X)


def test_a_file_that_was_replaced_is_named(file_and_path, x):
    adata, path = file_and_path
    AnnData(x).write_h5ad(path.with_name("b.h5ad"))
    path.with_name("b.h5ad").replace(path)
    with pytest.raises(ChangedDataError, match="a.h5ad was written again or removed"):
        by_rows(adata.X)


def test_a_relative_path_in_another_directory_is_named(x, tmp_path, monkeypatch):
    AnnData(x).write_h5ad(tmp_path / "a.h5ad")
    monkeypatch.chdir(tmp_path)
    adata = ad.read_h5ad("a.h5ad", backed="r")
    by_rows(adata.X)
    monkeypatch.chdir("/")
    with pytest.raises(ChangedDataError, match=r"^a.h5ad is not in the working directory, .*absolute path"):
        by_rows(adata.X)


def test_a_file_that_is_open_for_writing_is_refused(x, tmp_path):
    AnnData(x).write_h5ad(tmp_path / "a.h5ad")
    adata = ad.read_h5ad(tmp_path / "a.h5ad", backed="r+")
    with pytest.raises(ValueError, match=r"a.h5ad is open for writing"):
        by_rows(adata.X)
    adata.file.close()


def test_a_file_that_was_copied_into_memory_is_read(x, tmp_path):
    """Of such a file the system does not know whether it was replaced."""
    AnnData(x).write_h5ad(tmp_path / "a.h5ad")
    with h5py.File(tmp_path / "a.h5ad", "r", driver="core") as file:
        AnnData(x).write_h5ad(tmp_path / "b.h5ad")
        (tmp_path / "b.h5ad").replace(tmp_path / "a.h5ad")
        assert_holds(by_rows(file["X"]), x, np.ndarray)


@pytest.mark.parametrize("form", [sparse.csr_matrix, sparse.csc_matrix])
def test_a_store_that_was_removed_is_named(x, form, tmp_path):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    ad.io.write_elem(group, "X", form(x))
    matrix = ad.io.sparse_dataset(group["X"])
    np.testing.assert_array_equal(read_all(matrix).toarray(), x)
    shutil.rmtree(tmp_path / "a.zarr")
    with pytest.raises(ChangedDataError, match="a.zarr"):
        read_all(matrix)


# ---------------------------------------------------------------- chosen rows


@pytest.mark.parametrize("form", sorted(set(FORMS) - set(BY_COLUMN) - {"lazy zarr CSC"}))
@pytest.mark.parametrize("rows", [[5, 80, 5, 38, 36, 37, 0, 89], [74, 73], [], list(range(N_CELLS))])
def test_rows_are_read_in_any_order(opened, x, form, rows):
    columns = np.array([7, 0, 3])
    lazy = LazyRows(by_rows(opened(form)), columns, checksums(x))
    found = lazy[np.array(rows, dtype=int)]
    assert lazy.shape == (N_CELLS, 3)
    assert isinstance(found, sparse.csr_matrix)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found.toarray(), x[np.ix_(rows, columns)])


def test_blocks_are_read_once_and_only_where_rows_are_wanted(x):
    n_reads = np.zeros(3, int)

    def read(block, block_info=None):
        n_reads[block_info[0]["chunk-location"][0]] += 1
        return block.astype(np.int64)

    meta = np.empty((0, 0), np.int64)
    array = da.from_array(x, chunks=(40, -1)).map_blocks(read, dtype=np.int64, meta=meta)
    rows = LazyRows(array, ALL_GENES, checksums(x))
    assert list(rows.starts) == [0, 40, 80, 90]
    np.testing.assert_array_equal(rows[np.array([85, 3, 39, 3, 80])].toarray(), x[[85, 3, 39, 3, 80]])
    assert list(n_reads) == [1, 0, 1]


def test_rows_that_changed_are_noticed(x):
    changed = x.copy()
    changed[41, 2] += 1
    rows = LazyRows(da.from_array(changed, chunks=(40, -1)), ALL_GENES[:2], checksums(x))
    assert rows[np.array([40, 42])].shape == (2, 2)
    with pytest.raises(ChangedDataError, match="1 of 2 cells"):
        rows[np.array([43, 41])]


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
@pytest.mark.parametrize("rows", [slice(None), slice(3, 8), np.array([8, 2])])
@pytest.mark.parametrize("columns", [ALL_GENES, ALL_GENES[::-1], ALL_GENES[:-1], np.array([4, 1])])
def test_rows_and_columns_of_a_block(x, form, rows, columns):
    taken = take_rows(form(x.astype(np.float64)), rows, columns, checksums(x[rows]))
    assert isinstance(taken, sparse.csr_matrix)
    assert taken.dtype == np.float32
    np.testing.assert_array_equal(taken.toarray(), x[rows][:, columns])


def test_a_whole_block_is_not_copied(x):
    block = sparse.csr_matrix(x)
    assert np.shares_memory(take_rows(block, slice(None), ALL_GENES, checksums(x)).data, block.data)


def test_a_value_that_is_stored_in_parts_is_their_sum(x):
    """As a file may hold it: logarithms are taken of what is stored."""
    halves = sparse.csr_matrix(
        (np.repeat(x[:3, :4].ravel() / 2, 2), np.tile([0, 0, 1, 1, 2, 2, 3, 3], 3), [0, 8, 16, 24])
    )
    before = halves.data.copy()
    genes = pd.Index([f"g{number}" for number in range(4)])
    known = RowChecksums(gene_weights(genes), cell_checksums(halves, gene_weights(genes)))
    taken = take_rows(halves, slice(None), np.arange(4), known)
    np.testing.assert_array_equal(taken.toarray(), x[:3, :4])
    assert taken.nnz <= 12
    np.testing.assert_array_equal(halves.data, before)

"""Read rows of a matrix that is not in memory: in a file, in a zarr store, or a Dask array."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import h5py
import numpy as np
import psutil
import zarr
from anndata.abc import CSCDataset, CSRDataset
from anndata.experimental import read_elem_lazy
from dask.delayed import Delayed
from scipy import sparse

from stimpute.data._checksums import RowChecksums
from stimpute.data._reading import Reading, with_clear_errors
from stimpute.data._sources import check_file, sources_of, written_again

ROWS_PER_BLOCK = 4096
MIN_ROWS = 1024  # smaller chunks of a Dask array are joined
MEMORY_SHARE = 0.8  # of the free memory that a matrix stored by column may take


def is_lazy(matrix: Any) -> bool:
    """Tell whether the values of a matrix are not in memory."""
    return isinstance(matrix, CSRDataset | CSCDataset | h5py.Dataset | zarr.Array | da.Array)


def by_rows(matrix: Any) -> da.Array | sparse.csr_matrix:
    """Return a lazy matrix as a Dask array whose chunks hold whole rows; read it if it is stored by column.

    Parameters
    ----------
    matrix
        Of a kind that :func:`is_lazy` knows, shape (n_cells, n_genes), dense or sparse.

    Raises
    ------
    MemoryError
        If it is stored by column (CSC) in a file and does not fit in memory.
    ValueError
        If its file is open for writing, or another one was put in its place since it was opened.
    """
    if isinstance(matrix, CSCDataset):
        _check_room(matrix)
        return _read_stored(matrix)
    if not isinstance(matrix, da.Array):
        element = matrix.group if isinstance(matrix, CSRDataset) else matrix
        check_file(element)
        if isinstance(element, zarr.Array):
            return with_clear_errors(read_elem_lazy(element, chunks=(ROWS_PER_BLOCK, element.shape[1])))
        return _stored_blocks(matrix, element)
    matrix = with_clear_errors(matrix)
    if matrix.numblocks[0] == 1 and matrix.numblocks[1] > 1:
        return sparse.csr_matrix(matrix.compute())
    is_fragmented = matrix.shape[0] < MIN_ROWS * matrix.numblocks[0]
    return matrix.rechunk({0: ROWS_PER_BLOCK, 1: -1} if is_fragmented else {1: -1})


def _stored_blocks(matrix: CSRDataset | h5py.Dataset, element: Any) -> da.Array:
    """Return a stored matrix as a Dask array; blocks of CSR are read several times faster than those of AnnData."""
    n_rows, n_columns = matrix.shape
    source = element
    if isinstance(element, h5py.Group | h5py.Dataset):
        source = (Path(element.file.filename), element.name, version_of(element))
    sizes = [min(ROWS_PER_BLOCK, n_rows - start) for start in range(0, n_rows, ROWS_PER_BLOCK)]
    is_sparse = isinstance(matrix, CSRDataset)
    blocks = da.map_blocks(
        _read_block,
        source,
        n_columns,
        chunks=(tuple(sizes), (n_columns,)),
        meta=sparse.csr_matrix((0, 0), dtype=matrix.dtype) if is_sparse else np.empty((0, 0), matrix.dtype),
    )
    return with_clear_errors(blocks)


def _read_block(source: Any, n_columns: int, block_info: Any = None) -> sparse.csr_matrix | np.ndarray:
    """Read rows of a matrix from a file, which is opened each time, or of a CSR matrix from a zarr store."""
    start, stop = block_info[None]["array-location"][0]
    if isinstance(source, zarr.Group):
        return _read_csr(source, start, stop, n_columns)
    path, name, version = source
    if _version(path) != version:
        raise written_again(path)
    with h5py.File(path, "r") as file:
        if isinstance(file[name], h5py.Dataset):
            return file[name][start:stop]
        return _read_csr(file[name], start, stop, n_columns)


def _read_csr(group: Any, start: int, stop: int, n_columns: int) -> sparse.csr_matrix:
    indptr = group["indptr"][start : stop + 1]
    inside = slice(int(indptr[0]), int(indptr[-1]))
    parts = (group["data"][inside], group["indices"][inside], indptr - indptr[0])
    return sparse.csr_matrix(parts, shape=(stop - start, n_columns))


def read_all(matrix: Any) -> Any:
    """Read a whole matrix into memory, a lazy one as CSR; return one in memory as it is."""
    if not is_lazy(matrix):
        return matrix
    if isinstance(matrix, CSRDataset):
        return _read_stored(matrix)
    rows = by_rows(matrix)
    if not isinstance(rows, da.Array):
        return rows
    blocks = dask.compute(*(dask.delayed(sparse.csr_matrix)(block) for block in blocks_of(rows)))
    return sparse.vstack(blocks, "csr")


def _read_stored(matrix: CSRDataset | CSCDataset) -> sparse.csr_matrix:
    return sparse.csr_matrix(Reading(matrix.to_memory, tuple(sources_of(matrix)))())


def blocks_of(rows: da.Array) -> list[Delayed]:
    """Return the blocks of whole rows of a Dask array."""
    return list(rows.to_delayed().ravel())


def version_of(matrix: Any) -> tuple[str, int]:
    """Return what changes when the file of a matrix is written again; nothing for a Dask array, which never changes."""
    if isinstance(matrix, CSRDataset):
        matrix = matrix.group
    if not isinstance(matrix, h5py.Dataset | h5py.Group):
        return "", 0
    return _version(matrix.file.filename)


def _version(path: str | Path) -> tuple[str, int]:
    return str(path), Path(path).stat().st_mtime_ns


@dataclass(frozen=True)
class LazyRows:
    """Some columns of a Dask array, of which rows are read when they are asked for.

    Attributes
    ----------
    array
        Dense or sparse, shape (n_cells, n_genes), in chunks of whole rows.
    columns
        Positions of the columns, shape (n_columns,).
    checksums
        Of all rows, with which those that are read are compared.
    """

    array: da.Array
    columns: np.ndarray
    checksums: RowChecksums

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and columns."""
        return self.array.shape[0], len(self.columns)

    @cached_property
    def starts(self) -> np.ndarray:
        """Return the first row of each block, and the number of rows, shape (n_blocks + 1,)."""
        return np.concatenate([[0], np.cumsum(self.array.chunks[0])])

    @cached_property
    def _blocks(self) -> list[Delayed]:
        return blocks_of(self.array)

    def __getitem__(self, rows: np.ndarray) -> sparse.csr_matrix:
        """Read rows in the given order, float32. Each block that has some of them is read once.

        Raises
        ------
        ChangedDataError
            If they do not have their checksums.
        """
        order = np.argsort(rows)
        ordered = rows[order]
        block_of_row = np.searchsorted(self.starts, ordered, side="right") - 1
        wanted = [(block, ordered[block_of_row == block]) for block in np.unique(block_of_row)]
        take = dask.delayed(take_rows, pure=False)
        tasks = []
        for block, inside in wanted:
            tasks.append(take(self._blocks[block], inside - self.starts[block], self.columns, self.checksums[inside]))
        parts = dask.compute(*tasks)
        if not parts:
            return sparse.csr_matrix((0, len(self.columns)), dtype=np.float32)
        return sparse.vstack(parts, "csr")[np.argsort(order)]


def as_csr(matrix: Any) -> sparse.csr_matrix:
    """Convert to CSR, and sum duplicate entries, since logarithms are taken of stored values."""
    rows = sparse.csr_matrix(matrix)
    if not rows.has_canonical_format:
        rows = rows.copy()  # it may share the memory of the user's matrix
        rows.sum_duplicates()
    return rows


def take_rows(block: Any, rows: np.ndarray | slice, columns: np.ndarray, checksums: RowChecksums) -> sparse.csr_matrix:
    """Take rows and columns of a block, as CSR of float32; what is taken whole is not copied.

    Raises
    ------
    ChangedDataError
        If the rows do not have the checksums.
    """
    taken = as_csr(block)
    if not isinstance(rows, slice) or rows != slice(None):
        taken = taken[rows]
    checksums.check(taken)
    if not np.array_equal(columns, np.arange(taken.shape[1])):
        taken = taken[:, columns]
    return taken.astype(np.float32, copy=False)


def _check_room(matrix: CSCDataset) -> None:
    values = Reading(matrix.group.__getitem__, tuple(sources_of(matrix)))("data")
    size = values.shape[0] * (values.dtype.itemsize + 8) * 2  # by column, and converted to rows
    free = psutil.virtual_memory().available
    if size > MEMORY_SHARE * free:
        raise MemoryError(
            f"The expression is stored by gene (CSC), and rows of cells can be read only by reading all of it: "
            f"{size / 2**30:.1f} GiB of {free / 2**30:.1f} GiB that are free. Store it by cell, on a machine with more "
            "memory: `adata.X = adata.X.tocsr()`, then `adata.write_h5ad(path)`."
        )

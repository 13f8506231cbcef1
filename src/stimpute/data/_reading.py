"""Give one clear error where the file of a Dask array is gone or damaged."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import dask.array as da
import h5py
import numpy as np
import zarr
from anndata.experimental import read_elem_lazy
from dask._task_spec import Task
from scipy import sparse

from stimpute.data._checksums import ChangedDataError, readable_data
from stimpute.data._sources import ReadsFiles, Source, sources_in

Stamps = tuple[tuple[int, int] | None, ...]


@dataclass(frozen=True)
class Reading(ReadsFiles):
    """The function of a task that reads files, with one clear error.

    Attributes
    ----------
    function
        Reads.
    sources
        What it reads from.
    stamps
        :meth:`Source.stamp` of each when it was opened; empty where it may be written again.
    """

    function: Callable
    sources: tuple[Source, ...]
    stamps: Stamps = ()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with readable_data(*sorted({str(source) for source in self.sources})):
            block = self.function(*args, **kwargs)
            if any(source.is_gone() for source in self.sources):  # zarr reads zeros where it finds nothing
                raise FileNotFoundError("it was moved or removed")
            if self.stamps and self.stamps != stamps_of(self.sources):
                raise ChangedDataError(
                    f"{self.sources[0]} was written again since this AnnData was opened, so that its values are lost. "
                    "Expected the file as it was. Write an AnnData to another path than that of its own values, or "
                    "take it into memory first: `adata.to_memory()`."
                )
            if sparse.issparse(block) and block.format in ("csr", "csc"):
                _check_positions(block)
        return block


@dataclass(frozen=True)
class ReadableArray(ReadsFiles):
    """A zarr array that raises :class:`ChangedDataError` if it cannot be read, or was written again."""

    array: zarr.Array
    stamps: Stamps

    @property
    def sources(self) -> tuple[Source, ...]:  # type: ignore[override]
        """Return where the array is."""
        return tuple(sources_in(self.array))

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape of the array."""
        return self.array.shape

    @property
    def ndim(self) -> int:
        """Return the number of dimensions."""
        return self.array.ndim

    @property
    def dtype(self) -> np.dtype:
        """Return the type of the values."""
        return self.array.dtype

    def __getitem__(self, index: Any) -> Any:
        return Reading(self.array.__getitem__, self.sources, self.stamps)(index)


def open_lazily(element: zarr.Array | h5py.Dataset) -> da.Array:
    """Return a stored dense matrix as a Dask array in the chunks of the store, which raises clear errors.

    It is an error, too, if the matrix was written again. For zarr no task is made before it is needed: a large result
    has hundreds of thousands of chunks.
    """
    if isinstance(element, zarr.Array):
        readable = ReadableArray(element, stamps_of(tuple(sources_in(element))))
        return da.from_array(readable, chunks=element.chunks, meta=np.empty((0, 0), element.dtype))
    return with_clear_errors(read_elem_lazy(element), may_change=False)


def _check_positions(block: sparse.csr_matrix | sparse.csc_matrix) -> None:
    """Check the positions of values, which crash whoever uses them if they are damaged."""
    if (block.indptr[1:] < block.indptr[:-1]).any():  # SciPy overlooks some, for example if the last one is 0
        raise ValueError("positions of rows or columns decrease")
    block.check_format(full_check=True)


def stamps_of(sources: tuple[Source, ...]) -> Stamps:
    """Return when each was written."""
    return tuple(source.stamp() for source in sources)


def with_clear_errors(array: da.Array, *, may_change: bool = True) -> da.Array:
    """Return a Dask array whose tasks that read known files raise :class:`ChangedDataError` if they cannot.

    Unless it `may_change`, they also raise it if the file was written again.
    """
    graph: dict[Hashable, Any] = dict(array.dask)
    found = {key: tuple(sources_in(task)) for key, task in graph.items()}
    held = {key: sources for key, sources in found.items() if sources and not isinstance(graph[key], Task)}
    for key, task in list(graph.items()):
        if not isinstance(task, Task) or isinstance(task.func, Reading):
            continue
        sources = (*found[key], *(source for needed in task.dependencies for source in held.get(needed, ())))
        if sources:
            reading = Reading(task.func, sources, () if may_change else stamps_of(sources))
            graph[key] = Task(key, reading, *task.args, _data_producer=task.data_producer, **task.kwargs)
    return da.Array(graph, array.name, array.chunks, meta=array._meta)

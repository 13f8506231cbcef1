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

from stimpute.data._checksums import readable_data
from stimpute.data._sources import ReadsFiles, Source, sources_in


@dataclass(frozen=True)
class Reading(ReadsFiles):
    """The function of a task that reads files, with one clear error.

    Attributes
    ----------
    function
        Reads.
    sources
        What it reads from.
    """

    function: Callable
    sources: tuple[Source, ...]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with readable_data(*sorted({str(source) for source in self.sources})):
            block = self.function(*args, **kwargs)
            if any(source.is_gone() for source in self.sources):  # zarr reads zeros where it finds nothing
                raise FileNotFoundError("it was moved or removed")
            if sparse.issparse(block) and block.format in ("csr", "csc"):
                _check_positions(block)
        return block


@dataclass(frozen=True)
class ReadableArray(ReadsFiles):
    """A zarr array that raises :class:`ChangedDataError` if it cannot be read."""

    array: zarr.Array

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
        return Reading(self.array.__getitem__, self.sources)(index)


def open_lazily(element: zarr.Array | h5py.Dataset) -> da.Array:
    """Return a stored dense matrix as a Dask array in the chunks of the store, which raises clear errors.

    For zarr no task is made before it is needed: a large result has hundreds of thousands of chunks.
    """
    if isinstance(element, zarr.Array):
        return da.from_array(ReadableArray(element), chunks=element.chunks, meta=np.empty((0, 0), element.dtype))
    return with_clear_errors(read_elem_lazy(element))


def _check_positions(block: sparse.csr_matrix | sparse.csc_matrix) -> None:
    """Check the positions of values, which crash whoever uses them if they are damaged."""
    if (block.indptr[1:] < block.indptr[:-1]).any():  # SciPy overlooks some, for example if the last one is 0
        raise ValueError("positions of rows or columns decrease")
    block.check_format(full_check=True)


def with_clear_errors(array: da.Array) -> da.Array:
    """Return a Dask array whose tasks that read known files raise :class:`ChangedDataError` if they cannot."""
    graph: dict[Hashable, Any] = dict(array.dask)
    found = {key: tuple(sources_in(task)) for key, task in graph.items()}
    held = {key: sources for key, sources in found.items() if sources and not isinstance(graph[key], Task)}
    for key, task in list(graph.items()):
        if not isinstance(task, Task) or isinstance(task.func, Reading):
            continue
        sources = (*found[key], *(source for needed in task.dependencies for source in held.get(needed, ())))
        if sources:
            reading = Reading(task.func, sources)
            graph[key] = Task(key, reading, *task.args, _data_producer=task.data_producer, **task.kwargs)
    return da.Array(graph, array.name, array.chunks, meta=array._meta)

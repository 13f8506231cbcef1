"""Find the files behind expression that is not in memory."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import dask.array as da
import h5py
import zarr
from anndata.abc import CSCDataset, CSRDataset
from dask._task_spec import DataNode, Task
from dask.blockwise import Blockwise
from zarr.storage import LocalStore

from stimpute.data._checksums import ChangedDataError


@dataclass(frozen=True)
class Source:
    """A matrix in a file or a store.

    Attributes
    ----------
    store
        The path of an HDF5 file, or a zarr store.
    name
        Path of the matrix in it.
    """

    store: Any
    name: str

    def __str__(self) -> str:
        path = getattr(self.store, "root", None) or getattr(self.store, "path", None)  # of stores of zarr
        return str(self.store if path is None or isinstance(self.store, Path) else path)

    def is_gone(self) -> bool:
        """Tell whether there is no such file, folder or element of a store any more."""
        if isinstance(self.store, Path):
            return not self.store.exists()
        if isinstance(self.store, LocalStore):
            return not (self.store.root / self.name).exists()
        try:
            _zarr_element(self.store, self.name)
        except FileNotFoundError:
            return True
        return False

    def stamp(self) -> tuple[int, int] | None:
        """Return time and size of the file, or of the description of a matrix in a store; None where there is none.

        They change when it is written again.
        """
        paths = [self.store] if isinstance(self.store, Path) else []
        if isinstance(self.store, LocalStore):
            paths = [self.store.root / self.name / name for name in ("zarr.json", ".zarray")]  # by versions of zarr
        for path in paths:
            if path.exists():
                found = path.stat()
                return found.st_mtime_ns, found.st_size
        return None

    @contextlib.contextmanager
    def opened(self) -> Iterator[Callable[[str], Any]]:
        """Open the file or the store again, since its library may know it as it was; yield what finds an element."""
        if isinstance(self.store, Path):
            with self.store.open("rb") as raw, h5py.File(raw, "r") as file:
                yield lambda name: file[name or "/"]
        else:
            yield lambda name: _zarr_element(self.store, name)


class ReadsFiles:
    """Base class of what reads from known files, which it lists as `sources`."""

    sources: tuple[Source, ...]


def _zarr_element(store: Any, name: str) -> zarr.Group | zarr.Array:
    try:
        return zarr.open_group(store, path=name, mode="r", use_consolidated=False)
    except (zarr.errors.ContainsArrayError, FileNotFoundError, AssertionError):  # by versions of the format and of zarr
        return zarr.open_array(store, path=name, mode="r")


def sources_of(matrix: Any) -> list[Source]:
    """Find the files that a matrix is read from; none for one in memory, or a Dask array of which this is unknown."""
    parts = _parts_of(matrix) if isinstance(matrix, da.Array) else [matrix]
    found = [source for part in parts for source in sources_in(part)]
    return list({(str(source), source.name): source for source in found}.values())


def _parts_of(matrix: da.Array) -> Iterator[Any]:
    """Yield what the tasks of a Dask array hold; a layer of one task for each chunk is not written out."""
    for layer in matrix.dask.layers.values():
        if isinstance(layer, Blockwise):
            yield layer.task
            yield tuple(name for name, _ in layer.indices)
            yield from layer.io_deps.values()
        else:
            yield from dict(layer).values()


def sources_in(value: Any) -> Iterator[Source]:
    """Yield the sources in a matrix, or in a task of Dask."""
    if isinstance(value, CSRDataset | CSCDataset):
        value = value.group
    if isinstance(value, ReadsFiles):
        yield from value.sources
    elif isinstance(value, h5py.Dataset | h5py.Group):
        if value.file.driver in ("sec2", "windows"):  # others have no path, for example files in memory
            yield Source(Path(value.file.filename), value.name)
    elif isinstance(value, zarr.Array | zarr.Group):
        yield Source(value.store, value.path)
    elif isinstance(value, DataNode):
        yield from sources_in(value.value)
    elif isinstance(value, Task):
        yield from sources_in((value.func, *value.args, *value.kwargs.values()))
    elif isinstance(value, partial):
        yield from sources_in((*value.args, *value.keywords.values()))
    elif isinstance(value, tuple | list):
        parts = [part.value if isinstance(part, DataNode) else part for part in value]
        for part, following in pairwise([*parts, None]):
            if isinstance(part, Path) and isinstance(following, str):  # how AnnData names a matrix in an HDF5 file
                yield Source(part, following)
            else:
                yield from sources_in(part)


def check_file(element: Any) -> None:
    """Check that the file of a matrix is open for reading, and still the file that is at its path.

    Raises
    ------
    ValueError
        If it is open for writing.
    ChangedDataError
        If another file is there.
    """
    if not isinstance(element, h5py.Dataset | h5py.Group):
        return
    file = element.file
    if file.mode != "r":
        raise ValueError(
            f'The file {file.filename} is open for writing. Open it by `anndata.read_h5ad(path, backed="r")`.'
        )
    if file.driver != "sec2" or os.name != "posix":  # of other files the system does not know which one is open
        return
    opened = os.fstat(file.id.get_vfd_handle())
    if not Path(file.filename).exists() or not os.path.samestat(opened, os.stat(file.filename)):
        raise written_again(file.filename)


def written_again(path: str | Path) -> ChangedDataError:
    """Make the error for a file that is no longer at its path."""
    if not Path(path).is_absolute() and not Path(path).exists():
        return ChangedDataError(
            f"{path} is not in the working directory, {Path.cwd()}: it was removed, or the directory was changed after "
            "the file had been opened by a relative path. Open it again by its absolute path, and pass the new AnnData."
        )
    return ChangedDataError(
        f"{path} was written again or removed since it was opened: names and values may be those of different cells. "
        'Open it again by `anndata.read_h5ad(path, backed="r")`, and pass the new AnnData.'
    )

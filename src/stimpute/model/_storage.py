"""Hold the values of a result: in memory, in a zarr store or in an `.h5ad` file."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd
import psutil
import zarr
from anndata import AnnData

from stimpute._atomic import replacing
from stimpute.data._reading import open_lazily
from stimpute.model import _chunks

MEMORY_SHARE = 0.8  # of the free memory that a result may take
ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")  # longer than the letter of a drive


def check_room(n_cells: int, n_genes: int, n_layers: int, out: str | Path | None) -> None:
    """Check that there is room for a result, in memory or on disk.

    Raises
    ------
    TypeError
        If `out` is not a path.
    ValueError
        If the name of `out` is that of another kind of file.
    FileExistsError
        If `out` exists.
    MemoryError
        If a result in memory would take more than four fifths of the free memory.
    OSError
        If a file would take more than the free disk space.
    """
    size = 4 * n_cells * n_genes * n_layers
    result = f"{n_cells:,} cells × {n_genes:,} genes × {n_layers} float32 would take {size / 2**30:.1f} GiB"
    if out is not None:
        _check_path(out)
        folder = next(parent for parent in Path(out).absolute().parents if parent.exists())
        free = shutil.disk_usage(folder).free
        if _is_file(Path(out)) and size > free:
            raise OSError(
                f"{result} of {free / 2**30:.1f} GiB that are free in {folder}. Name the genes you need with `genes=`, "
                "or a path on another disk."
            )
        return
    free = psutil.virtual_memory().available
    if size > MEMORY_SHARE * free:
        raise MemoryError(
            f"{result} of {free / 2**30:.1f} GiB that are free. Name the genes you need with `genes=`, or stream to "
            'disk with `out="imputed.zarr"`.'
        )


def _check_path(out: str | Path) -> None:
    """Check that a result can be written to a path of this name."""
    if not isinstance(out, str | os.PathLike):
        raise TypeError(f"`out` is {out!r}; expected the path of a zarr store or of an .h5ad file.")
    if ADDRESS.match(str(out)):
        raise ValueError(f"`out` is {out}; expected a path on a disk. Write there, and upload the result.")
    if Path(out).suffix.lower() in (".h5", ".csv") or Path(out).name.lower() in (".h5ad", ".zarr"):
        raise ValueError(
            f"`out` is {out}; expected the name of a zarr store, such as 'imputed.zarr', or of a file, such as "
            "'imputed.h5ad'. For another kind of file leave `out` out, and write the result."
        )
    if Path(out).exists():
        raise FileExistsError(f"{out} exists. Name another `out=`, or remove it first.")


@contextlib.contextmanager
def values(
    result: AnnData, layers: list[str], out: str | Path | None, batch_size: int | None = None
) -> Iterator[dict[str, Any]]:
    """Yield arrays to fill with the values of a result, which hold them afterwards: in memory, or in a store.

    Parameters
    ----------
    result
        From :func:`without_values`.
    layers
        Names of the layers; `X` first.
    out
        Path of the zarr store or of the `.h5ad` file, or None.
    batch_size
        Cells per chunk of the store, each of which is written at once.
    """
    if out is not None:
        with _values_on_disk(result, layers, Path(out), batch_size or _chunks.CELLS_PER_CHUNK) as arrays:
            yield arrays
        return
    arrays = {name: np.empty(result.shape, np.float32) for name in layers}
    yield arrays
    put(result, arrays)


def put(result: AnnData, arrays: Mapping[str, Any]) -> None:
    """Put arrays into a result: `X`, and layers by their names."""
    result.X = arrays["X"]
    for name in (layer for layer in arrays if layer != "X"):
        result.layers[name] = arrays[name]


@contextlib.contextmanager
def _values_on_disk(
    result: AnnData, layers: list[str], out: Path, cells_per_chunk: int
) -> Iterator[dict[str, zarr.Array | h5py.Dataset]]:
    """Yield arrays on disk to fill; afterwards, move what was written to its place and open it lazily in the result.

    All but the values is written first, so that what cannot be written fails before anything is computed. Until the
    store or the file is whole it has another name.
    """
    chunks = (min(cells_per_chunk, result.n_obs), min(_chunks.GENES_PER_CHUNK, result.n_vars))
    with replacing(out) as partial, _new_group(partial) as group:
        group.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        with zarr.config.set({"async.concurrency": 1}):  # more chunks of names at once need several times the memory
            for key in ("obs", "var", "obsm", "uns", "varm", "obsp", "varp", "layers"):
                value = getattr(result, key)
                anndata.io.write_elem(group, key, _storable(value) if isinstance(value, pd.DataFrame) else dict(value))
        arrays = {}
        for name in layers:
            arrays[name] = _new_array(group, _path_in_group(name), result.shape, chunks)
            arrays[name].attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
        yield arrays
    with _written_group(out.absolute()) as group:
        put(result, {name: open_lazily(group[_path_in_group(name)]) for name in layers})


def _storable(table: pd.DataFrame) -> pd.DataFrame:
    """Turn text into what every version of AnnData reads: objects, and categories where some is missing."""
    changed = {}
    for name, column in table.items():
        if isinstance(column.dtype, pd.StringDtype) or column.dtype == object:
            kind = pd.api.types.infer_dtype(column)
            if column.isna().any() and kind in ("string", "empty"):
                changed[name] = "category" if kind == "string" else "float64"
            elif kind == "string":
                changed[name] = "object"
    return table.astype(changed).set_axis(table.index.astype(object))


@contextlib.contextmanager
def _new_group(path: Path) -> Iterator[zarr.Group | h5py.File]:
    """Make a file or a store; yield its group, and complete it afterwards."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if _is_file(path):
        with h5py.File(path, "w") as file:
            yield file
        return
    group = zarr.open_group(str(path), mode="w-", zarr_format=_chunks.ZARR_FORMAT)
    yield group
    zarr.consolidate_metadata(group.store)


def _new_array(
    group: zarr.Group | h5py.File, path: str, shape: tuple[int, int], chunks: tuple[int, int]
) -> zarr.Array | h5py.Dataset:
    """Create an array of values; in a file, reserve its place on the disk where the system can.

    HDF5 may end the whole process if the disk is full when it closes a file.
    """
    if isinstance(group, zarr.Group):
        form: dict[str, Any] = {"compressors": _chunks.COMPRESSOR, "config": _chunks.ZARR_CONFIG}
        return group.create_array(path, shape=shape, chunks=chunks, dtype="float32", **form)
    at_once = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    at_once.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    at_once.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    dataset = group.create_dataset(path, shape=shape, chunks=chunks, dtype="float32", dcpl=at_once)
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(group.id.get_vfd_handle(), 0, group.id.get_filesize())
    return dataset


@contextlib.contextmanager
def _written_group(path: Path) -> Iterator[zarr.Group | h5py.File]:
    """Open a file or a store for reading."""
    if _is_file(path):
        with h5py.File(path, "r") as file:
            yield file
        return
    yield zarr.open_group(str(path), mode="r")


def _is_file(path: Path) -> bool:
    """Tell whether a result of this name is one file; others are stores."""
    return path.suffix.lower() == ".h5ad"


def _path_in_group(layer: str) -> str:
    return "X" if layer == "X" else f"layers/{layer}"

"""Stream predictions over cells and genes, into memory or into zarr."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import anndata
import numpy as np
import pandas as pd
import psutil
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from stimpute.data._space import spatial_order
from stimpute.data._spatial import SpatialCells
from stimpute.recipes import OutputOptions, Predictor

GENES_PER_CHUNK = 256
CELLS_PER_CHUNK = 1024


class GeneGroup(NamedTuple):
    """Targets that are predicted under one hiding, and where they go in the output."""

    predictor: Predictor
    targets: np.ndarray
    columns: np.ndarray


def allocate(n_cells: int, n_genes: int, names: list[str], out: str | Path | None) -> dict[str, Any]:
    """Float32 arrays, cells × genes, by layer name; in memory, or in a zarr store.

    Raises
    ------
    MemoryError
        If the result would take more than four fifths of the memory that is free.
    FileExistsError
        If `out` exists.
    """
    if out is None:
        size, free = 4 * n_cells * n_genes * len(names), psutil.virtual_memory().available
        if size > 0.8 * free:
            raise MemoryError(
                f"{n_cells:,} cells × {n_genes:,} genes × {len(names)} float32 would take {size / 2**30:.1f} GiB of "
                f"{free / 2**30:.1f} GiB that are free. Name the genes you need with `genes=`, or stream to disk with "
                '`out="imputed.zarr"`.'
            )
        return {name: np.empty((n_cells, n_genes), np.float32) for name in names}
    if Path(out).exists():
        raise FileExistsError(f"{out} exists. Name another `out=`, or remove it first.")
    import zarr

    group = zarr.open_group(str(out), mode="w-", zarr_format=anndata.settings.zarr_write_format)
    group.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
    anndata.io.write_elem(group, "layers", {})
    chunks = (min(CELLS_PER_CHUNK, n_cells), min(GENES_PER_CHUNK, n_genes))
    arrays = {}
    for name in names:
        path = "X" if name == "X" else f"layers/{name}"
        arrays[name] = group.create_array(path, shape=(n_cells, n_genes), chunks=chunks, dtype="float32")
        arrays[name].attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    return arrays


@contextlib.contextmanager
def removed_on_error(out: str | Path | None) -> Iterator[None]:
    """Leave no half-written store behind, so that the call can be repeated."""
    try:
        yield
    except BaseException:
        if out is not None:
            shutil.rmtree(out, ignore_errors=True)
        raise


def stream(
    cells: SpatialCells,
    groups: list[GeneGroup],
    arrays: dict[str, Any],
    options: OutputOptions,
    *,
    batch_size: int | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Predict chunk by chunk.

    Cost is cells × genes; memory is one chunk of either. A group's genes are described once, then predicted for one
    chunk of cells after another; in memory, in an order that keeps spatial neighbours together.

    Parameters
    ----------
    cells
        Cells to predict for.
    groups
        Genes by hiding.
    arrays
        From :func:`allocate`; filled.
    options
        What is wanted of each value.
    batch_size
        Cells per chunk.
    progress
        Whether to draw a bar.

    Returns
    -------
    What the predictors know of each gene, in the order of the columns.

    Raises
    ------
    ValueError
        If a chunk would hold no cell.
    """
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"`batch_size` is {batch_size}; expected the number of cells per chunk, at least 1.")
    order = np.arange(len(cells))  # a store is written chunk by chunk: in another order, each would be written often
    if cells.coords is not None and all(isinstance(array, np.ndarray) for array in arrays.values()):
        order = spatial_order(cells.coords, cells.batch)
    n_genes, frames = sum(len(group.targets) for group in groups), []
    with _bar(progress) as bar:
        describing = bar.add_task("describe genes", total=n_genes)
        imputing = bar.add_task("impute", total=len(cells) * n_genes)
        for group in groups:
            known = []
            for part in _gene_chunks(group):
                known.append(group.predictor.describe(group.targets[part]))
                bar.advance(describing, len(known[-1]))
            for rows in _split(order, batch_size or CELLS_PER_CHUNK):
                embedded = group.predictor.embed(cells, rows)
                for part, described in zip(_gene_chunks(group), known, strict=True):
                    values = group.predictor.predict(embedded, group.targets[part], described, options)
                    for name, array in arrays.items():
                        _write(array, rows, group.columns[part], values[name])
                    bar.advance(imputing, len(rows) * len(described))
            frames.append(pd.concat(known).set_axis(group.columns))
    return pd.concat(frames).sort_index()


def _write(array: Any, rows: np.ndarray, columns: np.ndarray, values: np.ndarray) -> None:
    if isinstance(array, np.ndarray):
        array[np.ix_(rows, columns)] = values
    else:
        array.oindex[rows, columns] = values


def _gene_chunks(group: GeneGroup) -> Iterator[slice]:
    for start in range(0, len(group.targets), GENES_PER_CHUNK):
        yield slice(start, start + GENES_PER_CHUNK)


def _split(order: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for start in range(0, len(order), size):
        yield order[start : start + size]


def _bar(show: bool) -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f}%"),
        TimeRemainingColumn(),
    )
    return Progress(*columns, disable=not show, transient=True)

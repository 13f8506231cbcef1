"""Imputed values of cells × genes: kept lazy, put into arrays, or written to a store."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import dask
import dask.array as da
import dask.multiprocessing
import numpy as np
from dask.base import get_scheduler

from stimpute._threads import suitable_threads
from stimpute.data._spatial import SpatialCells
from stimpute.model import _chunks
from stimpute.model._chunks import GeneChunk
from stimpute.model._graph import CellGraph, imputed_values
from stimpute.model._imputed_array import ImputedArray
from stimpute.recipes import GeneBlock, OutputOptions, Predictor

BYTES_AT_ONCE = 2**28  # of values that are computed before they are put into an array
STEPS = 100  # of the progress bar, at most
CHUNKS_AT_ONCE = 16  # at least: every step has a graph of its own, and reads the cells around its chunks again

Arrays = dict[str, da.Array]


@dataclass(frozen=True)
class ImputedValues:
    """Everything from which the values of some genes in some cells are computed.

    Attributes
    ----------
    predictor
        Encodes cells.
    cells
        The graph of the cells.
    chunks, blocks
        The genes, and their blocks.
    options
        Options of the values.
    layers
        Names of the layers; `X` first.
    """

    predictor: Predictor
    cells: CellGraph
    chunks: list[GeneChunk]
    blocks: list[GeneBlock]
    options: OutputOptions
    layers: list[str]
    _encoders: dict[int | None, Any] = field(default_factory=dict)

    @property
    def n_columns(self) -> int:
        """Number of genes."""
        return sum(len(chunk.columns) for chunk in self.chunks)

    def by_fold(self, wanted: np.ndarray | None = None) -> Iterator[tuple[np.ndarray, Arrays]]:
        """Yield columns of the output and their values, for one fold after another.

        Parameters
        ----------
        wanted
            Columns to compute; all if None. A gene block that cannot be divided is computed as a whole.
        """
        for fold in dict.fromkeys(chunk.fold for chunk in self.chunks):
            columns: list[np.ndarray] = []
            blocks: list[GeneBlock] = []
            for chunk, block in zip(self.chunks, self.blocks, strict=True):
                inside = np.arange(len(chunk.columns))
                if wanted is not None:
                    inside = np.flatnonzero(np.isin(chunk.columns, wanted))
                if chunk.fold != fold or not len(inside):
                    continue
                if len(inside) < len(chunk.columns) and hasattr(block, "take"):
                    columns.append(chunk.columns[inside])
                    blocks.append(block.take(inside))
                else:
                    columns.append(chunk.columns)
                    blocks.append(block)
            if blocks:
                encoded = self.cells.encode(self._encoder(fold), fold)
                yield np.concatenate(columns), imputed_values(encoded, blocks, self.options, self.layers)

    def _encoder(self, fold: int | None) -> Any:
        if fold not in self._encoders:
            self._encoders[fold] = self.predictor.cell_encoder(fold)
        return self._encoders[fold]

    def select(self, wanted: np.ndarray | None = None) -> Arrays:
        """Return the values of some columns, in the given order, or of all."""
        parts = list(self.by_fold(wanted))
        found = np.concatenate([columns for columns, _ in parts])
        if wanted is None:
            wanted = np.arange(len(found))
        position = np.empty(found.max() + 1, dtype=int)
        position[found] = np.arange(len(found))
        picked = position[wanted]
        arrays = {}
        for layer in self.layers:
            array = da.concatenate([values[layer] for _, values in parts], axis=1)
            if not np.array_equal(picked, np.arange(len(found))):
                array = array[:, picked]
            arrays[layer] = array.rechunk({1: _chunks.genes_per_task()})
        return arrays

    def in_order(self) -> list[tuple[np.ndarray, Arrays]]:
        """Return all columns and their values in the order of the output, in the form of :meth:`by_fold`."""
        return [(np.arange(self.n_columns), self.select())]

    def in_steps(self, n_chunks: int) -> Iterator[ImputedValues]:
        """Yield the values of some chunks of cells after another, each with a graph of its own."""
        for start in range(0, self.cells.n_chunks, n_chunks):
            yield replace(self, cells=self.cells.some(start, start + n_chunks))

    def lazy(self) -> Arrays:
        """Return arrays of which only what is asked for is computed."""
        return {layer: ImputedArray.of(array, self, layer) for layer, array in self.select().items()}


def fill(
    values: ImputedValues,
    parts_of: Callable[[ImputedValues], Iterable[tuple[np.ndarray, Arrays]]],
    arrays: Mapping[str, Any],
    advance: Callable[[int], None],
) -> None:
    """Put values into arrays of this process, shape (n_cells, n_genes), some chunks of cells at a time.

    Parameters
    ----------
    values
        Everything from which they are computed.
    parts_of
        Returns columns and their values: :meth:`ImputedValues.by_fold` or :meth:`ImputedValues.in_order`.
    arrays
        Arrays in memory, or data sets of an HDF5 file, which has one writer, by layer.
    advance
        Advances the progress bar.
    """
    size = 4 * values.n_columns * len(values.layers) * values.cells.size
    n_chunks = max(1, min(BYTES_AT_ONCE // size, _chunks_per_step(values)))
    with _workers():
        for step in values.in_steps(n_chunks):
            for columns, lazy in parts_of(step):
                delayed = [array.to_delayed() for array in lazy.values()]
                blocks = [block for of_layer in delayed for block in of_layer.ravel()]
                _put(arrays, step.cells.tasks, columns, lazy, iter(dask.compute(*blocks)))
                advance(len(step.cells.order) * len(columns))


def _chunks_per_step(values: ImputedValues) -> int:
    return max(CHUNKS_AT_ONCE, -(-values.cells.n_chunks // STEPS))


def _put(arrays: Mapping[str, Any], tasks: Any, columns: np.ndarray, lazy: Arrays, blocks: Iterator) -> None:
    """Put computed blocks to their rows and columns; blocks come by layer, by cells, by genes."""
    for layer, array in lazy.items():
        bounds = np.concatenate([[0], np.cumsum(array.chunks[1])])
        for task in tasks:
            for first, last in zip(bounds[:-1], bounds[1:], strict=True):
                arrays[layer][_region(task.rows, columns[first:last])] = next(blocks)


def _region(rows: np.ndarray, columns: np.ndarray) -> tuple[Any, ...]:
    """Return the index of rows × columns; slices, which HDF5 needs, where both are consecutive."""
    if (np.diff(rows) == 1).all() and (np.diff(columns) == 1).all():
        return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return np.ix_(rows, columns)


def store(values: ImputedValues, arrays: Mapping[str, Any], advance: Callable[[int], None]) -> None:
    """Write values to zarr arrays, whose chunks are those of the work; each task writes its own chunk."""
    row = 0
    with _workers():
        for step in values.in_steps(_chunks_per_step(values)):
            lazy = step.select()
            n_rows = len(step.cells.order)
            region = (slice(row, row + n_rows), slice(None))
            targets = [arrays[layer] for layer in lazy]
            da.store(list(lazy.values()), targets, regions=[region] * len(lazy), lock=False)
            row += n_rows
            advance(n_rows * values.n_columns)


@contextlib.contextmanager
def _workers() -> Iterator[None]:
    """Keep the workers of Dask's own schedulers from disturbing each other while values are computed.

    Threads of Dask compute with one thread each, and processes are started once.
    """
    scheduler = get_scheduler()
    if scheduler is dask.multiprocessing.get and dask.config.get("pool", None) is None:
        from concurrent.futures import ProcessPoolExecutor

        n_workers = dask.config.get("num_workers", None) or dask.system.CPU_COUNT
        context = dask.multiprocessing.get_context()
        with ProcessPoolExecutor(n_workers, mp_context=context) as pool, dask.config.set(pool=pool):
            yield
    elif scheduler in (None, dask.threaded.get):
        with suitable_threads(0):
            yield
    else:
        yield


def make_values(
    predictor: Predictor,
    cells: SpatialCells,
    chunks: list[GeneChunk],
    blocks: list[GeneBlock],
    options: OutputOptions,
    order: np.ndarray,
    batch_size: int | None,
    *,
    keep: bool = False,
) -> ImputedValues:
    """Collect everything from which values are computed.

    Parameters
    ----------
    predictor, cells, chunks, blocks, options
        What is predicted.
    order, batch_size
        Order of the cells, and cells per chunk; 1024 if None.
    keep
        Whether to keep encoded cells for the next genes.
    """
    size = batch_size or _chunks.CELLS_PER_CHUNK
    graph = CellGraph.cut(cells, order, size, predictor.n_spatial_neighbors, keep=keep)
    layers = ["X"] if options.interval is None else ["X", "lower", "upper"]
    return ImputedValues(predictor, graph, chunks, blocks, options, layers)

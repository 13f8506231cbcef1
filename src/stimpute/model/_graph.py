"""Imputation as a graph of Dask: parts of the data, encoded chunks of cells, and values of cells × genes.

part of the data   the shared genes of some cells, read from where the data are
encoded chunk      from the parts that hold the cells of a chunk and their spatial neighbors
values             from an encoded chunk and a gene block, and from nothing else

What is done with the values is no part of the graph: they are kept lazy, written to a store, or put into an array.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any
from uuid import uuid4

import dask.array as da
import numpy as np
from dask.highlevelgraph import HighLevelGraph
from scipy import sparse

from stimpute.data._checksums import RowChecksums
from stimpute.data._rows import ROWS_PER_BLOCK, LazyRows, take_rows
from stimpute.data._space import NeighborSearch
from stimpute.data._spatial import CellChunk, SpatialCells
from stimpute.model._encodings import Encodings, load, remembered
from stimpute.recipes import CellEncoder, GeneBlock, OutputOptions

MAX_PARTS = 256  # that data in memory are cut into


@dataclass(frozen=True)
class CellParts:
    """Spatial cells in parts of consecutive rows.

    Attributes
    ----------
    array
        One block per part: a :class:`SpatialCells`, shape (n_cells,).
    starts
        First row of each part, shape (n_parts,).
    """

    array: da.Array
    starts: np.ndarray

    @classmethod
    def cut(cls, cells: SpatialCells) -> CellParts:
        """Cut cells that are in memory, without a copy; others are read part by part when they are needed."""
        expression = cells.expression
        if isinstance(expression, LazyRows):
            bounds = expression.starts
        else:
            size = max(ROWS_PER_BLOCK, -(-len(cells) // MAX_PARTS))
            bounds = np.append(np.arange(0, len(cells), size), len(cells))
        name = f"cells-{uuid4().hex}"
        layer: dict[Any, Any] = {}
        columns = f"columns-{uuid4().hex}"  # one key each, so that they are sent once to each worker
        weights = f"weights-{uuid4().hex}"
        if isinstance(expression, LazyRows):
            layer |= {columns: expression.columns, weights: expression.checksums.weights}
        for part, (start, stop) in enumerate(zip(bounds[:-1], bounds[1:], strict=True)):
            rows = slice(start, stop)
            totals = None if cells.total_counts is None else cells.total_counts[rows]
            coords = None if cells.coords is None else cells.coords[rows]
            if isinstance(expression, LazyRows):
                stored = (expression.array.name, part, 0)
                checksums = (RowChecksums, weights, expression.checksums.expected[rows])
                block = (take_rows, stored, slice(None), columns, checksums)
                layer[name, part] = (SpatialCells, block, totals, coords, cells.section[rows])
            else:
                layer[name, part] = SpatialCells(_view(expression, start, stop), totals, coords, cells.section[rows])
        sources = [expression.array] if isinstance(expression, LazyRows) else []
        return cls(_blocks(name, layer, np.diff(bounds), sources), bounds[:-1])

    def holding(self, rows: np.ndarray) -> np.ndarray:
        """Find the parts that hold some rows, sorted."""
        part_of_row = np.searchsorted(self.starts, rows.ravel(), side="right") - 1
        return np.flatnonzero(np.bincount(part_of_row))


def _view(matrix: sparse.csr_matrix, start: int, stop: int) -> sparse.csr_matrix:
    """Return consecutive rows without a copy of their values."""
    first, last = matrix.indptr[[start, stop]]
    indptr = matrix.indptr[start : stop + 1] - first
    shape = (stop - start, matrix.shape[1])
    return sparse.csr_matrix((matrix.data[first:last], matrix.indices[first:last], indptr), shape=shape, copy=False)


def _blocks(name: str, layer: Mapping[Any, Any], sizes: Any, dependencies: Any) -> da.Array:
    """Make a one-dimensional Dask array whose blocks are objects, of which each stands for some cells or genes."""
    graph = HighLevelGraph.from_collections(name, layer, dependencies)
    return da.Array(graph, name, chunks=(tuple(int(size) for size in sizes),), meta=np.empty(0, dtype=object))


@dataclass(frozen=True)
class ChunkTask:
    """A chunk of cells: its rows, their spatial neighbors, and the parts of the data that hold them."""

    rows: np.ndarray
    neighbors: np.ndarray | None
    parts: np.ndarray


@dataclass(frozen=True)
class CellGraph:
    """Chunks of cells, which are encoded for one fold after another.

    Attributes
    ----------
    parts
        The cells.
    order
        Order in which they are cut into chunks, shape (n_cells,).
    size
        Cells per chunk.
    n_neighbors
        Number of spatial neighbors that encoders read; None for none.
    search
        Finds them.
    encodings
        Keeps encoded chunks for the next genes, or None.
    """

    parts: CellParts
    order: np.ndarray
    size: int
    n_neighbors: int | None
    search: NeighborSearch | None
    encodings: Encodings | None = None

    @classmethod
    def cut(
        cls, cells: SpatialCells, order: np.ndarray, size: int, n_neighbors: int | None, *, keep: bool = False
    ) -> CellGraph:
        """Cut cells into chunks."""
        search = None if n_neighbors is None else cells.neighbor_search()
        return cls(CellParts.cut(cells), order, size, n_neighbors, search, Encodings() if keep else None)

    @property
    def n_chunks(self) -> int:
        """Number of chunks."""
        return -(-len(self.order) // self.size)

    def some(self, start: int, stop: int) -> CellGraph:
        """Return some consecutive chunks, which are not kept."""
        return replace(self, order=self.order[start * self.size : stop * self.size], encodings=None)

    @cached_property
    def tasks(self) -> list[ChunkTask]:
        """Find the spatial neighbors of each chunk, and the parts that hold them."""
        neighbors = None
        if self.search is not None and self.n_neighbors is not None:
            neighbors = self.search.find(self.n_neighbors, self.order)
        tasks = []
        for start in range(0, len(self.order), self.size):
            rows = self.order[start : start + self.size]
            near = None if neighbors is None else neighbors[start : start + self.size]
            wanted = rows if near is None else np.append(rows, near)
            tasks.append(ChunkTask(rows, near, self.parts.holding(wanted)))
        return tasks

    def encode(self, encoder: CellEncoder, fold: int | None) -> da.Array:
        """Return the chunks encoded with a fold held out, one per block, shape (n_cells,)."""
        name = f"encode-{uuid4().hex}"
        shared = f"encoder-{uuid4().hex}"  # one key, so that it is sent once to each worker
        known = {} if self.encodings is None else self.encodings.known(fold)
        layer: dict[Any, Any] = {shared: encoder}
        for position, task in enumerate(self.tasks):
            if position in known:
                layer[name, position] = (load, known[position])
                continue
            parts = [(self.parts.array.name, int(part)) for part in task.parts]
            starts = self.parts.starts[task.parts]
            work: tuple[Any, ...] = (_encode, shared, task.rows, task.neighbors, starts, parts)
            if self.encodings is not None:
                work = (remembered, self.encodings.token, fold, position, work)
            layer[name, position] = work
        return _blocks(name, layer, [len(task.rows) for task in self.tasks], [self.parts.array])


def _encode(
    encoder: CellEncoder, rows: np.ndarray, neighbors: np.ndarray | None, starts: np.ndarray, parts: list[SpatialCells]
) -> Any:
    """Encode a chunk of cells from the parts of the data that hold it."""
    if neighbors is None:
        return encoder.encode(CellChunk(_gather(rows, starts, parts), np.arange(len(rows)), None))
    wanted = np.concatenate([rows[:, None], neighbors], axis=1)
    needed, position = np.unique(wanted, return_inverse=True)
    position = position.reshape(wanted.shape)
    return encoder.encode(CellChunk(_gather(needed, starts, parts), position[:, 0], position[:, 1:]))


def _gather(rows: np.ndarray, starts: np.ndarray, parts: list[SpatialCells]) -> SpatialCells:
    """Take rows from the parts that hold them, in the given order."""
    part_of_row = np.searchsorted(starts, rows, side="right") - 1
    by_part = np.argsort(part_of_row, kind="stable")
    pieces = []
    for index, (start, part) in enumerate(zip(starts, parts, strict=True)):
        pieces.append(part[rows[part_of_row == index] - start])
    together = SpatialCells.join(pieces)
    return together[np.argsort(by_part)] if (np.diff(by_part) < 0).any() else together


def imputed_values(
    encoded: da.Array, blocks: list[GeneBlock], options: OutputOptions, layers: list[str]
) -> dict[str, da.Array]:
    """Return Dask arrays of predicted values, shape (n_cells, n_genes), chunks of cells × gene blocks."""
    name = f"genes-{uuid4().hex}"
    sizes = [len(block.table) for block in blocks]
    genes = _blocks(name, {(name, index): block for index, block in enumerate(blocks)}, sizes, [])
    meta = np.empty((0, 0), np.float32)
    form: dict[str, Any] = {"meta": meta, "align_arrays": False, "concatenate": False}
    predicted = da.blockwise(_predict, "cg", encoded, "c", genes, "g", options=options, **form)
    return {layer: da.blockwise(_layer, "cg", predicted, "cg", layer=layer, **form) for layer in layers}


def _predict(cells: Any, block: GeneBlock, options: OutputOptions) -> dict[str, np.ndarray]:
    values = block.predict(cells, options)
    if not all(np.isfinite(value).all() for value in values.values()):
        raise FloatingPointError(
            "Predicted values are not finite: what the model has learned is out of range. Its file may be damaged: "
            "fetch it again, or train a new model."
        )
    return values


def _layer(predicted: dict[str, np.ndarray], layer: str) -> np.ndarray:
    return predicted[layer]

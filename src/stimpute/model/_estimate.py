"""Estimate the time, memory and disk of an imputation from a small part of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr

from stimpute._messages import check_count
from stimpute.data._space import sample_cells
from stimpute.data._spatial import SpatialCells
from stimpute.model._chunks import CELLS_PER_CHUNK, GENES_PER_CHUNK
from stimpute.model._encodings import n_bytes
from stimpute.recipes import OutputOptions

if TYPE_CHECKING:
    from stimpute.model._model import StImputeModel

N_CELLS, N_GENES = CELLS_PER_CHUNK, GENES_PER_CHUNK  # of the part that is measured, at most
BYTES_PER_CELL = 100  # positions, totals, neighbors, order and names


@dataclass(frozen=True)
class Estimate:
    """What an imputation needs.

    Attributes
    ----------
    cpu_seconds
        Time on one core; divide by the number of cores.
    memory_bytes
        Memory in addition to the data and the model, with `out=` or `lazy=True`.
    result_bytes
        Size of the result in memory, which is needed as well without `out=` and `lazy=True`.
    disk_bytes
        Size of the store that `out=` writes.
    """

    cpu_seconds: float
    memory_bytes: int
    result_bytes: int
    disk_bytes: int

    def __str__(self) -> str:
        gib = [size / 2**30 for size in (self.memory_bytes, self.result_bytes, self.disk_bytes)]
        return (
            f"{self.cpu_seconds:,.0f} s on one core, {gib[0]:.2f} GiB of memory; the result takes {gib[1]:.2f} GiB in "
            f"memory or {gib[2]:.2f} GiB on disk"
        )


def estimate(
    self: StImputeModel, n_cells: int | None = None, n_genes: int | None = None, *, interval: float | None = None
) -> Estimate:
    """Estimate what :meth:`impute` needs, from at most 1024 cells and 256 genes that it imputes and writes.

    Takes a few seconds. The estimate is of this machine as it is now: of one that is busy it is too long.

    Parameters
    ----------
    n_cells
        Number of cells; those of the training data if None.
    n_genes
        Number of genes; all that are not measured if None.
    interval
        See :meth:`impute`; intervals are two more layers.

    Returns
    -------
    CPU time in seconds; memory, size of the result and of the store in bytes.

    Examples
    --------
    >>> print(model.estimate(n_cells=1_000_000, n_genes=100))
    """
    check_count(1, n_cells=n_cells, n_genes=n_genes)
    options = OutputOptions(interval)
    self.recipe.check_output(options)
    predictor = self.predictor()
    targets, _ = self.data.locate(None if n_genes is None else list(self.reference_genes), None)
    n_genes = n_genes or len(targets)
    genes = targets[np.linspace(0, len(targets) - 1, min(N_GENES, n_genes, len(targets))).astype(int)]
    training = self.data.read_cells(None)
    n_cells = n_cells or len(training)
    cells, part = _part_of_cells(training, predictor.n_spatial_neighbors)

    predictor.gene_block(genes[:1], None)  # what is computed once
    encoder = predictor.cell_encoder(None)
    encoder.encode(part)
    block, describe = _timed(lambda: predictor.gene_block(genes, None))
    encoded, encode = _timed(lambda: encoder.encode(part))
    values, predict = _timed(lambda: block.predict(encoded, options))
    layers = [np.asarray(values[name]) for name in values]
    n_stored, write = _timed(lambda: sum(_stored_bytes(layer) for layer in layers))
    search = 0.0
    if predictor.n_spatial_neighbors is not None:
        k = predictor.n_spatial_neighbors
        near, search = _timed(lambda: cells.neighbors(k))
        search /= len(near)

    n_values = n_cells * n_genes
    measured = len(part) * len(genes)
    chunk = n_bytes(encoded) + sum(layer.nbytes for layer in layers)
    return Estimate(
        cpu_seconds=describe / len(genes) * n_genes
        + (encode / len(part) + search) * n_cells
        + (predict + write) / measured * n_values,
        memory_bytes=int(BYTES_PER_CELL * n_cells + n_bytes(block) / len(genes) * n_genes + 4 * chunk),
        result_bytes=4 * n_values * len(layers),
        disk_bytes=int(n_stored / measured * n_values),
    )


def _part_of_cells(cells: SpatialCells, n_neighbors: int | None) -> tuple[SpatialCells, Any]:
    """Take some of the cells that lie together, and one chunk of them with its spatial neighbors."""
    rows = sample_cells(cells.order, 20 * N_CELLS, run=N_CELLS)
    few = cells[rows]
    neighbors = None if n_neighbors is None else few.neighbors(n_neighbors)
    return few, few.chunk(few.order[:N_CELLS], neighbors)


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """Return a result, and the CPU time of this process that it took."""
    start = time.process_time()
    result = work()
    return result, time.process_time() - start


def _stored_bytes(values: np.ndarray) -> int:
    """Compress values as a store does, and count the bytes."""
    array = zarr.create_array(zarr.storage.MemoryStore(), shape=values.shape, chunks=values.shape, dtype="float32")
    array[:] = values
    return int(array.nbytes_stored())

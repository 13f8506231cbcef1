"""Estimate the time, memory and disk of an imputation from a small part of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dask
import numpy as np
import zarr

from stimpute._arguments import check_arguments
from stimpute._messages import check_count
from stimpute.data._rows import ROWS_PER_BLOCK, LazyRows
from stimpute.data._space import sample_cells
from stimpute.data._spatial import SpatialCells
from stimpute.model._chunks import CELLS_PER_CHUNK, COMPRESSOR, GENES_PER_CHUNK, ZARR_FORMAT, GeneChunk, genes_per_task
from stimpute.model._encodings import n_bytes
from stimpute.model._stream import predict_chunks
from stimpute.recipes import GeneBlock, OutputOptions, Predictor

if TYPE_CHECKING:
    from stimpute.model._model import StImputeModel

N_CELLS = 8 * CELLS_PER_CHUNK  # of the part that is measured, at most
N_GENES = GENES_PER_CHUNK
BYTES_PER_CELL = 100  # positions, totals, neighbors, order and names
SCRATCH = 2**25  # bytes, for chunks of cells that are encoded
PARTS_AT_ONCE = 10  # of cells that are not in memory


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
    """Estimate what :meth:`impute` needs, from at most 8192 cells and 256 genes that it imputes and writes.

    Takes a few seconds. The time is that of this machine as it is now; while it is busy, the estimate is too long.

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
    check_arguments(estimate, locals(), but=("n_cells", "n_genes", "interval"))
    check_count(1, n_cells=n_cells, n_genes=n_genes)
    options = OutputOptions(interval)
    self.recipe.check_output(options)
    predictor = self.predictor()
    targets, _ = self.data.locate(None if n_genes is None else list(self.reference_genes), None)
    n_genes = n_genes or len(targets)
    genes = targets[np.linspace(0, len(targets) - 1, min(N_GENES, n_genes, len(targets))).astype(int)]
    training = self.data.read_cells(None)
    n_cells = n_cells or len(training)
    rows = sample_cells(training.order, N_CELLS, run=CELLS_PER_CHUNK)
    cells, reading = _timed(lambda: training[rows])

    predictor.gene_block(genes[:1], None)  # what is computed once
    block, describing = _timed(lambda: predictor.gene_block(genes, None))
    single = predictor.gene_block(genes[:1], None)
    first = cells[np.arange(1)]
    _impute(predictor, first, genes[:1], single, options)  # what only the first call takes
    _, fixed = _timed(lambda: _impute(predictor, first, genes[:1], single, options))
    _, one = _timed(lambda: _impute(predictor, cells, genes[:1], single, options))
    values, all_genes = _timed(lambda: _impute(predictor, cells, genes, block, options))
    stored, writing = _timed(lambda: sum(_stored_bytes(values[layer]) for layer in values))

    per_gene = max(all_genes - one, 0) / max(len(genes) - 1, 1) / len(cells)
    per_value = per_gene + writing / values["X"].size
    per_cell = max((one - fixed) / len(cells) - per_gene, 0)
    if isinstance(training.expression, LazyRows):
        per_cell += reading / min(len(training), len(cells) * ROWS_PER_BLOCK // CELLS_PER_CHUNK)
    n_values = n_cells * n_genes
    chunks = 4 * CELLS_PER_CHUNK * genes_per_task() * 4 * len(values) + SCRATCH
    if isinstance(training.expression, LazyRows):
        chunks += (
            PARTS_AT_ONCE * ROWS_PER_BLOCK * n_bytes([cells.expression.data, cells.expression.indices]) // len(cells)
        )
    return Estimate(
        cpu_seconds=describing / len(genes) * n_genes + per_cell * n_cells + per_value * n_values,
        memory_bytes=int(BYTES_PER_CELL * n_cells + n_bytes(block) / len(genes) * n_genes + chunks),
        result_bytes=4 * n_values * len(values),
        disk_bytes=int(stored / values["X"].size * n_values),
    )


def _impute(
    predictor: Predictor, cells: SpatialCells, genes: np.ndarray, block: GeneBlock, options: OutputOptions
) -> dict[str, np.ndarray]:
    """Impute genes that are not held out, as the model does, in this process."""
    layers = ["X"] if options.interval is None else ["X", "lower", "upper"]
    arrays = {layer: np.empty((len(cells), len(genes)), np.float32) for layer in layers}
    chunks = [GeneChunk(None, genes, np.arange(len(genes)))]
    with dask.config.set(scheduler="synchronous"):
        predict_chunks(predictor, cells, chunks, [block], arrays, options, batch_size=None, progress=False)
    return arrays


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """Return a result, and the CPU time of this process that it took."""
    start = time.process_time()
    result = work()
    return result, time.process_time() - start


def _stored_bytes(values: np.ndarray) -> int:
    """Compress values as a store does, and count the bytes."""
    group = zarr.open_group(zarr.storage.MemoryStore(), zarr_format=ZARR_FORMAT)
    form: dict[str, Any] = {"shape": values.shape, "chunks": values.shape, "compressors": COMPRESSOR}
    array = group.create_array("X", dtype="float32", **form)
    array[:] = values
    return int(array.nbytes_stored())

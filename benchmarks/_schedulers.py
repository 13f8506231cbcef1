"""The schedulers of Dask, and a plain loop without it, for `scaling.py`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

import dask
import dask.multiprocessing
import numpy as np
import zarr

from stimpute import StImputeModel
from stimpute.model._chunks import CELLS_PER_CHUNK, COMPRESSOR, GENES_PER_CHUNK, ZARR_CONFIG, ZARR_FORMAT
from stimpute.recipes import OutputOptions

BOTH_BUSY = 5.0  # seconds that a process waits, while the other one starts
# Workers keep the memory of one task for the next. As Dask starts them, they return it to the system after each.
WORKERS = {"MALLOC_TRIM_THRESHOLD_": 2**30, "MALLOC_MMAP_THRESHOLD_": 2**25, "OMP_NUM_THREADS": 1}


def plain_loop(model: StImputeModel, blocks: list[Any], path: Path) -> Any:
    """Encode, predict and write chunk by chunk, without Dask."""
    predictor = model.predictor()
    cells = model.data.read_cells(None)
    neighbors = cells.neighbors(predictor.n_spatial_neighbors)
    encoder = predictor.cell_encoder(None)
    array = new_store(path, (len(cells), sum(len(block.table) for block in blocks)))
    for start in range(0, len(cells), CELLS_PER_CHUNK):
        rows = np.arange(start, min(start + CELLS_PER_CHUNK, len(cells)))
        encoded = encoder.encode(cells.chunk(rows, neighbors))
        column = 0
        for block in blocks:
            values = block.predict(encoded, OutputOptions())["X"]
            array[rows[0] : rows[-1] + 1, column : column + values.shape[1]] = values
            column += values.shape[1]
    return array


def new_store(path: Path, shape: tuple[int, int]) -> zarr.Array:
    """Make an empty array in chunks of the work, as `impute(out=...)` does."""
    chunks = (CELLS_PER_CHUNK, GENES_PER_CHUNK)
    form: dict[str, Any] = {"zarr_format": ZARR_FORMAT, "compressors": COMPRESSOR, "config": ZARR_CONFIG}
    return zarr.create_array(path, shape=shape, chunks=chunks, dtype="float32", overwrite=True, **form)


@contextlib.contextmanager
def scheduler(name: str) -> Iterator[None]:
    """Use a scheduler of Dask, whose two processes have imported the packages."""
    with contextlib.ExitStack() as stack:
        if name == "processes":
            spawned = dask.multiprocessing.get_context()
            pool = stack.enter_context(ProcessPoolExecutor(2, mp_context=spawned))
            list(pool.map(import_packages, [BOTH_BUSY] * 2))
            stack.enter_context(dask.config.set(scheduler=name, pool=pool))
        elif name.startswith("LocalCluster"):
            import distributed

            stack.enter_context(dask.config.set({"distributed.nanny.pre-spawn-environ": WORKERS}))
            cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
            client = stack.enter_context(distributed.Client(stack.enter_context(cluster)))
            client.run(import_packages, 0)
        else:
            stack.enter_context(dask.config.set(scheduler=name, num_workers=2))
        yield


def import_packages(seconds: float) -> None:
    """Import what the work needs, and wait, so that no process does it for the other."""
    import_module("stimpute.model")
    time.sleep(seconds)

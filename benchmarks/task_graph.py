"""Count the tasks of an imputation and the bytes that they take and give, beside the formulas of the docs.

`python benchmarks/task_graph.py` runs the graphs of small imputations to a store, task by task, and compares them with
the formulas; then it prints the formulas for 100 million cells × 20,000 genes.
"""

from __future__ import annotations

import logging
import math
import tempfile
import warnings
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import anndata as ad
import dask
import numpy as np
import pandas as pd
from _stages import Row
from dask.callbacks import Callback
from scipy import sparse

from stimpute import StImputeModel
from stimpute.data._space import spatial_order
from stimpute.datasets import synthetic_tissue
from stimpute.model._chunks import CHUNKS_PER_TASK
from stimpute.model._encodings import n_bytes

MULTIPLICATIONS_PER_SECOND = 40e9  # of one core, see the floor in `scaling.py`


@dataclass(frozen=True)
class Problem:
    """Sizes of an imputation: cells, unmeasured genes, shared genes, metacells, and the chunks of the work."""

    n_cells: int
    n_genes: int
    n_shared: int
    n_metacells: int = 400
    cells_per_chunk: int = 1024
    genes_per_chunk: int = 1024

    @property
    def width(self) -> int:
        """Numbers that an encoded cell, or a described gene, consists of."""
        return self.n_metacells + 2 * self.n_shared

    def formulas(self) -> dict[str, float]:
        """Return what the page on scaling says; bytes of one task."""
        chunks = math.ceil(self.n_cells / self.cells_per_chunk)
        blocks = math.ceil(self.n_genes / self.genes_per_chunk)
        encoded = 4 * self.cells_per_chunk * self.width
        block = 4 * self.genes_per_chunk * self.width
        return {
            "encode: tasks": chunks,
            "encode: bytes out": encoded,
            "predict and write: tasks": chunks * blocks,
            "predict and write: bytes in": encoded + block,
        }


class Recorder(Callback):
    """Count tasks by kind, and the bytes that they take and give."""

    KINDS = (("store-map", "predict"), ("encode", "encode"), ("cells", "read"))

    def __init__(self) -> None:
        super().__init__()
        self.sizes: dict[Any, int] = {}
        self.tasks: dict[str, list[tuple[int, int]]] = defaultdict(list)

    def _posttask(self, key: Any, result: Any, dsk: Any, state: Any, worker: Any) -> None:
        self.sizes[key] = size_of(result)
        name = key[0] if isinstance(key, tuple) else key
        taken = sum(self.sizes.get(other, 0) for other in state["dependencies"][key])
        kind = next((kind for part, kind in self.KINDS if part in name), "other")
        if kind == "predict":
            taken += self.block_size
        self.tasks[kind].append((taken, self.sizes[key]))

    block_size = 0  # of a gene block, which is part of the graph

    def found(self) -> dict[str, float]:
        """Return what :meth:`Problem.formulas` predicts; of bytes the most that a task had."""
        encode, predict = (np.array(self.tasks[kind]) for kind in ("encode", "predict"))
        return {
            "encode: tasks": len(encode),
            "encode: bytes out": encode[:, 1].max(),
            "predict and write: tasks": len(predict),
            "predict and write: bytes in": predict[:, 0].max(),
        }


def size_of(value: Any) -> int:
    """Count the bytes of arrays, also of sparse ones."""
    expression = getattr(value, "expression", value)
    if isinstance(expression, sparse.csr_matrix):
        return sum(part.nbytes for part in (expression.data, expression.indices, expression.indptr))
    return n_bytes(value)


def run(problem: Problem, folder: Path) -> dict[str, float]:
    """Impute a synthetic tissue to a store, and record its tasks."""
    tissue = synthetic_tissue(
        n_cells=problem.n_cells, n_reference=600, n_measured=problem.n_shared, n_unmeasured=problem.n_genes
    )
    tissue.spatial[spatial_order(tissue.spatial.obsm["spatial"])].copy().write_h5ad(folder / "spatial.h5ad")
    spatial = ad.read_h5ad(folder / "spatial.h5ad", backed="r")
    StImputeModel.setup_anndata(spatial)
    StImputeModel.setup_anndata(tissue.reference)
    model = StImputeModel(spatial, tissue.reference, n_metacells=problem.n_metacells)
    model.train(max_epochs=1, enable_progress_bar=False, accelerator="cpu")
    recorder = Recorder()
    recorder.block_size = 4 * problem.genes_per_chunk * problem.width
    chunk = mock.patch("stimpute.model._chunks.GENES_PER_CHUNK", problem.genes_per_chunk // CHUNKS_PER_TASK)
    rows = mock.patch("stimpute.data._rows.ROWS_PER_BLOCK", 4 * problem.cells_per_chunk)
    with chunk, rows, dask.config.set(scheduler="synchronous"), recorder:
        model.impute(out=folder / "imputed.zarr", batch_size=problem.cells_per_chunk, progress=False)
    return recorder.found()


def main() -> None:
    """Compare small problems with the formulas, and print these for a large one."""
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    rows: list[Row] = []
    for problem in (
        Problem(640, 160, 24, 20, cells_per_chunk=32, genes_per_chunk=16),
        Problem(1280, 160, 24, 20, cells_per_chunk=32, genes_per_chunk=16),
        Problem(1280, 320, 48, 40, cells_per_chunk=64, genes_per_chunk=32),
    ):
        with tempfile.TemporaryDirectory() as folder:
            found = run(problem, Path(folder))
        for name, value in problem.formulas().items():
            sizes = f"{problem.n_cells} × {problem.n_genes}"
            rows.append({"cells × genes": sizes, "what": name, "formula": value, "found": found[name]})
            assert abs(found[name] / value - 1) < 0.1, (name, value, found[name])
    print(pd.DataFrame(rows).to_markdown(index=False))

    large = Problem(100_000_000, 20_000, 377)
    print("\n100 million cells × 20,000 genes, 377 of them measured:")
    for name, value in large.formulas().items():
        print(f"  {name}: {value:,.0f}")
    print(f"  result: {4 * large.n_cells * large.n_genes / 2**40:.1f} TiB before compression")
    multiplications = large.n_cells * large.n_genes * large.width
    hours = multiplications / MULTIPLICATIONS_PER_SECOND / 3600
    print(f"  products: {multiplications:.1e} multiplications, {hours:.0f} h of one core")


if __name__ == "__main__":
    main()

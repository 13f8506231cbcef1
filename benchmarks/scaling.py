"""CPU time and peak memory, by number of cells or of shared genes.

`python benchmarks/scaling.py --cells 2000 20000 100000` trains on a synthetic tissue from disk, then imputes all
unmeasured genes to zarr. What counts is how the figures grow: training time not at all beyond 20,000 cells, imputing in
proportion to cells × genes, and memory with the input, not with the result.

`python benchmarks/scaling.py --panels 377 1000 5000 18000` trains on panels of these sizes, imputes some genes with
intervals, embeds all cells, finds neighbors, saves and loads. What counts is that nothing grows with the square of the
panel. Each size runs in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import logging
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from _panels import simulate_panel
from _results import section, show

from stimpute.recipes import RECIPES

PANEL_DATA = (30_000, 20_000, 20_000)  # spatial cells, reference cells, reference genes
N_IMPUTED = 256  # genes that are imputed from each panel
N_NEIGHBORS_OF = 2000  # cells whose neighbors are found


def simulate(folder: Path, n_cells: int, n_unmeasured: int) -> None:
    """Write a tissue and a reference."""
    from stimpute import datasets

    tissue = datasets.synthetic_tissue(n_cells=n_cells, n_reference=3000, n_measured=100, n_unmeasured=n_unmeasured)
    tissue.spatial.write_h5ad(folder / "spatial.h5ad")
    tissue.reference.write_h5ad(folder / "reference.h5ad")


def measure(folder: Path, recipe: str) -> dict[str, float | str]:
    """Train and impute once, in this process."""
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    import anndata as ad

    from stimpute import StImputeModel

    imported = peak()
    spatial, reference = (ad.read_h5ad(folder / f"{name}.h5ad") for name in ("spatial", "reference"))
    StImputeModel.setup_anndata(spatial)
    StImputeModel.setup_anndata(reference)
    read, times = peak(), [time.process_time()]
    model = StImputeModel(spatial, reference, recipe=recipe)
    model.train(enable_progress_bar=False)
    trained = peak()
    times.append(time.process_time())
    result = model.impute(out=folder / "imputed.zarr", progress=False)
    times.append(time.process_time())
    return {
        "cells": f"{result.n_obs:,}",
        "genes imputed": result.n_vars,
        "train, CPU s": round(times[1] - times[0], 1),
        "impute, CPU s": round(times[2] - times[1], 1),
        "result, GiB": round(4 * result.n_obs * result.n_vars / 2**30, 3),
        "peak: imports, GiB": round(imported, 2),
        "data read": round(read, 2),
        "trained": round(trained, 2),
        "imputed": round(peak(), 2),
    }


class Stages:
    """CPU seconds, wall seconds and peak memory, stage by stage."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float | str]] = []
        self.start()

    def start(self) -> None:
        """Begin a stage."""
        self.cpu = time.process_time()
        self.wall = time.perf_counter()

    def end(self, name: str) -> None:
        """Write down the stage, and begin the next one."""
        cpu = time.process_time() - self.cpu
        wall = time.perf_counter() - self.wall
        figures = {"CPU s": round(cpu, 1), "wall s": round(wall, 1), "peak GiB": round(peak(), 2)}
        self.rows.append({"stage": name, **figures})
        print(self.rows[-1], file=sys.stderr, flush=True)
        self.start()


def measure_panel(folder: Path) -> list[dict[str, float | str]]:
    """Do with one panel what users do, in this process."""
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    import anndata as ad

    from stimpute import StImputeModel

    stages = Stages()
    spatial, reference = (ad.read_h5ad(folder / f"{name}.h5ad") for name in ("spatial", "reference"))
    stages.end("read files")
    StImputeModel.setup_anndata(spatial)
    StImputeModel.setup_anndata(reference)
    model = StImputeModel(spatial, reference)
    stages.end("set up, make the model")
    model.train(enable_progress_bar=False)
    stages.end("train")
    genes = list(model.reference_genes.difference(model.shared_genes))[:N_IMPUTED]
    model.gene_reliability(genes)
    stages.end(f"describe {len(genes)} unmeasured genes")
    imputed = model.impute(genes=genes, interval=0.9, progress=False)
    stages.end(f"impute them in {imputed.n_obs:,} cells, with intervals")
    model.impute(genes=list(model.shared_genes[:20]), progress=False)
    stages.end("impute 20 measured genes")
    model.get_latent_representation()
    model.get_latent_representation(dataset="reference")
    stages.end("embed all cells")
    model.get_neighbors(spatial[:N_NEIGHBORS_OF])
    stages.end(f"neighbors of {N_NEIGHBORS_OF} cells")
    model.save(folder / "model")
    loaded = StImputeModel.load(folder / "model", adata=spatial, reference=reference)
    stages.end("save and load")
    np.testing.assert_allclose(loaded.impute(genes=genes[:5], progress=False).X, imputed[:, :5].X, atol=1e-3)
    stages.end("impute 5 genes with the loaded model")
    return stages.rows


def peak() -> float:
    """Peak memory of this process so far, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def run(*arguments: str | Path | int) -> str:
    """Run this file in a process of its own, and return the last line that it prints."""
    command = [sys.executable, __file__, *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return "".join(done.stdout.splitlines()[-1:])


def by_cells(args: argparse.Namespace) -> str:
    """Measure each number of cells."""
    rows = []
    for n_cells in args.cells:
        with tempfile.TemporaryDirectory() as folder:
            run("--simulate", folder, "--cells", n_cells, "--genes", args.genes)
            rows.append(json.loads(run("--measure", folder, "--recipe", args.recipe)))
    return section(f"Scaling of {args.recipe}", pd.DataFrame(rows))


def by_panel(args: argparse.Namespace) -> str:
    """Measure each panel; one row per stage."""
    rows = []
    for n_panel in args.panels:
        with tempfile.TemporaryDirectory() as folder:
            run("--simulate", folder, "--panels", n_panel)
            rows += [{"shared genes": n_panel, **row} for row in json.loads(run("--measure", folder, "--panels", 0))]
    n_cells, n_reference, n_genes = PANEL_DATA
    note = f"; {n_cells:,} spatial cells, a reference of {n_reference:,} cells × {n_genes:,} genes"
    return section("Panels of any size", pd.DataFrame(rows), note)


def main() -> None:
    """Run every size in fresh processes and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, nargs="+", default=[2000, 20_000, 100_000])
    parser.add_argument("--genes", type=int, default=1000)
    parser.add_argument("--recipe", choices=sorted(RECIPES), default="crossfit")
    parser.add_argument("--panels", type=int, nargs="+", help="numbers of shared genes, in place of numbers of cells")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--simulate", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.simulate is not None and args.panels:
        simulate_panel(args.simulate, args.panels[0], *PANEL_DATA)
    elif args.simulate is not None:
        simulate(args.simulate, args.cells[0], args.genes)
    elif args.measure is not None:
        print(json.dumps(measure_panel(args.measure) if args.panels else measure(args.measure, args.recipe)))
    else:
        show(by_panel(args) if args.panels else by_cells(args), args.out)


if __name__ == "__main__":
    main()

"""CPU time and peak memory by number of cells: `python benchmarks/scaling.py --cells 2000 20000 100000`.

Each size runs in a process of its own on a synthetic tissue from disk: training, then imputing all unmeasured genes to
zarr. What counts is how the figures grow: training time not at all beyond 20,000 cells, imputing in proportion to
cells × genes, and memory with the input, not with the result.
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

import pandas as pd
from _results import section, show

from stimpute.recipes import RECIPES


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


def peak() -> float:
    """Peak memory of this process so far, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    """Run every size in fresh processes and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, nargs="+", default=[2000, 20_000, 100_000])
    parser.add_argument("--genes", type=int, default=1000)
    parser.add_argument("--recipe", choices=sorted(RECIPES), default="crossfit")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--simulate", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.simulate is not None:
        simulate(args.simulate, args.cells[0], args.genes)
        return
    if args.measure is not None:
        print(json.dumps(measure(args.measure, args.recipe)))
        return
    rows = []
    for n in args.cells:
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([*THIS, "--simulate", folder, "--cells", str(n), "--genes", str(args.genes)], check=True)
            command = [*THIS, "--measure", folder, "--recipe", args.recipe]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
    show(section(f"Scaling of {args.recipe}", pd.DataFrame(rows)), args.out)


THIS = [sys.executable, __file__]

if __name__ == "__main__":
    main()

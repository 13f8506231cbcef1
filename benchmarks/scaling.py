"""CPU time and peak memory by number of cells: `python benchmarks/scaling.py --cells 2000 20000 100000`.

Each size runs in a process of its own on a synthetic tissue: training, then imputing all unmeasured genes to zarr. What
counts is how the figures grow: training time not at all beyond 20,000 cells, imputing in proportion to cells × genes,
and memory only with the input.
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


def one(n_cells: int, n_unmeasured: int, recipe: str) -> dict[str, float]:
    """Train and impute once, in this process."""
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    from stimpute import StImputeModel, datasets

    tissue = datasets.synthetic_tissue(n_cells=n_cells, n_reference=3000, n_measured=100, n_unmeasured=n_unmeasured)
    spatial, reference = tissue.spatial, tissue.reference
    del tissue
    StImputeModel.setup_anndata(spatial)
    StImputeModel.setup_anndata(reference)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    model = StImputeModel(spatial, reference, recipe=recipe)
    times = [time.process_time()]
    model.train(enable_progress_bar=False)
    times.append(time.process_time())
    with tempfile.TemporaryDirectory() as folder:
        model.impute(out=Path(folder) / "imputed.zarr", progress=False)
        times.append(time.process_time())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {
        "cells": n_cells,
        "genes imputed": n_unmeasured,
        "train, CPU s": round(times[1] - times[0], 1),
        "impute, CPU s": round(times[2] - times[1], 1),
        "result, GiB": round(4 * n_cells * n_unmeasured / 2**30, 3),
        "peak before, GiB": round(before, 2),
        "peak, GiB": round(peak, 2),
    }


def main() -> None:
    """Run every size in a fresh process and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, nargs="+", default=[2000, 20_000, 100_000])
    parser.add_argument("--genes", type=int, default=1000)
    parser.add_argument("--recipe", choices=["crossfit", "paper"], default="crossfit")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one is not None:
        print(json.dumps(one(args.one, args.genes, args.recipe)))
        return
    rows = []
    for n in args.cells:
        command = [sys.executable, __file__, "--one", str(n), "--genes", str(args.genes), "--recipe", args.recipe]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
    print(f"`python benchmarks/scaling.py {' '.join(sys.argv[1:])}`\n")
    print(pd.DataFrame(rows).to_markdown(index=False))


if __name__ == "__main__":
    main()

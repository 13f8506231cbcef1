"""What does training cost with all threads, beside one? `python benchmarks/threads.py`.

Each training runs in a process of its own, with `OMP_NUM_THREADS=1` or without it, in turn.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from _panels import simulate_panel
from _results import section, show

from stimpute import StImputeModel

DATA = (5000, 5000, 5000)  # spatial cells, reference cells, reference genes
LIMITS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def measure(folder: Path) -> dict[str, float]:
    """Train in this process."""
    spatial, reference = (ad.read_h5ad(folder / f"{name}.h5ad") for name in ("spatial", "reference"))
    StImputeModel.setup_anndata(spatial)
    StImputeModel.setup_anndata(reference)
    model = StImputeModel(spatial, reference)
    cpu = time.process_time()
    wall = time.perf_counter()
    model.train(enable_progress_bar=False)
    return {"CPU s": time.process_time() - cpu, "wall s": time.perf_counter() - wall}


def run(folder: Path, *, one_thread: bool) -> dict[str, float]:
    """Train in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if name not in LIMITS}
    if one_thread:
        environment |= dict.fromkeys(LIMITS, "1")
    command = [sys.executable, __file__, "--measure", str(folder)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Run, print and, with `--out`, append a section to a Markdown file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--panels", type=int, nargs="+", default=[100, 377, 1000], help="numbers of shared genes")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    if args.measure is not None:
        print(json.dumps(measure(args.measure)))
        return
    rows = []
    for n_genes in args.panels:
        with tempfile.TemporaryDirectory() as folder:
            simulate_panel(Path(folder), n_genes, *DATA)
            pairs = [[run(Path(folder), one_thread=one) for one in (True, False)] for _ in range(args.repeats)]
        cpu = np.median([[of["CPU s"] for of in pair] for pair in pairs], axis=0)
        wall = np.median([[of["wall s"] for of in pair] for pair in pairs], axis=0)
        row = {"one thread, CPU s": cpu[0], "all threads, CPU s": cpu[1], "ratio": cpu[1] / cpu[0]}
        rows.append({"shared genes": n_genes, **row, "one thread, wall s": wall[0], "all threads, wall s": wall[1]})
    title = f"Training with all threads ({os.cpu_count()} cores)"
    show(section(title, pd.DataFrame(rows).round(2)), args.out)


if __name__ == "__main__":
    main()

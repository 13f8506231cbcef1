"""Keep the tables of studies, so that a run that was stopped goes on, and the page is made without measuring."""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import time
from importlib.metadata import version
from pathlib import Path

import pandas as pd
from _pairs import load_pair
from benchmarks.paper._study import Study

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("stimpute", "torch", "scvi-tools", "anndata", "numpy")


def path_of(name: str, pair: str, seed: int) -> Path:
    """Return where a table is kept; what made it lies beside it, as JSON."""
    return RESULTS / name / f"{pair}-{seed}.csv"


def measure(name: str, study: Study, pair: str, seed: int) -> None:
    """Measure a study and keep its table; written last is what says that the table is whole."""
    start = [time.time(), time.process_time()]
    table = study.measure(load_pair(pair, study.n_cells), seed)
    path = path_of(name, pair, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    table.to_csv(partial, index=False, float_format="%.5g")
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout
    about = {
        "command": f"python -m benchmarks.paper {name} --pair {pair} --seeds {seed}",
        "commit": commit.strip(),
        "python": platform.python_version(),
        **{package: version(package) for package in PACKAGES},
        "cpu_seconds": round(time.process_time() - start[1], 1),
        "wall_seconds": round(time.time() - start[0], 1),
        "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }
    path.with_suffix(".json").write_text(json.dumps(about, indent=1) + "\n")
    os.replace(partial, path)


def is_measured(name: str, pair: str, seed: int) -> bool:
    """Tell whether a table is there."""
    return path_of(name, pair, seed).exists()


def read(name: str, study: Study) -> pd.DataFrame:
    """Read all tables of a study that were measured, with the columns `pair` and `seed` first; empty if none was."""
    tables = []
    for pair in study.pairs:
        for seed in study.seeds:
            if is_measured(name, pair, seed):
                table = pd.read_csv(path_of(name, pair, seed))
                table.insert(0, "pair", pair)
                table.insert(1, "seed", seed)
                tables.append(table)
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=["pair", "seed"])


def commits(name: str) -> list[str]:
    """Return the commits at which the tables of a study were measured."""
    paths = sorted((RESULTS / name).glob("*.json"))
    return sorted({json.loads(path.read_text())["commit"] for path in paths})

"""Keep the tables of studies, so that a run that was stopped goes on, and the page is made without measuring."""

from __future__ import annotations

import json
import os
import platform
import re
import resource
import subprocess
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pandas as pd
from _pairs import load_pair
from benchmarks.paper._lacks import check
from benchmarks.paper._study import Study, Task, tasks_of

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("stimpute", "torch", "scvi-tools", "anndata", "numpy")


def path_of(task: Task) -> Path:
    """Return where a table is kept; what made it lies beside it, as JSON."""
    part = re.sub(r"[^a-z0-9]+", "_", task.part.lower()).strip("_")
    name = "-".join([task.pair, str(task.seed), *([part] if part else [])])
    return RESULTS / task.study / f"{name}.csv"


def measure(task: Task, study: Study) -> None:
    """Measure a task and keep its table; written last is what says that the table is whole.

    Raises
    ------
    SkippedError
        If the pair lacks what the task needs; nothing is written.
    """
    start = [time.time(), time.process_time()]
    pair = load_pair(task.pair, None if task.pair in study.all_cells else study.n_cells)
    check(task, pair)
    table = study.measure(pair, task.seed, task.part) if task.part else study.measure(pair, task.seed)
    path = path_of(task)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    table.to_csv(partial, index=False, float_format="%.5g")
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout
    command = f"python -m benchmarks.paper {task.study} --pair {task.pair} --seeds {task.seed}"
    about = {
        "command": command + (f" --part '{task.part}'" if task.part else ""),
        "commit": commit.strip(),
        "python": platform.python_version(),
        **{package: version(package) for package in PACKAGES},
        "cells": pair.spatial.n_obs,
        "cpu_seconds": round(time.process_time() - start[1], 1),
        "wall_seconds": round(time.time() - start[0], 1),
        "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }
    path.with_suffix(".json").write_text(json.dumps(about, indent=1) + "\n")
    os.replace(partial, path)


def is_measured(task: Task) -> bool:
    """Tell whether a table is there."""
    return path_of(task).exists()


def _kept(name: str, study: Study) -> list[Task]:
    """List the tasks that have a table, also those of further seeds than are asked for."""
    return [task for task in tasks_of(name, replace(study, one_seed=())) if is_measured(task)]


def read(name: str, study: Study) -> pd.DataFrame:
    """Read all tables of a study that are kept, with the columns `pair` and `seed` first; empty if there is none."""
    tables = []
    for task in _kept(name, study):
        table = pd.read_csv(path_of(task))
        table.insert(0, "pair", task.pair)
        table.insert(1, "seed", task.seed)
        tables.append(table)
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=["pair", "seed"])


def coverage(name: str, study: Study) -> pd.DataFrame:
    """Tell which seeds were measured: one row per part, one column per pair, empty where there is none."""
    done = _kept(name, study)
    table = pd.DataFrame("", index=pd.Index(study.parts, name="part"), columns=list(study.pairs))
    for part in study.parts:
        for pair in study.pairs:
            seeds = [str(task.seed) for task in done if (task.part, task.pair) == (part, pair)]
            table.loc[part, pair] = ", ".join(seeds)
    return table


def commits(name: str) -> list[str]:
    """Return the commits at which the tables of a study were measured."""
    paths = sorted((RESULTS / name).glob("*.json"))
    return sorted({json.loads(path.read_text())["commit"] for path in paths})

"""Cost against the number of cells: Fig. S5, S6."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd
from _pairs import Pair
from benchmarks.paper._page import Page
from benchmarks.paper._predictions import RECIPES
from benchmarks.paper._study import Study

ORDER = 75
SIZES = {"paper": (1000, 4000, 16_000), "crossfit": (1000, 4000, 16_000, 64_000)}
LARGEST = 1_349_620  # cells of the paper's largest section: crossfit only, and only where there is memory for it
MIN_MEMORY = 64  # GiB
N_GENES = 100  # unmeasured genes that are imputed
SCALING = Path(__file__).resolve().parents[1] / "scaling.py"


def measure(pair: Pair, seed: int) -> pd.DataFrame:
    """Train and impute synthetic tissues of several sizes, each recipe in a process of its own, one after the other.

    The pair is not used: what counts is the number of cells.
    """
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    largest = (LARGEST,) if memory >= MIN_MEMORY else ()
    sizes = SIZES | {"crossfit": SIZES["crossfit"] + largest}
    rows = []
    for n_cells in sizes["crossfit"]:
        with tempfile.TemporaryDirectory() as folder:
            _scaling("--simulate", folder, "--cells", str(n_cells), "--genes", str(N_GENES))
            for recipe in RECIPES:
                if n_cells in sizes[recipe]:
                    found = json.loads(_scaling("--measure", folder, "--recipe", recipe))
                    shutil.rmtree(Path(folder) / "imputed.zarr")
                    rows.append({"method": recipe, **found, "cells": n_cells})
    return pd.DataFrame(rows)


def _scaling(*arguments: str) -> str:
    """Run `scaling.py` with one thread, and return the last line that it prints."""
    one_thread = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    command = [sys.executable, str(SCALING), *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=one_thread)
    return "".join(done.stdout.splitlines()[-1:])


def show(results: pd.DataFrame, page: Page) -> None:
    """Write a table and verdicts."""


STUDY = Study(
    title="Cost against the number of cells",
    paper="Fig. S5, S6",
    question="How do time and memory grow with the section?",
    measure=measure,
    show=show,
    pairs=("SYNTHETIC",),
    seeds=(0,),
)

"""Cost against the number of cells: Fig. S5, S6."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pandas as pd
from _pairs import Pair
from benchmarks.paper._page import Page
from benchmarks.paper._predictions import RECIPES
from benchmarks.paper._scalars import ASKED_HERE
from benchmarks.paper._study import Study

ORDER = 75
SIZES = {"paper": (1000, 4000, 16_000), "crossfit": (1000, 4000, 16_000, 64_000)}
LARGEST = 1_349_620  # cells of the paper's largest section: crossfit only, and only where there is memory for it
MIN_MEMORY = 64  # GiB
N_GENES = 100  # unmeasured genes that are imputed
PAPER_GB = 14
PAPER_MINUTES = 961
GB_PER_GIB = 1.074
SHOWN = {"train_seconds": "train, CPU s", "impute_seconds": "impute, CPU s", "peak_gib": "peak, GiB"}
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")


def measure(pair: Pair, seed: int) -> pd.DataFrame:
    """Train and impute synthetic tissues of several sizes, each recipe in a process of its own, one after the other.

    The pair is not used: what counts is the number of cells.
    """
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    largest = (LARGEST,) if memory >= MIN_MEMORY else ()
    sizes = SIZES | {"crossfit": SIZES["crossfit"] + largest}
    rows = []
    for n_cells in sizes["crossfit"]:
        for recipe in RECIPES:
            if n_cells in sizes[recipe]:
                rows.append({"method": recipe, "cells": n_cells, **_fit_once(recipe, n_cells)})
    return pd.DataFrame(rows)


def _fit_once(recipe: str, n_cells: int) -> dict[str, float]:
    """Measure in a process of its own, with one thread."""
    command = [sys.executable, "-m", "benchmarks.paper._fit_once", recipe, str(n_cells), str(N_GENES)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=os.environ | ONE_THREAD)
    return json.loads(done.stdout.splitlines()[-1])


def show(results: pd.DataFrame, page: Page) -> None:
    """Write a table and verdicts."""
    page.text(
        f"Synthetic tissues, one thread; {N_GENES} unmeasured genes are imputed and written to a store. The paper's "
        "largest section has 1,349,620 cells and took 961 minutes and 13.8 GB, on two graphics cards, with 377 genes. "
        "CPU seconds here and minutes there are not the same thing, and only the growth can be compared."
    )
    table = results.set_index(["method", "cells"])[list(SHOWN)].rename(columns=SHOWN)
    page.table(table, "CPU seconds and peak memory of the process")
    _judge(results, page)


def _judge(results: pd.DataFrame, page: Page) -> None:
    for recipe, where in (("paper", "Discussion"), ("crossfit", ASKED_HERE)):
        rows = results[results["method"] == recipe].sort_values("cells")
        if rows.empty:
            continue
        last = rows.iloc[-1]
        seconds = last["train_seconds"] + last["impute_seconds"]
        text = f"{last['cells']:,} cells: {seconds:.0f} CPU seconds, {last['peak_gib']:.1f} GiB"
        claim = f"1.3 million cells take less than 14 GB and 961 minutes (`{recipe}`)"
        if last["cells"] < LARGEST:
            page.verdict(claim, where, "cannot be tested", f"Largest measured: {text}.")
        else:
            is_so = last["peak_gib"] * GB_PER_GIB < PAPER_GB and seconds < 60 * PAPER_MINUTES
            page.verdict(claim, where, "holds" if is_so else "does not hold", text)


STUDY = Study(
    title="Cost against the number of cells",
    paper="Fig. S5, S6",
    question="How do time and memory grow with the section?",
    measure=measure,
    show=show,
    pairs=("SYNTHETIC",),
    seeds=(0,),
)

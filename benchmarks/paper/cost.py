"""Cost against the number of cells: Fig. S5, S6."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
from _pairs import Pair
from benchmarks.paper._claims import GB_PER_GIB, PAPER_GB, PAPER_MINUTES, add_cost, exponent
from benchmarks.paper._figures import line
from benchmarks.paper._page import Page
from benchmarks.paper._predictions import RECIPES
from benchmarks.paper._study import Study
from matplotlib.figure import Figure

from stimpute.recipes._paper import GRAPH_EPOCHS_LARGE, GRAPH_EPOCHS_SMALL, SMALL_DATA

ORDER = 75
SIZES = {"paper": (1000, 4000, 16_000), "crossfit": (1000, 4000, 16_000, 64_000)}
LARGEST = 1_349_620  # cells of the paper's largest section: crossfit only, and only where there is memory for it
MIN_MEMORY = 64  # GiB
N_GENES = 100  # unmeasured genes that are imputed
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
        f"largest section has {LARGEST:,} cells and took {PAPER_MINUTES} minutes and {PAPER_GB} GB, on two graphics "
        "cards, with 377 genes. CPU seconds here and minutes there are not the same thing, and only the growth can be "
        "compared. "
        f"`paper` trains its graph network for {GRAPH_EPOCHS_SMALL} epochs on fewer than {SMALL_DATA:,} cells and for "
        f"{GRAPH_EPOCHS_LARGE} epochs from there on, as the text of the paper says, so that its cost has a step there."
    )
    table = results.set_index(["method", "cells"])[list(SHOWN)].rename(columns=SHOWN)
    page.table(table, "CPU seconds and peak memory of the process")
    costs = results.assign(seconds=results["train_seconds"] + results["impute_seconds"])
    _draw(costs, page)
    of_paper, of_crossfit = (costs[costs["method"] == name].sort_values("cells") for name in RECIPES)
    if len(of_paper) > 1:
        add_cost(page, "paper", "S6, Discussion", "cannot be tested", extrapolate(of_paper))
    if len(of_crossfit) > 1:
        grown = exponent(of_crossfit["cells"], of_crossfit["train_seconds"])
        first, last = of_crossfit.iloc[0], of_crossfit.iloc[-1]
        page.text(
            f"CPU seconds of training `crossfit` grow with the exponent {grown:.2f} from {first['cells']:,.0f} to "
            f"{last['cells']:,.0f} cells (0: they do not grow, 1: they are proportional to the cells). Larger sections "
            "are in the [results](../results.md), section A section from disk."
        )


def _draw(costs: pd.DataFrame, page: Page) -> None:
    """Draw seconds and memory against the number of cells, with the largest section of the paper."""
    figure = Figure(figsize=(6.4, 2.6), layout="constrained")
    of_paper = {"seconds": ("seconds to train and impute", PAPER_MINUTES * 60)}
    of_paper["peak_gib"] = ("peak memory, GiB", PAPER_GB / GB_PER_GIB)
    for ax, (column, (label, value)) in zip(figure.subplots(1, 2), of_paper.items(), strict=True):
        for name, of_method in costs.sort_values("cells").groupby("method", sort=False):
            ax.plot(of_method["cells"], of_method[column], marker=".", label=f"{name}, one CPU thread", **line(name))
        ax.plot(LARGEST, value, marker="*", color="k", linestyle="", label="the paper, two graphics cards")
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xlabel("cells", fontsize=8)
        ax.set_ylabel(label, fontsize=8)
        ax.tick_params(labelsize=7)
        ax.spines[["top", "right"]].set_visible(False)
    figure.legend(*ax.get_legend_handles_labels(), fontsize=7, frameon=False, ncols=3, loc="outside upper center")
    caption = (
        "CPU seconds and peak memory against the number of cells, and what the paper reports for its largest section: "
        "minutes of the clock, on other machines (Fig. S5, S6)."
    )
    page.figure(figure, "cost", caption)


def extrapolate(costs: pd.DataFrame) -> str:
    """Say what `paper` would cost with the cells of the paper's largest section, from sizes with as many epochs."""
    epochs = np.where(costs["cells"] < SMALL_DATA, GRAPH_EPOCHS_SMALL, GRAPH_EPOCHS_LARGE)
    alike = costs[epochs == pd.Series(epochs).mode()[0]]
    last = costs.iloc[-1]
    measured = f"Largest measured: {last['cells']:,.0f} cells, {last['seconds']:.0f} CPU s, {last['peak_gib']:.1f} GiB."
    if len(alike) < 2:
        return f"{measured} No two sizes with the same number of epochs."
    grown = exponent(alike["cells"], alike["seconds"])
    hours = last["seconds"] * (LARGEST / last["cells"]) ** grown / 3600
    return (
        f"{measured} Exponent {grown:.2f} from {alike['cells'].min():,.0f} to {alike['cells'].max():,.0f} cells, which "
        f"have as many epochs. Extrapolated from there, not measured: {hours:.1f} CPU hours for {LARGEST:,} cells on "
        "one thread; sizes this small do not allow to extrapolate the memory."
    )


STUDY = Study(
    title="Cost against the number of cells",
    paper="Fig. S5, S6",
    question="How do time and memory grow with the section?",
    measure=measure,
    show=show,
    pairs=("SYNTHETIC",),
    seeds=(0,),
)

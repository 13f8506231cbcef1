"""Judge the cost on large sections, from what `RESULTS.md` says of sections in files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from benchmarks.paper._compare import ASKED_HERE
from benchmarks.paper._predictions import RECIPES
from benchmarks.paper._results_tables import SIMULATED_COUNTS, read_table
from benchmarks.paper._systems_claims import AS_FAST, GIMVI, STPLUS, TRANSIMP

from stimpute.model._model import MAX_CELLS

if TYPE_CHECKING:
    from benchmarks.paper._page import Page
    from benchmarks.paper._study import Verdict

PAPER_CELLS = 1_349_620  # of the largest section of the paper
PAPER_GB = 13.8
PAPER_MINUTES = 961
GB_PER_GIB = 1.074
SAME_COST = 1.25  # times that of the smallest section: up to there we say that a cost does not grow
IN_PROPORTION = (0.8, 1.2)  # exponents of a cost
MANY = 100_000  # cells, from which on the cost of few cells is small beside that of their number
OF_SECTIONS = {"crossfit": "# A section from disk, stage by stage", "paper": "## The largest section with `paper`"}
STEPS_OF_A_RUN = ("open", "set up", "train", "impute")  # the beginnings of the stages that make a table of genes


def exponent(cells: pd.Series, seconds: pd.Series) -> float:
    """Compute the exponent with which a cost grows from the smallest to the largest number of cells."""
    first, last = np.argmin(cells), np.argmax(cells)
    return float(np.log(seconds.iloc[last] / seconds.iloc[first]) / np.log(cells.iloc[last] / cells.iloc[first]))


def _read_stages(recipe: str = "crossfit") -> pd.DataFrame:
    table = read_table(OF_SECTIONS[recipe])
    return table.assign(cells=table["cells"].astype(str).str.replace(",", "").astype(int))


def read_large_section(recipe: str) -> dict[str, float]:
    """Read what a recipe took for a section in a file as large as the paper's largest.

    `seconds` are of the CPU and `wall` by the clock, from opening the file to the imputed genes; `train_seconds` are
    those of training; `peak_gib` is the peak memory, and `lazy_gib` that of looking at genes one by one.
    """
    table = _read_stages(recipe)
    million = min(size for size in table["cells"] if size > 1_000_000)
    of_section = table[table["cells"] == million]
    of_run = of_section[of_section["stage"].str.startswith(STEPS_OF_A_RUN)]
    return {
        "cells": million,
        "seconds": of_run["CPU s"].sum(),
        "wall": of_run["wall s"].sum(),
        "train_seconds": of_run.loc[of_run["stage"] == "train", "CPU s"].sum(),
        "peak_gib": of_run["peak GiB"].max(),
        "lazy_gib": of_section["peak GiB"].max(),
    }


def add_large_section(page: Page, recipe: str, where: str) -> None:
    """Judge whether a recipe takes less than the paper reports for its largest section, on simulated counts in a file.

    The paper names no limit of the cells that are trained on. `paper` has one, so that the claim can only hold in part.
    """
    cost = read_large_section(recipe)
    is_so = cost["peak_gib"] * GB_PER_GIB < PAPER_GB and cost["wall"] < 60 * PAPER_MINUTES
    claim = f"1.3 million cells take {PAPER_MINUTES} minutes and {PAPER_GB} GB (`{recipe}`: at most as much)"
    text = (
        f"{cost['cells']:,} cells × 377 genes in a file, trained on {MAX_CELLS:,} of them, 76 genes imputed to a file: "
        f"{cost['seconds']:,.0f} CPU s, {cost['wall']:,.0f} s by the clock, {cost['peak_gib']:.1f} GiB at most"
    )
    if cost["lazy_gib"] > cost["peak_gib"]:
        text += f"; {cost['lazy_gib']:.1f} GiB where genes are looked at one by one"
    text += (
        f" ({SIMULATED_COUNTS}, section A section from disk; another computer, and fewer genes than the paper's may be)"
    )
    verdict: Verdict = "holds" if is_so else "does not hold"
    if recipe == "paper":
        verdict = "holds in part" if is_so else verdict
        hours = cost["train_seconds"] * PAPER_CELLS / MAX_CELLS / 3600
        text += (
            f". All cells got the same neighbors there, as the results say. Training on all cells was not measured: "
            f"{hours:.0f} CPU hours on one thread, if the seconds per cell stay those of {MAX_CELLS:,} cells"
        )
    page.verdict(claim, where, verdict, text)


def add_speed(costs: pd.DataFrame, page: Page) -> None:
    """Compare the seconds of `paper` with those of other systems on the largest section that both were measured on."""
    of_others = costs.loc[~costs["method"].isin(RECIPES), "cells"]
    n_cells = of_others[of_others.isin(costs.loc[costs["method"] == "paper", "cells"])].max()
    seconds = costs[costs["cells"] == n_cells].set_index("method")["seconds"]
    others = [name for name in seconds.index[::-1] if name not in RECIPES]
    if not others:
        return
    ratio = seconds["paper"] / seconds[others]
    shown = ", ".join(f"{value:.1f} times those of {name}" for name, value in ratio.items())
    page.text(
        f"With {n_cells:,} cells the CPU seconds of `paper` are {shown}. On the small sections of the study of "
        "[other systems](systems.md) `paper` is faster than gimVI, stPlus and TransImpLR."
    )
    where = f"{n_cells:,} cells of one simulated tissue, one CPU thread"
    as_fast = (
        f"The speed of `paper` is like that of gimVI and {STPLUS}, or better ({where}; rule: at most {AS_FAST} times"
    )
    for claim, names, is_so in (
        (f"{as_fast} their CPU seconds)", [GIMVI, STPLUS], ratio <= AS_FAST),
        (f"`paper` is slower than {TRANSIMP} ({where})", [TRANSIMP], ratio > 1),
    ):
        measured = [name for name in names if name in ratio]
        if measured:
            found = is_so[measured]
            verdict = "holds" if found.all() else "holds in part" if found.any() else "does not hold"
            text = "; ".join(f"{seconds['paper']:.0f} s against {seconds[name]:.0f} s of {name}" for name in measured)
            page.verdict(claim, "Fig. S6", verdict, f"{text} (the paper had graphics cards)")


def add_cost_of_files(page: Page) -> None:
    """Judge the cost of `crossfit` on sections of simulated counts in files."""
    add_large_section(page, "crossfit", ASKED_HERE)
    _add_growth(page)


def _add_growth(page: Page) -> None:
    """Judge how the cost of training and of imputing grows with the cells."""
    table = _read_stages()
    train = table[table["stage"] == "train"].reset_index(drop=True)
    ratio = train["CPU s"] / train["CPU s"].iloc[0]
    text = "; ".join(f"{row['cells']:,} cells: {row['CPU s']} CPU s" for _, row in train.iterrows())
    claim = f"The cost of training `crossfit` does not grow with the data (rule: at most {SAME_COST} times as much)"
    is_so = ratio.iloc[1:] <= SAME_COST
    verdict = "holds" if is_so.all() else "holds in part" if is_so.any() else "does not hold"
    page.verdict(claim, "docs", verdict, f"{text} ({SIMULATED_COUNTS})")
    impute = table[table["stage"].str.startswith("impute") & (table["cells"] >= MANY)].reset_index(drop=True)
    grown = exponent(impute["cells"], impute["CPU s"])
    low, high = IN_PROPORTION
    claim = f"The cost of imputing grows in proportion to the cells (rule: exponent from {low} to {high})"
    text = "; ".join(f"{row['cells']:,} cells: {row['CPU s']} CPU s" for _, row in impute.iterrows())
    text = f"exponent {grown:.2f}: {text} (76 genes, {SIMULATED_COUNTS})"
    page.verdict(claim, "docs", "holds" if low <= grown <= high else "does not hold", text)

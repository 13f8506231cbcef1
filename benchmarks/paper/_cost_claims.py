"""Judge the cost on large sections, from what `RESULTS.md` says of sections in files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from benchmarks.paper._compare import ASKED_HERE
from benchmarks.paper._results_tables import SIMULATED_COUNTS, read_table

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
STEPS_OF_A_RUN = ("open", "set up", "train", "impute")  # the beginnings of the stages that make a table of genes


def exponent(cells: pd.Series, seconds: pd.Series) -> float:
    """Compute the exponent with which a cost grows from the smallest to the largest number of cells."""
    first, last = np.argmin(cells), np.argmax(cells)
    return float(np.log(seconds.iloc[last] / seconds.iloc[first]) / np.log(cells.iloc[last] / cells.iloc[first]))


def add_cost(page: Page, recipe: str, where: str, verdict: Verdict, evidence: str) -> None:
    """Add whether a recipe takes less than the paper reports for its largest section."""
    claim = f"1.3 million cells take {PAPER_MINUTES} minutes and {PAPER_GB} GB (`{recipe}`: at most as much)"
    page.verdict(claim, where, verdict, evidence)


def _read_stages() -> pd.DataFrame:
    table = read_table("# A section from disk, stage by stage")
    return table.assign(cells=table["cells"].str.replace(",", "").astype(int))


def read_large_section() -> dict[str, float]:
    """Read what `crossfit` took for a section in a file as large as the paper's largest.

    `seconds` are of the CPU and `wall` by the clock, from opening the file to the imputed genes; `peak_gib` is the
    peak memory of that, and `lazy_gib` that of looking at genes one by one.
    """
    table = _read_stages()
    million = min(size for size in table["cells"] if size > 1_000_000)
    of_section = table[table["cells"] == million]
    of_run = of_section[of_section["stage"].str.startswith(STEPS_OF_A_RUN)]
    return {
        "cells": million,
        "seconds": of_run["CPU s"].sum(),
        "wall": of_run["wall s"].sum(),
        "peak_gib": of_run["peak GiB"].max(),
        "lazy_gib": of_section["peak GiB"].max(),
    }


def add_cost_of_files(page: Page) -> None:
    """Judge the cost of `crossfit` on sections of simulated counts in files."""
    cost = read_large_section()
    is_so = cost["peak_gib"] * GB_PER_GIB < PAPER_GB and cost["wall"] < 60 * PAPER_MINUTES
    text = (
        f"{cost['cells']:,} cells × 377 genes in a file, 76 genes imputed to a file: {cost['seconds']:.0f} CPU s, "
        f"{cost['wall']:.0f} s by the clock, {cost['peak_gib']:.1f} GiB at most; {cost['lazy_gib']:.1f} GiB where "
        f"genes are looked at one by one ({SIMULATED_COUNTS}, section A section from disk; "
        "another computer, and fewer genes than the paper's may be)"
    )
    add_cost(page, "crossfit", ASKED_HERE, "holds" if is_so else "does not hold", text)
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

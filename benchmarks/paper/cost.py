"""Cost against the number of cells: Fig. S5, S6."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pandas as pd
from _pairs import Pair
from benchmarks.paper._compare import wide
from benchmarks.paper._cost_claims import (
    GB_PER_GIB,
    PAPER_CELLS,
    PAPER_GB,
    PAPER_MINUTES,
    add_large_section,
    add_speed,
    exponent,
    read_large_section,
)
from benchmarks.paper._figures import line
from benchmarks.paper._fit_once import N_MEASURED, N_REFERENCE, make_tissue
from benchmarks.paper._page import Page
from benchmarks.paper._predictions import RECIPES
from benchmarks.paper._study import Study
from matplotlib.figure import Figure
from peers import _measure
from peers._exchange import VisibleFold

from stimpute.model._model import MAX_CELLS
from stimpute.recipes._paper import GRAPH_EPOCHS_LARGE, GRAPH_EPOCHS_SMALL, SMALL_DATA

ORDER = 75
SIZES = (1000, 4000, 16_000)
LARGE = (*SIZES, 64_000)  # for the recipes
SYSTEMS = tuple(system for system in (*_measure.FAST, *_measure.SLOW) if system not in _measure.VARIANTS)
LIMIT_S = 600  # by the clock, for one size of a system
N_GENES = 100  # unmeasured genes that are imputed
SHOWN = {"train_seconds": "train, CPU s", "impute_seconds": "impute, CPU s", "peak_gib": "peak, GiB"}
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")


def measure(pair: Pair, seed: int, part: str) -> pd.DataFrame:
    """Train and impute synthetic tissues of growing size, each in a process of its own, until one fails.

    The pair is not used: what counts is the number of cells.
    """
    rows = []
    for n_cells in LARGE if part in RECIPES else SIZES:
        try:
            cost = _fit_once(part, n_cells) if part in RECIPES else _ask_once(part, n_cells, seed)
            rows.append({"cells": n_cells, **cost})
        except _measure.NotInstalledError:
            raise
        except RuntimeError as error:
            rows.append({"method": _measure.name_of(part), "cells": n_cells, "error": str(error).split(": ", 1)[-1]})
            break
        except subprocess.TimeoutExpired:
            rows.append({"method": _measure.name_of(part), "cells": n_cells, "error": f"more than {LIMIT_S // 60} min"})
            break
    return pd.DataFrame(rows)


def _fit_once(recipe: str, n_cells: int) -> dict[str, str | float]:
    """Measure a recipe with one thread: training, and imputation to a store."""
    command = [sys.executable, "-m", "benchmarks.paper._fit_once", recipe, str(n_cells), str(N_GENES)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=os.environ | ONE_THREAD)
    cost = json.loads(done.stdout.splitlines()[-1])
    return {"method": recipe, **cost, "seconds": cost["train_seconds"] + cost["impute_seconds"]}


def _ask_once(system: str, n_cells: int, seed: int) -> dict[str, str | float]:
    """Measure another system on the same tissue."""
    tissue = make_tissue(n_cells, N_GENES)
    targets = [gene for gene in tissue.reference.var_names if gene not in tissue.spatial.var_names]
    fold = VisibleFold(0, tissue.spatial, tissue.reference, targets, {"expression": "counts"}, {"expression": "counts"})
    cost = _measure.answers(system, [fold], seed, LIMIT_S)[0].cost
    return {"method": cost["name"], "seconds": cost["cpu_seconds"], "peak_gib": cost["peak_gib"]}


def show(results: pd.DataFrame, page: Page) -> None:
    """Write tables, a figure and verdicts."""
    page.text(
        f"Synthetic tissues with {N_MEASURED} measured genes and {N_REFERENCE} cells of reference, one thread; "
        f"{N_GENES} unmeasured genes are imputed; the recipes write them to a store. A system is stopped after "
        f"{LIMIT_S // 60} minutes by the clock for one size, and not tried with more cells. The paper's largest "
        f"section has {PAPER_CELLS:,} cells and took {PAPER_MINUTES} minutes and {PAPER_GB} GB, on two graphics cards, "
        "with 377 genes. CPU seconds here and minutes there are not the same thing, and only the growth can be "
        "compared. "
        f"`paper` trains its graph network for {GRAPH_EPOCHS_SMALL} epochs on fewer than {SMALL_DATA:,} cells and for "
        f"{GRAPH_EPOCHS_LARGE} epochs from there on, as the text of the paper says, so that its cost has a step there. "
        f"Both recipes train on {MAX_CELLS:,} cells at most (`max_cells`), drawn from the section, and impute all; the "
        "paper names no such limit."
    )
    is_ours = results["method"].isin(RECIPES)
    table = results[is_ours].set_index(["method", "cells"])[list(SHOWN)].rename(columns=SHOWN)
    page.table(table, "The recipes: CPU seconds and peak memory of the process", digits=1)
    costs = results.reindex(columns=list(dict.fromkeys([*results, "error"])))
    if not is_ours.all():
        page.table(_of_systems(costs), "All systems: CPU seconds to train and impute, peak memory")
    costs = costs[costs["error"].isna()]
    _draw(costs, page)
    add_speed(costs, page)
    add_large_section(page, "paper", "S6, Discussion")
    of_crossfit = costs[costs["method"] == "crossfit"].sort_values("cells")
    if len(of_crossfit) > 1:
        grown = exponent(of_crossfit["cells"], of_crossfit["train_seconds"])
        first, last = of_crossfit.iloc[0], of_crossfit.iloc[-1]
        page.text(
            f"CPU seconds of training `crossfit` grow with the exponent {grown:.2f} from {first['cells']:,.0f} to "
            f"{last['cells']:,.0f} cells (0: they do not grow, 1: they are proportional to the cells). Larger sections "
            "are in the [results](../results.md), section A section from disk."
        )


def _of_systems(costs: pd.DataFrame) -> pd.DataFrame:
    """Write seconds and memory of every system, one column for each number of cells, or why there are none."""
    measured = [f"{row.seconds:,.1f} s, {row.peak_gib:.1f} GiB" for row in costs.itertuples()]
    texts = costs["error"].where(costs["error"].notna(), measured)
    columns = costs["cells"].map("{:,} cells".format)
    return wide(texts.set_axis(pd.MultiIndex.from_arrays([costs["method"], columns])), "cells").fillna("")


def _draw(costs: pd.DataFrame, page: Page) -> None:
    """Draw seconds and memory against the number of cells, with the largest section of the paper."""
    figure = Figure(figsize=(9.2, 3.6), layout="constrained")
    seconds = "seconds to train and impute"
    of_paper = {"seconds": (seconds, PAPER_MINUTES * 60), "peak_gib": ("peak memory, GiB", PAPER_GB / GB_PER_GIB)}
    from_disk = {recipe: read_large_section(recipe) for recipe in RECIPES}
    for ax, (column, (label, value)) in zip(figure.subplots(1, 2), of_paper.items(), strict=True):
        for name, of_method in costs.sort_values("cells").groupby("method", sort=False):
            ax.plot(of_method["cells"], of_method[column], marker=".", label=name, **line(name))
        for recipe, cost in from_disk.items():
            ax.plot(cost["cells"], cost[column], **(line(recipe) | {"marker": "D", "linestyle": ""}))
            ax.annotate(f"{recipe}, from a file ", (cost["cells"], cost[column]), fontsize=6, ha="right")
        ax.plot(PAPER_CELLS, value, marker="*", color="k")
        ax.annotate("the paper, two graphics cards ", (PAPER_CELLS, value), fontsize=6, ha="right", va="bottom")
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xlabel("cells", fontsize=8)
        ax.set_ylabel(label, fontsize=8)
        ax.tick_params(labelsize=7)
        ax.spines[["top", "right"]].set_visible(False)
    figure.legend(*ax.get_legend_handles_labels(), fontsize=6, frameon=False, loc="outside right upper")
    caption = (
        "CPU seconds of one thread and peak memory against the number of cells; both recipes on a section of the "
        "paper's largest size and 377 genes, in a file; and what the paper reports for its own: minutes of the clock, "
        "on other machines (Fig. S5, S6)."
    )
    page.figure(figure, "cost", caption)


STUDY = Study(
    title="Cost against the number of cells",
    paper="Fig. S5, S6",
    question="How do time and memory grow with the section?",
    measure=measure,
    show=show,
    pairs=("SYNTHETIC",),
    seeds=(0,),
    parts=(*RECIPES, *SYSTEMS),
)

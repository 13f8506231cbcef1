"""Write the section on what the method needs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import pandas as pd
from benchmarks.paper._compare import SIMULATED, judge, real, wide
from benchmarks.paper._figures import line, panels
from benchmarks.paper._scalars import ASKED_HERE, count_seeds
from benchmarks.paper._study import PAIRS

if TYPE_CHECKING:
    from benchmarks.paper._page import Page
    from matplotlib.axes import Axes

ALL = "all"
GENES = "shared genes"
MOST = "share of the most frequent cluster"
OTHERS = "share of the other clusters"
MIN_LEVELS = 3  # of a panel; what has fewer is in the table only
DRAWN = tuple(pair for pair in PAIRS if pair != SIMULATED)
LOSS = 0.05  # of PCC that counts
LOST = "crossfit: lost"


def show(results: pd.DataFrame, page: Page) -> None:
    """Write a figure and a table for each pair, and verdicts."""
    page.text(
        "The genes of one fold are hidden (two folds of small panels), and the data are reduced: fewer shared genes, "
        "fewer cells on either side, fewer molecules in the reference (binomial), positions moved at random by "
        "multiples of the median distance to the nearest cell, and a reference that has only some of eight clusters. "
        "Proportions are shifted, too: only a share of the cells of the most frequent cluster is kept, or of all the "
        "others, so that the reference has fewer cells as well. The last column of each table is what `crossfit` loses "
        "against all data, on the same cells and genes. Levels are drawn once per seed, so that curves need not be "
        f"smooth. `paper` has no number where positions change, which it does not read, and where it refused the data. "
        f"{count_seeds(results)}"
    )
    for pair, of_pair in results.groupby("pair", sort=False):
        page.table(_table(of_pair), f"{pair}: mean PCC of the hidden genes")
        n_levels = of_pair.groupby("needs", sort=False)["level"].nunique()
        needs = list(n_levels.index[n_levels >= MIN_LEVELS])
        if needs and pair in DRAWN:
            figure = panels(needs, 3, partial(_draw, of_pair), (2.6, 2.2))
            caption = (
                f"{pair}: mean PCC of hidden genes against what the data offer. Dotted: with all data, same cells. "
                f"What was measured at fewer than {MIN_LEVELS} levels is in the table only."
            )
            page.figure(figure, f"needs_{pair.lower()}", caption)
            plt.close(figure)
    _judge(results, page)
    _judge_few_genes(results, page)


def _table(of_pair: pd.DataFrame) -> pd.DataFrame:
    groups = of_pair.groupby(["needs", "level", "method"], sort=False)[["pcc", "pcc, all data"]].mean()
    table = wide(groups["pcc"], "method")
    if "crossfit" in table:
        ours = groups.xs("crossfit", level="method")
        table[LOST] = (ours["pcc, all data"] - ours["pcc"]).reindex(table.index)
    return table


def _position(level: str) -> float:
    """Turn the name of a level into a number: `"20 %"` and `"20"` into 20."""
    return float(str(level).rstrip("% "))


def _draw(of_pair: pd.DataFrame, ax: Axes, need: str) -> None:
    rows = of_pair[of_pair["needs"] == need]
    rows = rows.assign(position=rows["level"].map(_position))
    for method, of_method in rows.groupby("method", sort=False):
        curve = of_method.groupby("position")[["pcc", "pcc, all data"]].mean()
        style = line(method)
        ax.plot(curve.index, curve["pcc"], marker=".", label=method, **style)
        ax.plot(curve.index, curve["pcc, all data"], **{**style, "linestyle": ":", "linewidth": 1})
    ax.set_xscale("log")
    levels = rows.groupby("position")["level"].first()
    ax.set_xticks(levels.index, levels, fontsize=6)
    ax.minorticks_off()
    ax.set_ylabel("PCC", fontsize=8)


def _lost(results: pd.DataFrame, need: str, level: str) -> pd.Series:
    """Compute the PCC that `crossfit` loses at a level, by pair; pairs where it was refused are left out."""
    results = real(results)
    chosen = results[
        (results["needs"] == need) & (results["level"].astype(str) == level) & (results["method"] == "crossfit")
    ]
    return (chosen["pcc, all data"] - chosen["pcc"]).groupby(chosen["pair"], sort=False).mean().dropna()


def _judge_few_genes(results: pd.DataFrame, page: Page) -> None:
    """Judge whether `crossfit` is ahead of the other methods with few shared genes, too."""
    for level in ("5", "10"):
        few = real(results[(results["needs"] == GENES) & (results["level"].astype(str) == level)])
        table = wide(few.groupby(["pair", "method"], sort=False)["pcc"].mean(), "method")
        others = [name for name in ("kNN", "paper") if name in table]
        if "crossfit" in table and others:
            lead = (table["crossfit"] - table[others].max(axis=1)).dropna()
            claim = f"With {level} shared genes, `crossfit` is better than {' and '.join(others)} (PCC)"
            text = "; ".join(f"{pair}: {value:+.3f} against the best" for pair, value in lead.items())
            page.verdict(claim, ASKED_HERE, judge(list(lead > 0), lead.index, list(lead < 0)), f"{text} (no test)")


def _judge(results: pd.DataFrame, page: Page) -> None:
    claims = {
        "Ten shared genes are too few; the section should have dozens": (GENES, "10"),
        "A hundred reference cells are too few": ("reference cells", "100"),
        "A reference with a twentieth of the molecules is worse": ("depth of the reference", "5%"),
        "A section of 100 cells is worse than a whole one": ("cells of the section", "100"),
        "Positions matter to `crossfit` (moved by 1000 cell distances)": ("noise in positions, cell distances", "1000"),
        "A reference that has one of eight clusters is worse": ("clusters of the reference, of 8", "1"),
        "A reference in which the most frequent cluster is thinned to a tenth is worse": (MOST, "10%"),
        "A reference in which all other clusters are thinned to a tenth is worse": (OTHERS, "10%"),
    }
    for claim, (need, level) in claims.items():
        lost = _lost(results, need, level)
        if len(lost):
            where = "docs" if need == GENES else ASKED_HERE
            text = "; ".join(f"{pair}: {value:+.3f} lost" for pair, value in lost.items())
            verdict = judge(list(lost > LOSS), lost.index)
            page.verdict(f"{claim} (rule: loses more than {LOSS} PCC)", where, verdict, text)

"""Draw the figures of the section on accuracy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from benchmarks.paper import _cache, systems
from benchmarks.paper._compare import means, wide
from benchmarks.paper._study import PAIRS
from benchmarks.paper._systems_claims import PEERS
from matplotlib.axes import Axes
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from benchmarks.paper._page import Page

CEILING = "the gene itself, learned in other cells (oracle)"
BOXES = {
    "crossfit": "crossfit",
    "paper": "paper",
    "kNN": "kNN",
    "kNN over principal components": "kNN, PCA",
    "ridge": "ridge",
    "ridge + mean of the visible panel": "ridge + panel mean",
    "boosting": "boosting",
    "constant": "constant",
    CEILING: "the gene itself",
}
OTHER = "best other system"
BARS = {
    "kNN": "0.85",
    "ridge + mean of the visible panel": "0.65",
    OTHER: "#c9a26b",
    "paper": "#7fb3d5",
    "crossfit": "#1f5f8b",
}
METRICS = {"pcc": "PCC", "css": "CSS", "mse": "MSE"}
ROWS = {"whislo": "lowest 5 %", "q1": "lower quarter", "med": "median", "q3": "upper quarter", "whishi": "highest 5 %"}
SHORT = {"MERFISH_HYPOTHALAMUS": "MERFISH"}


def draw_front(free: pd.DataFrame, page: Page) -> None:
    """Draw the figure of the README: PCC per pair and method, and what can be reached as a line."""
    table = wide(means(free, ["pcc"])["pcc"], "method")
    table = table[table.index.isin(free.loc[free["method"].isin(["paper", "crossfit"]), "pair"])]
    others = best_others(free).reindex(table.index)
    table[OTHER] = others["pcc"]
    shown = [name for name in BARS if name in table and table[name].notna().any()]
    width = 0.8 / max(len(shown), 1)
    figure = Figure(figsize=(7.2, 3.1), layout="constrained")
    axes = figure.subplots()
    for number, name in enumerate(shown):
        axes.bar(np.arange(len(table)) + number * width, table[name], width, label=name, color=BARS[name])
    if OTHER in shown:
        for position, (name, height) in enumerate(zip(others["method"], others["pcc"], strict=True)):
            if pd.notna(height):
                x = position + shown.index(OTHER) * width
                axes.text(x, height / 2, name, rotation=90, ha="center", va="center", fontsize=6)
    if CEILING in table:
        left = np.arange(len(table)) - width / 2
        right = left + len(shown) * width
        axes.hlines(table[CEILING], left, right, color="k", label="learned from the gene itself")
    pairs = [SHORT.get(pair, pair) for pair in table.index]
    axes.set_xticks(np.arange(len(table)) + width * (len(shown) - 1) / 2, pairs, fontsize=8)
    axes.set_ylabel("mean PCC of held-out genes", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, fontsize=8, loc="outside upper center", ncols=3)
    page.figure(figure, "front", _caption(free, others))


def best_others(free: pd.DataFrame) -> pd.DataFrame:
    """Find the published system with the highest PCC on each pair, on the folds and cells of this study.

    Both studies measure kNN. A seed of a pair counts where kNN has the same values in both.

    Returns
    -------
    One row per pair with such a system; columns `method`, `pcc` (mean over the seeds that both studies have).
    """
    measured = _cache.read("systems", systems.STUDY)
    if "kNN" not in set(measured.get("method", ())):
        return pd.DataFrame(columns=["method", "pcc"])
    genes = measured[measured["gene"].notna()]
    of_seed = genes.groupby(["pair", "seed", "method"])["pcc"].mean().unstack()
    same = means(free[free["method"] == "kNN"], ["pcc"], ["pair", "seed"])["pcc"].reindex(of_seed.index)
    peers = of_seed[np.isclose(of_seed["kNN"], same, atol=1e-4)]
    peers = peers[peers.columns.intersection(PEERS, sort=False)]
    average = peers.groupby(level="pair").mean().dropna(how="all")
    return pd.DataFrame({"method": average.idxmax(axis=1), "pcc": average.max(axis=1)})


def _caption(free: pd.DataFrame, others: pd.DataFrame) -> str:
    """Say what the figure shows, and on how many seeds it rests."""
    seeds = free[free["method"].isin(["paper", "crossfit"])].groupby("pair", sort=False)["seed"].nunique()
    counts = ", ".join(f"{SHORT.get(pair, pair)} {count}" for pair, count in seeds.items())
    text = (
        "Mean PCC of held-out genes, leak-free. The line is learned from the gene itself in other cells of the "
        f"section: a rough ceiling. Number of seeds: {counts}."
    )
    if others["pcc"].isna().all():
        return text
    without = [SHORT.get(pair, pair) for pair in others.index[others["pcc"].isna()]]
    text += (
        " The best other system is the published one with the highest mean on a pair, of those that were run on the "
        "same cells and folds, some with fewer seeds."
    )
    return text + (f" {', '.join(without)}: none was run on these cells." if without else "")


def draw_boxes(free: pd.DataFrame, page: Page) -> None:
    """Draw the distribution of the metrics over genes and over cells, one column per pair."""
    pairs = [pair for pair in PAIRS if pair in set(free["pair"])]
    methods = [name for name in BOXES if name in set(free["method"])]
    height = 0.4 + len(METRICS) * (0.5 + 0.16 * len(methods))
    for axis in ("gene", "cell"):
        figure = Figure(figsize=(7.4, height), layout="constrained")
        grid = figure.subplots(len(METRICS), len(pairs), squeeze=False, sharex="row", sharey=True)
        for row, metric in zip(grid, METRICS, strict=True):
            for axes, pair in zip(row, pairs, strict=True):
                of_pair = free[(free["pair"] == pair) & (free["axis"] == axis)]
                _draw_boxes(axes, of_pair, methods, metric, axis)
                axes.set_title(SHORT.get(pair, pair) if metric == "pcc" else "", fontsize=8)
                axes.set_xlabel(METRICS[metric], fontsize=8)
        caption = f"By {axis}: median, quarters, and 5 to 95 % as whiskers; all seeds (Fig. 2 and S2 of the paper)."
        page.figure(figure, f"accuracy_{axis}", caption)


def _draw_boxes(axes: Axes, rows: pd.DataFrame, methods: list[str], metric: str, axis: str) -> None:
    for position, name in enumerate(reversed(methods)):
        box = _box(rows[rows["method"] == name], metric, axis)
        if not np.isnan(box["med"]):
            parts = axes.bxp(
                [box], [position], widths=0.6, orientation="horizontal", showfliers=False, patch_artist=True
            )
            parts["boxes"][0].set_facecolor(BARS.get(name, "white"))
            parts["medians"][0].set(color="tab:orange", linewidth=1.5)
    axes.set_yticks(range(len(methods)), [BOXES[name] for name in reversed(methods)], fontsize=7)
    axes.tick_params(axis="x", labelsize=7)
    axes.axvline(0, color="0.8", linewidth=0.5, zorder=0)


def _box(rows: pd.DataFrame, metric: str, axis: str) -> dict[str, float]:
    if axis == "gene":
        values = rows[metric].dropna()
        quantiles = np.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95]) if len(values) else np.full(5, np.nan)
        return dict(zip(ROWS, quantiles, strict=True))
    by_row = rows.groupby("gene")[metric].mean()
    return {name: by_row.get(row, np.nan) for name, row in ROWS.items()}

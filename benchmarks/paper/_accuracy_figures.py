"""Draw the figures of the section on accuracy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from benchmarks.paper import _cache, systems
from benchmarks.paper._compare import means, wide
from benchmarks.paper._figures import COLORS, SHORT
from benchmarks.paper._study import PAIRS
from benchmarks.paper._systems_claims import CROSSFIT, PAPER, PEERS
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

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
    "boosting + mean of the visible panel": "boosting + panel mean",
    "constant": "constant",
    CEILING: "the gene itself",
}
OTHER = "best other system"
BARS = {
    "kNN": COLORS["kNN"],
    "ridge + mean of the visible panel": COLORS["ridge"],
    OTHER: "0.75",
    "paper": COLORS["paper"],
    "crossfit": COLORS["crossfit"],
}
METRICS = {"pcc": "PCC", "spearman": "Spearman", "css": "CSS", "ssim": "SSIM", "mse": "MSE"}
ROWS = {"whislo": "lowest 5 %", "q1": "lower quarter", "med": "median", "q3": "upper quarter", "whishi": "highest 5 %"}
NULL = "crossfit, reference values of the gene permuted"


def draw_front(free: pd.DataFrame, page: Page) -> None:
    """Draw the figure of the README: PCC per pair and method, and what can be reached as a line."""
    table = wide(means(free, ["pcc"])["pcc"], "method")
    table = table[table.index.isin(free.loc[free["method"].isin(["paper", "crossfit"]), "pair"])]
    others = best_others(free).reindex(table.index).astype(object)
    table[OTHER] = others["pcc"].astype(float)
    table[NULL] = _told_nothing().reindex(table.index)
    elsewhere = _other_cells(others.index[others["pcc"].isna()])
    for pair, row in elsewhere.iterrows():
        table.loc[pair, list(row.index.intersection(table.columns))] = row
        for column, value in {"method": row["method"], "pcc": row[OTHER], "of_all": row["of_all"]}.items():
            others.at[pair, column] = value  # which takes a list, too
    shown = [name for name in BARS if name in table and table[name].notna().any()]
    width = 0.8 / max(len(shown), 1)
    figure = Figure(figsize=(7.2, 3.1), layout="constrained")
    axes = figure.subplots()
    for number, name in enumerate(shown):
        axes.bar(np.arange(len(table)) + number * width, table[name], width, label=name, color=BARS[name])
    if OTHER in shown:
        for position, row in enumerate(others.itertuples()):
            if pd.notna(row.pcc):
                x = position + shown.index(OTHER) * width
                axes.text(x - width / 4, 0.01, row.method, rotation=90, ha="center", va="bottom", fontsize=6)
                dots = [x + width / 4] * len(row.of_all), row.of_all
                axes.scatter(*dots, s=7, color="w", edgecolor="k", linewidth=0.5, zorder=3)
    left = np.arange(len(table)) - width / 2
    lines = {CEILING: ("learned from the gene itself", "k", "-"), NULL: (NULL, "#67001f", (0, (2, 1)))}
    for name, (label, color, style) in lines.items():
        if name in table and table[name].notna().any():
            right = left + len(shown) * width
            axes.hlines(table[name], left, right, color=color, linestyle=style, linewidth=1.3, label=label)
    pairs = [SHORT.get(pair, pair) for pair in table.index]
    axes.set_xticks(np.arange(len(table)) + width * (len(shown) - 1) / 2, pairs, fontsize=8)
    axes.set_ylabel("mean PCC of held-out genes", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, fontsize=8, loc="outside upper center", ncols=3)
    page.figure(figure, "front", _caption(free, others, elsewhere))


def _told_nothing() -> pd.Series:
    """Read the mean PCC of `crossfit` where the reference values of a held-out gene are permuted, by pair."""
    from benchmarks.paper import nulls  # which imports the section that this figure is in

    measured = _cache.read("nulls", nulls.STUDY)
    if "null" not in measured:
        return pd.Series(dtype=float)
    chosen = measured[(measured["method"] == "crossfit") & (measured["null"] == nulls.REFERENCE)]
    return means(chosen, ["pcc"], ["pair"])["pcc"]


def _other_cells(pairs: pd.Index) -> pd.DataFrame:
    """Read both recipes, kNN and the best published system from the study of systems, which has other cells there.

    Returns
    -------
    One row per pair; columns `crossfit`, `paper`, `kNN`, `OTHER`: mean PCC over the seeds of all four; `method`;
    `of_all`, see :func:`best_others`; `seeds`, their number.
    """
    genes = _systems()
    rows = {}
    for pair, of_pair in genes[genes["pair"].isin(pairs)].groupby("pair", sort=False):
        of_seed = of_pair.groupby(["seed", "method"])["pcc"].mean().unstack()
        peers = of_seed[of_seed.columns.intersection(PEERS, sort=False)].mean()
        if len(peers) and {CROSSFIT, PAPER, "kNN"} <= set(of_seed):
            columns = {CROSSFIT: "crossfit", PAPER: "paper", "kNN": "kNN", peers.idxmax(): OTHER}
            whole = of_seed[list(columns)].dropna().rename(columns=columns)
            best = {"method": peers.idxmax(), "of_all": list(peers.dropna())}
            rows[pair] = {**whole.mean(), **best, "seeds": len(whole)}
    return pd.DataFrame.from_dict(rows, orient="index").dropna()


def _systems() -> pd.DataFrame:
    """Read the genes of the study of systems."""
    measured = _cache.read("systems", systems.STUDY)
    return measured[measured["gene"].notna()] if "gene" in measured else measured


def best_others(free: pd.DataFrame) -> pd.DataFrame:
    """Find the published system with the highest PCC on each pair, on the folds and cells of this study.

    Both studies measure kNN. A seed of a pair counts where kNN has the same values in both.

    Returns
    -------
    One row per pair with such a system; columns `method`, `pcc` (mean over the seeds that both studies have) and
    `of_all`, a list of the mean PCC of every published system.
    """
    genes = _systems()
    if "kNN" not in set(genes.get("method", ())):
        return pd.DataFrame(columns=["method", "pcc", "of_all"])
    of_seed = genes.groupby(["pair", "seed", "method"])["pcc"].mean().unstack()
    same = means(free[free["method"] == "kNN"], ["pcc"], ["pair", "seed"])["pcc"].reindex(of_seed.index)
    peers = of_seed[np.isclose(of_seed["kNN"], same, atol=1e-4)]
    peers = peers[peers.columns.intersection(PEERS, sort=False)]
    average = peers.groupby(level="pair").mean().dropna(how="all")
    of_all = [list(values.dropna()) for _, values in average.iterrows()]
    return pd.DataFrame({"method": average.idxmax(axis=1), "pcc": average.max(axis=1), "of_all": of_all})


def _caption(free: pd.DataFrame, others: pd.DataFrame, elsewhere: pd.DataFrame) -> str:
    """Say what the figure shows, and on how many seeds it rests."""
    seeds = free[free["method"].isin(["paper", "crossfit"])].groupby("pair", sort=False)["seed"].nunique()
    seeds.update(elsewhere.get("seeds", pd.Series(dtype=int)))
    counts = ", ".join(f"{SHORT.get(pair, pair)} {count}" for pair, count in seeds.items())
    text = (
        "Mean PCC of held-out genes, leak-free. The line is learned from the gene itself in other cells of the "
        "section: a rough ceiling. The dashed line is what is left to `crossfit` if the reference values of a held-out "
        f"gene are permuted, so that they say nothing of it. Number of seeds: {counts}; of other rows some have fewer."
    )
    if others["pcc"].isna().all():
        return text
    without = [SHORT.get(pair, pair) for pair in others.index[others["pcc"].isna()]]
    text += (
        " The best other system is the published one with the highest mean on a pair, of those that were run on the "
        "same cells and folds; dots are all of them."
    )
    if len(elsewhere):
        text += (
            f" {', '.join(SHORT.get(pair, pair) for pair in elsewhere.index)}: ridge and both lines are from the study "
            f"of accuracy, the other bars from that of systems, on {systems.STUDY.n_cells} other cells."
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
        grid[-1, 0].set_xscale("log")  # of MSE, which all pairs share
        grid[-1, 0].xaxis.set_minor_formatter(NullFormatter())
        for row, metric in zip(grid, METRICS, strict=True):
            for axes, pair in zip(row, pairs, strict=True):
                of_pair = free[(free["pair"] == pair) & (free["axis"] == axis)]
                _draw_boxes(axes, of_pair, methods, metric, axis)
                axes.set_title(SHORT.get(pair, pair) if metric == "pcc" else "", fontsize=8)
                axes.set_xlabel(METRICS[metric], fontsize=8)
        caption = (
            f"By {axis}: median, quarters, and 5 to 95 % as whiskers; all seeds; MSE on a logarithmic axis (Fig. 2 and "
            "S2 of the paper)."
        )
        page.figure(figure, f"accuracy_{axis}", caption)


def _draw_boxes(axes: Axes, rows: pd.DataFrame, methods: list[str], metric: str, axis: str) -> None:
    for position, name in enumerate(reversed(methods)):
        box = _box(rows[rows["method"] == name], metric, axis)
        if not np.isnan(box["med"]):
            parts = axes.bxp(
                [box], [position], widths=0.6, orientation="horizontal", showfliers=False, patch_artist=True
            )
            parts["boxes"][0].set_facecolor(BARS.get(name, "white"))
            parts["medians"][0].set(color="w" if name in BARS else "k", linewidth=1.5)
    axes.set_yticks(range(len(methods)), [BOXES[name] for name in reversed(methods)], fontsize=7)
    axes.tick_params(axis="x", labelsize=7)
    if metric != "mse":
        axes.axvline(0, color="0.8", linewidth=0.5, zorder=0)


def _box(rows: pd.DataFrame, metric: str, axis: str) -> dict[str, float]:
    if axis == "gene":
        values = rows[metric].dropna()
        quantiles = np.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95]) if len(values) else np.full(5, np.nan)
        return dict(zip(ROWS, quantiles, strict=True))
    by_row = rows.groupby("gene")[metric].mean()
    return {name: by_row.get(row, np.nan) for name, row in ROWS.items()}

"""Draw what several studies draw, with the same colors of the methods in every figure."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from benchmarks.paper._compare import ALL_PAIRS
from benchmarks.paper._predictions import CONTROL, MEASURED
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

COLORS = {
    MEASURED: "k",
    "paper": "#d95f02",
    "crossfit": "#1f5f8b",
    "kNN": "0.5",
    "ridge": "#a6761d",
    "SpaGE": "#5aae61",
    "stPlus": "#7b3294",
    "TransImpLR": "#e7298a",
    "TransImp": "#f4a6c8",
    "gimVI": "#00a6a6",
    "Tangram": "#e6ab02",
    "uniPort": "#8080ff",
    "novoSpaRc": "#8c564b",
}
OTHER = "0.75"
LEGEND = 2.0  # inches
MAX_TYPES = 10  # that have a color of their own
MARKERS = ("o", "D", "^", "s", "v")
SHORT = {"MERFISH_HYPOTHALAMUS": "MERFISH"}


def color(method: str) -> str:
    """Return the color of a method; a control has that of its recipe."""
    return COLORS.get(_system(method.removesuffix(CONTROL)), OTHER)


def line(method: str) -> dict[str, str | float]:
    """Return how the line of a method is drawn; controls are dotted."""
    return {"color": color(method), "linestyle": "-" if _system(method) in COLORS else ":", "linewidth": 1.5}


def _system(method: str) -> str:
    """Return the name of a system without how it was trained, such as `" (200 epochs)"`."""
    return method.split(" (")[0]


def panels(names: list[str], n_columns: int, draw: Callable[[Axes, str], None], size: tuple[float, float]) -> Figure:
    """Draw one panel per name, with a legend at the right of the last one of the first row."""
    n_columns = min(n_columns, len(names))
    n_rows = -(-len(names) // n_columns)
    figure, axes = plt.subplots(
        n_rows, n_columns, figsize=(size[0] * n_columns + LEGEND, size[1] * n_rows), squeeze=False, layout="constrained"
    )
    for ax in axes.flat[len(names) :]:
        ax.set_axis_off()
    for ax, name in zip(axes.flat, names, strict=False):
        draw(ax, name)
        ax.set_title(name, fontsize=9)
        ax.tick_params(labelsize=7)
        ax.spines[["top", "right"]].set_visible(False)
    handles = {}
    for ax in axes.flat:
        handles |= {label: handle for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), fontsize=7, frameon=False, markerscale=2, loc="outside right upper")
    return figure


def scatter(ax: Axes, x: np.ndarray, y: np.ndarray, **options: object) -> None:
    """Draw cells as points, without axes."""
    ax.scatter(x, y, s=3, linewidths=0, **options)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def over_genes(rows: pd.DataFrame, column: str, by: list[str]) -> pd.DataFrame:
    """Average a column over genes, with half of the 95 % interval from the deviation over genes; then over seeds."""
    groups = rows.groupby([*by, "seed"], sort=False)[column]
    of_seed = pd.DataFrame({"mean": groups.mean(), "half": 1.96 * groups.sem()})
    return of_seed.groupby(level=by, sort=False).mean().dropna(subset="mean").reset_index()


def dots(
    table: pd.DataFrame, lines: pd.DataFrame | None = None, row_height: float = 0.2, *, side_by_side: bool = False
) -> Figure:
    """Draw means as dots with error bars: a column of panels per pair, and a row of panels per metric.

    Parameters
    ----------
    table
        Columns `pair`, `metric` (label of the x axis), `row` (a line of dots), `series` (a marker; the first one is
        hollow), `method` (which has the color), `mean`, `half` (of the error bar).
    lines
        Vertical lines, one per pair, metric and method, with the columns `label` and `mean`.
    row_height
        Inches for a line of dots.
    side_by_side
        Put all panels into one row; all metrics have the same lines of dots.
    """
    pairs = sorted(table["pair"].unique(), key=ALL_PAIRS.index)
    rows = {metric: list(names.unique()) for metric, names in table.groupby("metric", sort=False)["row"]}
    series = list(table["series"].unique())
    heights = [len(names) * row_height + 0.6 for names in rows.values()][: 1 if side_by_side else None]
    n_columns = len(pairs) * len(rows) // len(heights)
    figure = Figure(figsize=(1.4 + 1.5 * n_columns, sum(heights) + 0.3), layout="constrained")
    grid = figure.subplots(len(heights), n_columns, squeeze=False, sharey="row", height_ratios=heights)
    for ax, (metric, pair) in zip(grid.flat, product(rows, pairs), strict=True):
        here = table[(table["pair"] == pair) & (table["metric"] == metric)]
        for name, of_series in here.groupby("series"):
            _dot(ax, of_series, rows[metric], series.index(name), len(series))
        if lines is not None:
            for _, line in lines[(lines["pair"] == pair) & (lines["metric"] == metric)].iterrows():
                ax.axvline(line["mean"], color=color(line["method"]), label=line["label"], linewidth=1, zorder=0)
        ax.set_xlabel(metric, fontsize=8)
        ax.set_title(SHORT.get(pair, pair) if ax in grid[0] else "", fontsize=8)
        ax.set_yticks(range(len(rows[metric])), rows[metric], fontsize=7)
        ax.set_ylim(len(rows[metric]) - 0.4, -0.6)
        ax.tick_params(axis="x", labelsize=7)
        ax.grid(axis="y", color="0.93", linewidth=0.5)
        ax.spines[["top", "right"]].set_visible(False)
    _legend(figure, grid, series)
    return figure


def _dot(ax: Axes, of_series: pd.DataFrame, rows: list[str], number: int, n_series: int) -> None:
    """Draw the dots of one series, a little above or below those of the others."""
    shift = 0.7 * ((number + 0.5) / n_series - 0.5)
    for _, row in of_series.iterrows():
        dot = color(row["method"])
        face = "w" if number == 0 and n_series > 1 else dot
        style = {"marker": MARKERS[number % len(MARKERS)], "color": dot, "markerfacecolor": face, "markersize": 3.5}
        ax.errorbar(row["mean"], rows.index(row["row"]) + shift, xerr=row["half"], elinewidth=0.8, **style)


def _legend(figure: Figure, grid: np.ndarray, series: list[str]) -> None:
    """Say which marker is which series, and what the lines are, above the panels."""
    handles = {}
    for ax in grid.flat:
        handles |= {label: handle for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    if len(series) > 1:
        for number, name in enumerate(series):
            face = "w" if number == 0 else "k"
            style = {"marker": MARKERS[number % len(MARKERS)], "markerfacecolor": face, "markersize": 4}
            handles[name] = Line2D([], [], color="k", linestyle="", **style)
    if handles:
        where = {"loc": "outside upper center", "ncols": 4}
        figure.legend(handles.values(), handles.keys(), fontsize=7, frameon=False, **where)

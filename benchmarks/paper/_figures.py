"""Colors and lines of the methods, the same in every figure."""

from __future__ import annotations

from collections.abc import Callable

import matplotlib.pyplot as plt
import numpy as np
from benchmarks.paper._predictions import CONTROL, MEASURED
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLORS = {
    MEASURED: "k",
    "paper": "#d95f02",
    "crossfit": "#1f5f8b",
    "kNN": "0.5",
    "SpaGE": "#5aae61",
    "stPlus": "#7b3294",
}
OTHER = "0.75"
LEGEND = 2.0  # inches
MAX_TYPES = 10  # that have a color of their own


def color(method: str) -> str:
    """Return the color of a method; a control has that of its recipe."""
    return COLORS.get(method.removesuffix(CONTROL), OTHER)


def line(method: str) -> dict[str, str | float]:
    """Return how the line of a method is drawn; controls are dotted."""
    return {"color": color(method), "linestyle": "-" if method in COLORS else ":", "linewidth": 1.5}


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

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from stimpute.tl._score import LOWER_IS_BETTER

from ._canvas import COLOURS, axes_for, finish, tidy_spines

Scores: TypeAlias = pd.DataFrame | Mapping[str, pd.DataFrame | pd.Series | Mapping[str, float]]


def accuracy(
    scores: Scores,
    metrics: str | Sequence[str] = "pcc",
    *,
    baseline: str | None = None,
    figsize: tuple[float, float] | None = None,
    ax: Axes | Sequence[Axes] | None = None,
    save: str | Path | None = None,
    return_ax: bool = False,
) -> list[Axes] | Axes | None:
    """Compare methods gene by gene: a panel for each metric, a row of points (genes) for each method, best on top.

    Parameters
    ----------
    scores
        A table with columns ``method``, ``gene``, ``metric`` and ``value``, or one such table for each method, as
        :func:`stimpute.tl.score` returns them; or for each method the values of one metric by gene.
    metrics
        Which metrics.
    baseline
        Draw differences from this method, gene by gene, and on how many genes a method beats it.
    figsize
        Size of a new figure, in inches.
    ax
        As many axes as there are metrics.
    save
        File to save the figure to.
    return_ax
        Return the axes.

    Returns
    -------
    The axes, if ``return_ax``.

    Raises
    ------
    KeyError
        If a metric, a method or a column is missing.
    """
    metrics = [metrics] if isinstance(metrics, str) else list(metrics)
    table = _tidy(scores, metrics[0])
    missing = [m for m in metrics if m not in set(table["metric"])]
    if missing:
        raise KeyError(f"metrics={missing} are not in scores, found {sorted(set(table['metric']))}.")
    methods = list(table["method"].unique())
    if baseline is not None and baseline not in methods:
        raise KeyError(f"baseline={baseline!r} is not in scores, found {methods}.")
    axes = axes_for(len(metrics), ax, figsize or (4.8 * len(metrics), 1.2 + 0.45 * len(methods)))
    for axis, metric in zip(axes, metrics, strict=True):
        chosen = table[table["metric"] == metric].pivot(index="gene", columns="method", values="value")
        _draw(chosen[methods], metric, baseline, axis)
    return finish(axes, save, return_ax)


def _tidy(scores: Scores, metric: str) -> pd.DataFrame:
    if not isinstance(scores, pd.DataFrame):
        parts = [
            (values if isinstance(values, pd.DataFrame) else _one_metric(pd.Series(values), metric)).assign(method=name)
            for name, values in scores.items()
        ]
        scores = pd.concat(parts, ignore_index=True)
    missing = {"method", "gene", "metric", "value"} - set(scores)
    if missing:
        raise KeyError(
            f"scores lacks {sorted(missing)}, found {list(scores)}: expected what stimpute.tl.score returns."
        )
    return scores


def _one_metric(values: pd.Series, metric: str) -> pd.DataFrame:
    return pd.DataFrame({"gene": values.index.astype(str), "metric": metric, "value": values.to_numpy(float)})


def _draw(table: pd.DataFrame, metric: str, baseline: str | None, ax: Axes) -> None:
    sign = -1 if metric in LOWER_IS_BETTER else 1
    order = list((sign * table.mean()).sort_values().index)
    shown = table if baseline is None else table.drop(columns=baseline).sub(table[baseline], axis=0)
    order = [m for m in order if m in shown]
    for place, method in enumerate(order):
        values = shown[method].dropna().to_numpy()
        height = place + 0.5 * ((np.argsort(np.argsort(values)) * 0.618) % 1 - 0.5)
        ax.plot(values, height, "o", color=COLOURS[0], markersize=3, alpha=0.5, markeredgewidth=0)
        ax.vlines(values.mean(), place - 0.32, place + 0.32, color=COLOURS[1], linewidth=2.5)
        note = f"{values.mean():.3f}" if baseline is None else f"{(sign * values > 0).sum()} of {len(values)} better"
        ax.annotate(note, (1.02, place), xycoords=("axes fraction", "data"), va="center", fontsize="small")
    if baseline is not None:
        ax.axvline(0, color="black", linewidth=0.8, zorder=0)
        ax.spines["left"].set_visible(False)
    better = "lower" if sign < 0 else "higher"
    ax.set_yticks(range(len(order)), order)
    ax.set_ylim(-0.6, len(order) - 0.4)
    ax.set_xlabel(f"{metric}, {better} is better" if baseline is None else f"{metric} minus that of {baseline}")
    ax.set_title(f"{metric} of {len(table)} genes", fontsize="medium")
    tidy_spines(ax)

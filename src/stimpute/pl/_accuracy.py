"""Plot the accuracy of methods, gene by gene."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias, Unpack

import anndata as ad
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.layout_engine import ConstrainedLayoutEngine

from stimpute._messages import missing_key
from stimpute.pl._figure import COLORS, FigureOptions, axes_for, hide_spines, literal, plot
from stimpute.pl._measured_pair import measured_pair
from stimpute.tl import LOWER_IS_BETTER, MODEL_NAME, CrossValidation, score

ScoresByMethod: TypeAlias = Mapping[str, pd.DataFrame | pd.Series | Mapping[str, float]]
Scores: TypeAlias = CrossValidation | ad.AnnData | pd.DataFrame | ScoresByMethod

# Multiples of the golden ratio spread points evenly, also those of neighboring ranks.
GOLDEN_RATIO = 0.618
IN_WORDS = {
    "pcc": "Pearson correlation (pcc)",
    "spearman": "Spearman correlation",
    "css": "cosine similarity (css)",
    "mse": "mean squared error (mse)",
    "ssim": "structural similarity (ssim)",
    "rmse_z": "RMSE of z-scores (rmse_z)",
    "js": "Jensen-Shannon divergence (js)",
}
PANEL_PAD = 0.15  # inches between the numbers of a panel and the names of the next


@plot
def accuracy(
    scores: Scores,
    metrics: str | Sequence[str] = "pcc",
    *,
    baseline: str | None = None,
    spatial: ad.AnnData | None = None,
    **figure: Unpack[FigureOptions],
) -> list[Axes]:
    """Plot the accuracy of every gene: one panel per metric, one row of points per method, the best method on top.

    Parameters
    ----------
    scores
        Result of :func:`stimpute.tl.cross_validate`; or of `model.impute` for measured genes, with `spatial`; or a
        table with columns `method`, `gene`, `metric` and `value`; or a mapping from methods to tables of
        :func:`stimpute.tl.score`, or to the values of one metric by gene.
    metrics
        One or more metrics to show.
    baseline
        Method to compare with: draw the difference from it, gene by gene, and count the genes on which the other
        method is better.
    spatial
        Spatial data that measured the genes; for a result of `model.impute`, which predicts measured genes as if they
        had not been measured.

    Raises
    ------
    KeyError
        If a metric, a method or a column is missing.
    ValueError
        If no metric is named, or `spatial` measured no gene of the result.
    TypeError
        If a result of `model.impute` comes without `spatial`.

    Examples
    --------
    >>> result = stimpute.tl.cross_validate(spatial, reference)
    >>> stimpute.pl.accuracy(result, ["pcc", "mse"])
    >>> stimpute.pl.accuracy(result, baseline="kNN")
    """
    metrics = [metrics] if isinstance(metrics, str) else list(metrics)
    if not metrics:
        raise ValueError("`metrics` is empty; name one or more metrics.")
    if isinstance(scores, ad.AnnData):
        measured, predicted = measured_pair(scores, spatial)
        scores = {MODEL_NAME: score(measured, predicted, metrics=metrics)}
    table = _tidy(scores, metrics[0])
    for metric in metrics:
        if metric not in set(table["metric"]):
            raise missing_key(metric, "scores['metric']", table["metric"].unique())
    methods = list(table["method"].unique())
    if baseline is not None and baseline not in methods:
        raise missing_key(baseline, "scores['method']", methods, "Name one of these methods by `baseline=`.")
    axes = axes_for(len(metrics), figure, size=(4.8 * len(metrics), 1.2 + 0.45 * len(methods)))
    parent = axes[0].get_figure()
    engine = None if parent is None else parent.get_layout_engine()
    if isinstance(engine, ConstrainedLayoutEngine):
        engine.set(w_pad=PANEL_PAD)
    for ax, metric in zip(axes, metrics, strict=True):
        values = table[table["metric"] == metric].pivot(index="gene", columns="method", values="value")
        _draw(values[methods], metric, baseline, ax)
    return axes


def _tidy(scores: Scores, metric: str) -> pd.DataFrame:
    """Return a table with columns method, gene, metric and value."""
    if isinstance(scores, pd.DataFrame):
        table = scores
    elif isinstance(scores, Mapping):
        tables = [_of_one_method(method, values, metric) for method, values in scores.items()]
        table = pd.concat(tables, ignore_index=True)
    else:
        table = scores.genes
    missing = {"method", "gene", "metric", "value"} - set(table)
    if missing:
        raise KeyError(
            f"`scores` lacks the columns {sorted(missing)}; it has {list(table)}. Pass what `stimpute.tl.score` "
            "returned for each method, or a cross-validation."
        )
    return table


def _of_one_method(method: str, values: pd.DataFrame | pd.Series | Mapping[str, float], metric: str) -> pd.DataFrame:
    if not isinstance(values, pd.DataFrame):
        series = pd.Series(values)
        genes = series.index.astype(str)
        values = pd.DataFrame({"gene": genes, "metric": metric, "value": series.to_numpy(float)})
    return values.assign(method=method)


def _draw(values: pd.DataFrame, metric: str, baseline: str | None, ax: Axes) -> None:
    """Draw one metric; `values` has genes in rows and methods in columns."""
    sign = -1 if metric in LOWER_IS_BETTER else 1
    methods = list((sign * values.mean()).sort_values().index)
    if baseline is not None:
        methods.remove(baseline)
        values = values.sub(values[baseline], axis=0)
    for row, method in enumerate(methods):
        shown = values[method].dropna().to_numpy()
        rank = np.argsort(np.argsort(shown))
        jitter = 0.5 * (rank * GOLDEN_RATIO % 1 - 0.5)
        ax.plot(shown, row + jitter, "o", color=COLORS[0], markersize=3, alpha=0.5, markeredgewidth=0)
        ax.vlines(shown.mean(), row - 0.32, row + 0.32, color=COLORS[1], linewidth=2.5)
        note = f"{shown.mean():.3f}"
        if baseline is not None:
            note = f"{(sign * shown > 0).sum()} of {len(shown)} better"
        ax.annotate(note, (1.02, row), xycoords=("axes fraction", "data"), va="center", fontsize="small")
    if baseline is None:
        direction = "lower" if sign < 0 else "higher"
        ax.set_xlabel(f"{IN_WORDS.get(metric, metric)},\n{direction} is better")
    else:
        ax.set_xlabel(literal(f"{metric} minus that of {baseline}"))
        ax.axvline(0, color="black", linewidth=0.8, zorder=0)
        ax.spines["left"].set_visible(False)
    ax.set_yticks(range(len(methods)), [literal(method) for method in methods])
    ax.set_ylim(-0.6, len(methods) - 0.4)
    ax.set_title(f"{metric} of {len(values)} genes, bar: mean", fontsize="medium")
    hide_spines(ax)

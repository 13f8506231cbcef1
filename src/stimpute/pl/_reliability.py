"""Plot the predicted reliability of genes."""

from __future__ import annotations

from typing import Unpack

import anndata as ad
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy.stats import spearmanr

from stimpute._messages import missing_key
from stimpute.data._annotations import in_memory
from stimpute.pl._figure import COLORS, LIGHT_GREY, FigureOptions, axes_for, hide_spines, literal, plot
from stimpute.tl import MODEL_NAME, CrossValidation

MAX_NAMED_GENES = 60  # the names of more genes would overlap
MIN_GENES_TO_COMPARE = 3


@plot
def reliability(
    imputed: ad.AnnData | CrossValidation | pd.DataFrame,
    *,
    observed: str | None = None,
    **figure: Unpack[FigureOptions],
) -> list[Axes]:
    """Plot the predicted reliability of genes by rank and, where the accuracy is known, compare the two.

    Parameters
    ----------
    imputed
        Result of `model.impute`; or of :func:`stimpute.tl.cross_validate`; or a table with genes in rows and a column
        `reliability`. If there is a column `measured`, measured genes have another color than unmeasured ones.
    observed
        Metric with the observed accuracy: of a cross-validation, any of its metrics; else a column of the table. Where
        it exists, a second panel compares it with the reliability. If None, the metric that the reliability of the
        recipe predicts.

    Raises
    ------
    KeyError
        If there is no column `reliability`, or a cross-validation lacks the metric.

    Examples
    --------
    >>> stimpute.pl.reliability(model.gene_reliability())
    """
    table, predicted, observed = _read(imputed, observed)
    if "reliability" not in table:
        raise missing_key("reliability", "imputed.var", table.columns, "Pass what `model.impute` returned.")
    label = "reliability" if predicted is None else f"reliability (predicted {predicted.upper()})"
    ranked = table.sort_values("reliability", ascending=False, kind="stable")
    compared = table.iloc[:0]
    if observed in table:
        compared = table.dropna(subset=["reliability", observed])
    # Few genes get a wide panel, in which their names can be read.
    width = float(np.clip(0.16 * len(table), 4, 8)) if len(table) <= MAX_NAMED_GENES else 5.0
    widths = [width, 3.8] if len(compared) >= MIN_GENES_TO_COMPARE else [width]
    axes = axes_for(len(widths), figure, size=(sum(widths), 3.6), width_ratios=widths)
    _draw_ranks(ranked, label, axes[0])
    if len(axes) > 1:
        draw_comparison(compared, observed, label, axes[1])
    return axes


def _read(
    imputed: ad.AnnData | CrossValidation | pd.DataFrame, observed: str | None
) -> tuple[pd.DataFrame, str | None, str]:
    """Return a table of genes, the metric that the reliability predicts if it is known, and the observed metric."""
    if not isinstance(imputed, CrossValidation):
        is_table = isinstance(imputed, pd.DataFrame)
        metric = (imputed.attrs if is_table else imputed.uns.get("stimpute", {})).get("reliability_metric")
        return imputed if is_table else in_memory(imputed.var), metric, observed or metric or "pcc"
    metric = imputed.settings.reliability_metric
    observed = observed or metric
    scores = imputed.genes[imputed.genes["method"] == MODEL_NAME]
    if observed not in set(scores["metric"]):
        raise missing_key(observed, "validation.genes['metric']", scores["metric"].unique())
    values = scores[scores["metric"] == observed].set_index("gene")["value"]
    genes = imputed.predicted.var
    return genes.assign(**{observed: values.reindex(genes.index)}), metric, observed


def _draw_ranks(ranked: pd.DataFrame, ylabel: str, ax: Axes) -> None:
    n_genes = len(ranked)
    rank = np.arange(n_genes)
    values = ranked["reliability"].to_numpy(float)
    is_measured = np.ones(n_genes, bool)  # one color for all genes if this is not recorded
    if "measured" in ranked:
        is_measured = ranked["measured"].to_numpy(bool)
    marker_size = 4 if n_genes <= MAX_NAMED_GENES else 2
    # Measured genes are usually fewer, so they are drawn on top.
    groups = {"measured": (is_measured, COLORS[0], 3), "not measured": (~is_measured, COLORS[1], 2)}
    for name, (group, color, zorder) in groups.items():
        if group.any():
            label = f"{name} ({group.sum()})"
            ax.plot(rank[group], values[group], "o", markersize=marker_size, color=color, zorder=zorder, label=label)
    if n_genes <= MAX_NAMED_GENES:
        ax.set_xticks(rank, [literal(gene) for gene in ranked.index], rotation=90, fontsize="x-small")
        ax.vlines(rank, 0, values, color=LIGHT_GREY, linewidth=0.8, zorder=0)
    else:
        ax.set_xlabel("genes, by rank")
        ax.locator_params(axis="x", integer=True, nbins=5)
        ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.axhline(0, color="black", linewidth=0.6)
    ax.set(ylabel=ylabel, title="Reliability of each gene")
    if "measured" in ranked:
        ax.legend(frameon=False)
    hide_spines(ax)


def draw_comparison(genes: pd.DataFrame, observed: str, label: str, ax: Axes) -> None:
    """Draw the observed accuracy, a column of the genes, against the reliability; `label` is that of the latter."""
    x = genes["reliability"].to_numpy(float)
    y = genes[observed].to_numpy(float)
    low = min(x.min(), y.min(), 0)
    high = 1.05 * max(x.max(), y.max())
    ax.plot([low, high], [low, high], "--", color=LIGHT_GREY, zorder=0)
    ax.plot(x, y, "o", color=COLORS[0], markersize=4, alpha=0.7)
    title = f"{len(x)} genes"
    if np.ptp(x) > 0 and np.ptp(y) > 0:
        title = f"Spearman {spearmanr(x, y).statistic:.2f}, {title}"
    ax.set(xlabel=label, ylabel=f"observed {observed.upper()}", title=title, aspect="equal")
    hide_spines(ax)

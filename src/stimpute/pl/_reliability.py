from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy.stats import spearmanr

from ._canvas import COLOURS, QUIET, axes_for, finish, tidy_spines

MANY = 60  # genes; above, names are left out


def reliability(
    genes: ad.AnnData | pd.DataFrame,
    *,
    reached: str = "pcc",
    figsize: tuple[float, float] | None = None,
    ax: Axes | Sequence[Axes] | None = None,
    save: str | Path | None = None,
    return_ax: bool = False,
) -> list[Axes] | Axes | None:
    """Draw the predicted reliability of genes, ranked, and how well it was calibrated where the truth is known.

    Parameters
    ----------
    genes
        What ``model.impute`` returns, or a table with genes in rows and a column ``reliability``: the predicted
        accuracy. A column ``measured`` tells measured genes from new ones.
    reached
        Column with the accuracy that was reached while the gene was hidden; where it is there, a second panel compares
        it with the reliability. ``"css"`` for ``recipe="paper"``, which predicts the cosine similarity.
    figsize
        Size of a new figure, in inches.
    ax
        One axes, or two where the column ``reached`` is there.
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
        If there is no column ``reliability``.
    """
    about = genes.uns.get("stimpute", {}) if isinstance(genes, ad.AnnData) else {}
    label = f"reliability ({about.get('reliability', f'predicted {reached.upper()}')})"
    table = genes.var if isinstance(genes, ad.AnnData) else genes
    if "reliability" not in table:
        raise KeyError(f"Found columns {list(table)}: expected 'reliability'; pass what model.impute returned.")
    calibrated = reached in table and table[["reliability", reached]].notna().all(axis=1).sum() > 2
    n = 2 if calibrated else 1
    ranked = table.sort_values("reliability", ascending=False, kind="stable")
    width = float(np.clip(0.16 * len(ranked), 4, 8)) if len(ranked) <= MANY else 5.0
    axes = axes_for(n, ax, figsize or (width + 3.8 * (n - 1), 3.6), width_ratios=[width, 3.8][:n])
    _rank(ranked, label, axes[0])
    if calibrated:
        _calibration(table.dropna(subset=["reliability", reached]), reached, label, axes[1])
    return finish(axes, save, return_ax)


def _rank(ranked: pd.DataFrame, label: str, ax: Axes) -> None:
    place = np.arange(len(ranked))
    measured = ranked["measured"].to_numpy(bool) if "measured" in ranked else np.zeros(len(ranked), bool)
    for group, colour, name in ((measured, COLOURS[0], "measured"), (~measured, COLOURS[1], "not measured")):
        if group.any():
            values, size = ranked["reliability"].to_numpy()[group], 4 if len(ranked) <= MANY else 2
            ax.plot(place[group], values, "o", markersize=size, color=colour, label=f"{name} ({group.sum()})")
    if len(ranked) <= MANY:
        ax.set_xticks(place, ranked.index, rotation=90, fontsize="x-small")
        ax.vlines(place, 0, ranked["reliability"], color=QUIET, linewidth=0.8, zorder=0)
    else:
        ax.set_xlabel("genes, by rank")
    ax.axhline(0, color="black", linewidth=0.6)
    ax.set(ylabel=label, title="Reliability of each gene")
    if "measured" in ranked:
        ax.legend(frameon=False)
    tidy_spines(ax)


def _calibration(table: pd.DataFrame, reached: str, label: str, ax: Axes) -> None:
    x, y = table["reliability"].to_numpy(float), table[reached].to_numpy(float)
    ax.plot(x, y, "o", color=COLOURS[0], markersize=4, alpha=0.7)
    low, high = min(x.min(), y.min(), 0), max(x.max(), y.max()) * 1.05
    ax.plot([low, high], [low, high], "--", color=QUIET, zorder=0)
    varies = np.ptp(x) > 0 and np.ptp(y) > 0
    rank = spearmanr(x, y).statistic if varies else 0.0
    ax.set(
        xlabel=label,
        ylabel=f"{reached.upper()} while hidden",
        title=f"Spearman {rank:.2f}, {len(x)} genes",
        aspect="equal",
    )
    tidy_spines(ax)

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from stimpute.tl.metrics._profiles import Matrix

from ._canvas import COLOURS, QUIET, axes_for, finish, tidy_spines


def intervals(
    truth: Matrix,
    lower: Matrix,
    upper: Matrix,
    *,
    level: float = 0.9,
    n_groups: int = 5,
    figsize: tuple[float, float] | None = None,
    ax: Axes | Sequence[Axes] | None = None,
    save: str | Path | None = None,
    return_ax: bool = False,
) -> list[Axes] | Axes | None:
    """Draw the share of values within their interval, and the intervals' width, by how much genes are expressed.

    Parameters
    ----------
    truth, lower, upper
        Measured expression of genes that were hidden, and their interval [cells, genes], on one scale.
    level
        Coverage that was asked for.
    n_groups
        Groups of genes, of equal size, by mean expression.
    figsize
        Size of a new figure, in inches.
    ax
        Two axes: coverage, width.
    save
        File to save the figure to.
    return_ax
        Return the axes.

    Returns
    -------
    The two axes, if ``return_ax``.

    Raises
    ------
    ValueError
        If the shapes differ or the level is not between 0 and 1.
    """
    values, low, high = (np.asarray(m.toarray() if hasattr(m, "toarray") else m) for m in (truth, lower, upper))
    if not values.shape == low.shape == high.shape or values.ndim != 2:
        raise ValueError(f"Shapes {values.shape}, {low.shape}, {high.shape}: expected three equal [cells, genes].")
    if not 0 < level < 1:
        raise ValueError(f"level={level}: expected a share between 0 and 1, as given to model.impute(interval=...).")
    genes = pd.DataFrame({"coverage": ((low <= values) & (values <= high)).mean(axis=0)})
    genes["width"], genes["mean"] = (high - low).mean(axis=0), values.mean(axis=0)
    order = genes["mean"].rank(method="first") - 1
    genes["group"] = (order * min(n_groups, len(genes)) // len(genes)).astype(int)

    axes = axes_for(2, ax, figsize or (8, 3.4))
    for axis, column in zip(axes, ("coverage", "width"), strict=True):
        _by_group(genes, column, axis)
    axes[0].axhline(level, color=COLOURS[1], linestyle="--", label=f"asked for, {level:.0%}")
    axes[0].set(title=f"Coverage, {genes['coverage'].mean():.1%} overall", ylabel="share of values inside")
    axes[0].set_ylim(top=1.02)
    axes[0].legend(frameon=False, loc="lower right")
    axes[1].set(title="Width", ylabel="mean width (log-normalised)")
    axes[1].set_ylim(bottom=0)
    return finish(axes, save, return_ax)


def _by_group(genes: pd.DataFrame, column: str, ax: Axes) -> None:
    """A dot for each gene, a bar for the mean of its group."""
    groups = genes.groupby("group")
    sizes = groups["group"].transform("size").to_numpy()
    spread = (groups.cumcount().to_numpy() + 0.5) / sizes - 0.5
    ax.plot(genes["group"] + 0.6 * spread, genes[column], "o", color=QUIET, markersize=3)
    means = groups[column].mean()
    ax.hlines(means, means.index - 0.35, means.index + 0.35, color=COLOURS[0], linewidth=2.5)
    labels = [f"{g['mean'].min():.2g} to\n{g['mean'].max():.2g}" for _, g in groups]
    ax.set_xticks(range(len(labels)), labels, fontsize="small")
    ax.set_xlabel("mean expression of the genes")
    tidy_spines(ax)

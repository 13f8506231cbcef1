from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ._canvas import COLOURS, axes_for, finish, tidy_spines

PHASE_FIRST = re.compile(r"(?:(?P<phase>.+?)_)?(?P<part>train|validation)_(?P<what>.+)")  # gene_graph_train_loss
PART_LAST = re.compile(r"(?P<phase>)(?P<what>.+)_(?P<part>train|validation)")  # elbo_train


def history(
    model: Any,
    *,
    ncols: int = 3,
    figsize: tuple[float, float] | None = None,
    ax: Axes | Sequence[Axes] | None = None,
    save: str | Path | None = None,
    return_ax: bool = False,
) -> list[Axes] | Axes | None:
    """Draw what was logged in training: a panel for each phase and quantity, training and validation together.

    Parameters
    ----------
    model
        A trained model, or its ``history``: a mapping from names such as ``"gene_graph_train_loss"`` to tables with
        one row an epoch.
    ncols
        Panels in a row.
    figsize
        Size of a new figure, in inches.
    ax
        As many axes as there are panels.
    save
        File to save the figure to.
    return_ax
        Return the axes.

    Returns
    -------
    The axes, if ``return_ax``.

    Raises
    ------
    ValueError
        If nothing was logged.
    """
    logged: Mapping[str, pd.DataFrame] = (model if isinstance(model, Mapping) else model.history) or {}
    panels: dict[str, dict[str, pd.Series]] = {}
    for key, table in logged.items():
        found = PHASE_FIRST.fullmatch(key) or PART_LAST.fullmatch(key)
        title, line = (_title(found["phase"], found["what"]), found["part"]) if found else (_title(None, key), "train")
        values = pd.to_numeric(pd.Series(np.ravel(table), index=table.index)).dropna()
        if len(values):
            panels.setdefault(title, {})[line] = values
    if not panels:
        raise ValueError("The history is empty: call model.train() first.")

    if ax is None:
        ncols = min(ncols, len(panels))
        nrows = -(-len(panels) // ncols)
        axes = axes_for(len(panels), None, figsize or (3.4 * ncols, 2.8 * nrows), nrows=nrows, ncols=ncols)
    else:
        axes = axes_for(len(panels), ax, (0, 0))
    for axis, (title, lines) in zip(axes, panels.items(), strict=False):
        _draw(title, lines, axis)
    for spare in axes[len(panels) :]:
        spare.remove()
    return finish(axes[: len(panels)], save, return_ax)


def _title(phase: str | None, what: str) -> str:
    words = [w.replace("_", " ") for w in (phase, what) if w]
    return ": ".join(words)


def _draw(title: str, lines: dict[str, pd.Series], ax: Axes) -> None:
    for label, values in sorted(lines.items()):
        colour = COLOURS[label == "validation"]
        marker = "o" if len(values) < 3 else None
        ax.plot(values.index.to_numpy(float), values, color=colour, label=label, marker=marker)
    ax.set_title(title, fontsize="medium")
    ax.set_xlabel("epoch")
    ax.locator_params(axis="x", integer=True, nbins=5)
    if "validation" in lines:
        ax.legend(frameon=False)
    tidy_spines(ax)

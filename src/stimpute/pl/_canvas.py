"""What the pictures share: axes to draw on, colours, and the end of a plot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart by colour-blind readers as well.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F", "#F0E442")
QUIET = "#BFBFBF"


def axes_for(n: int, ax: Axes | Sequence[Axes] | None, figsize: tuple[float, float], **grid: Any) -> list[Axes]:
    """The ``n`` axes that the caller gave, or those of a new figure, one row by default.

    Raises
    ------
    ValueError
        If the caller gave another number of axes.
    """
    if ax is not None:
        given = list(np.ravel(np.asarray(ax, dtype=object)))
        if len(given) != n:
            raise ValueError(f"ax holds {len(given)} axes: expected {n}, or None for a new figure.")
        return given
    shape = {"nrows": 1, "ncols": n} | grid
    _, axes = plt.subplots(**shape, figsize=figsize, layout="constrained", squeeze=False)
    return list(axes.ravel())


def finish(axes: Sequence[Axes], save: str | Path | None, return_ax: bool) -> Axes | list[Axes] | None:
    """Save the figure where asked, and return the axes where asked: one as itself, several as a list."""
    figure = axes[0].get_figure()
    if save is not None and isinstance(figure, Figure):
        figure.savefig(save, bbox_inches="tight", dpi=200)
    if not return_ax:
        return None
    return axes[0] if len(axes) == 1 else list(axes)


def tidy_spines(ax: Axes) -> None:
    """Leave the two spines that carry values."""
    ax.spines[["top", "right"]].set_visible(False)

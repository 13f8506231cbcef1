"""Plot the losses and correlations of a training."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeAlias, Unpack

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from stimpute._messages import check_count
from stimpute.model import StImputeModel
from stimpute.pl._figure import COLORS, FigureOptions, axes_for, hide_spines, plot
from stimpute.train._trainer import UNTRAINED

Curves: TypeAlias = dict[tuple[str, str], dict[str, pd.Series]]

LOSS = re.compile(r"(?P<phase>.+)_(train|validation)_loss")
TRAINING = "training"
VALIDATION = "validation"
HELD_OUT = "held-out genes"
LINE_COLORS = {TRAINING: COLORS[0], HELD_OUT: COLORS[1], VALIDATION: COLORS[2], f"{HELD_OUT}, validation": COLORS[3]}
DIRECTIONS = {"loss": ", lower is better", "correlation": ", higher is better"}
SMOOTHED_SHARE = 0.25  # share of the epochs over which a line is averaged
GREY = COLORS[6]
LEGEND_LINE = 13  # height of a line of the legend, in points
MIN_EPOCHS = 3  # fewer make no visible line, and no trend


@plot
def history(
    model: StImputeModel | Mapping[str, pd.DataFrame],
    *,
    ncols: int = 3,
    **figure: Unpack[FigureOptions],
) -> list[Axes]:
    """Plot the losses and correlations of a training: one panel per phase and quantity.

    A line is the average over a quarter of the epochs; a faint line shows the values of single epochs, which differ
    because every epoch masks other genes. The dotted line is the value of the untrained network over a fifth of all
    batches: training helps if a loss ends below it and a correlation above it. The legend gives that value and the end
    of the line. Validation, and a history without such values, has the start of the line in its place.

    Parameters
    ----------
    model
        Trained model; or its `history`, a mapping from names such as `"autoencoder_train_loss"` to tables with one row
        per epoch.
    ncols
        Number of panels per row.

    Raises
    ------
    ValueError
        If there is no history.

    Examples
    --------
    >>> stimpute.pl.history(model)
    """
    check_count(1, ncols=ncols)
    logged = model if isinstance(model, Mapping) else model.history
    curves = _read(logged or {})
    if not curves:
        raise ValueError("The history is empty; call `model.train()` first.")
    ncols = min(ncols, len(curves))
    positions = [divmod(i, ncols) for i in range(len(curves))]
    n_rows = 1 + positions[-1][0]
    axes = axes_for(positions, figure, size=(4.0 * ncols, 3.2 * n_rows))
    pad = 8 + LEGEND_LINE * (1 + max(len(lines) for lines in curves.values()))  # and the line before training
    for ax, ((phase, quantity), lines) in zip(axes, curves.items(), strict=True):
        _draw(lines, ax)
        ax.set_title(phase, fontsize="medium", pad=pad)
        ax.set_ylabel(f"{quantity}{DIRECTIONS.get(quantity, '')}")
    return axes


def _read(logged: Mapping[str, pd.DataFrame]) -> Curves:
    """Group the logged values by phase and quantity; the lines of a group are shown together."""
    losses = [LOSS.fullmatch(key) for key in logged]
    phases = {match["phase"] for match in losses if match}
    curves: Curves = {}
    for key, table in logged.items():
        values = pd.to_numeric(pd.Series(np.ravel(table), index=table.index)).dropna()
        values.attrs = dict(table.attrs)
        if len(values):
            phase, quantity, line = _parse(key, phases)
            curves.setdefault((phase, quantity), {})[line] = values
    return curves


def _parse(key: str, phases: set[str]) -> tuple[str, str, str]:
    """Split a name such as `autoencoder_held_out_correlation_train` into phase, quantity and line."""
    owners = [phase for phase in phases if key.startswith(f"{phase}_")]
    owner = max(owners, key=len, default="")
    words = key.removeprefix(f"{owner}_").split("_")
    line = TRAINING
    for part, label in (("train", TRAINING), ("validation", VALIDATION)):
        if part in words:
            words.remove(part)
            line = label
    quantity = " ".join(words)
    if quantity.startswith("held out "):
        quantity = quantity.removeprefix("held out ")
        line = HELD_OUT if line == TRAINING else f"{HELD_OUT}, {line}"
    phase = owner.replace("_", " ").capitalize() or "Training"
    return phase, quantity, line


def _three_digits(value: float) -> str:
    """Write a number with three significant digits, zeros too."""
    return f"{value:#.3g}".rstrip(".")


def _draw(lines: dict[str, pd.Series], ax: Axes) -> None:
    for name, values in sorted(lines.items(), key=lambda item: list(LINE_COLORS).index(item[0])):
        color = LINE_COLORS[name]
        window = max(1, round(SMOOTHED_SHARE * len(values)))
        smoothed = values.rolling(window, center=True, min_periods=1).mean()
        marker = "o" if len(values) < MIN_EPOCHS else None
        label = name
        if len(values) >= MIN_EPOCHS:
            start = values.attrs.get(UNTRAINED, smoothed.iloc[0])
            label = f"{name}, {_three_digits(start)} → {_three_digits(smoothed.iloc[-1])}"
            ax.axhline(start, color=color, linestyle=":", linewidth=1, zorder=1)
        ax.plot(values.index.to_numpy(float), smoothed, color=color, label=label, marker=marker)
        if window > 1:
            ax.plot(values.index.to_numpy(float), values, color=color, alpha=0.25, linewidth=0.8, zorder=1)
    ax.set_xlabel("epoch")
    ax.locator_params(axis="x", integer=True, nbins=5)
    handles, labels = ax.get_legend_handles_labels()
    if any(len(values) >= MIN_EPOCHS for values in lines.values()):
        is_untrained = any(UNTRAINED in values.attrs for values in lines.values())
        handles.append(Line2D([], [], color=GREY, linestyle=":", linewidth=1))
        labels.append("before training" if is_untrained else "start")
    # Above the panel, where the legend hides no line.
    ax.legend(handles, labels, frameon=False, fontsize="small", loc="lower left", bbox_to_anchor=(0, 1), borderpad=0)
    hide_spines(ax)

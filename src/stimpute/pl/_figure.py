"""Create, save and return figures: the arguments that all plots share."""

from __future__ import annotations

import functools
import inspect
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ParamSpec, TypeAlias, TypedDict, get_type_hints

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from stimpute._arguments import check_arguments

P = ParamSpec("P")

# An array of axes, or None. With `Any`, users of type checkers need not test for None after `return_ax=True`.
Drawn: TypeAlias = np.ndarray | Any

# The palette of Okabe and Ito, which color-blind readers can tell apart.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F", "#F0E442")
LIGHT_GREY = "#BFBFBF"
SAVED_DPI = 200
MAX_TITLE = 32  # letters in a line of a title


class FigureOptions(TypedDict, total=False):
    """Keyword arguments of every plot."""

    figsize: tuple[float, float] | None
    ax: Axes | Sequence[Axes] | np.ndarray | None
    save: str | Path | None
    return_ax: bool
    show: bool | None


DEFAULTS = {"figsize": None, "ax": None, "save": None, "return_ax": False, "show": None}
DOCUMENTATION = """\
figsize
    Width and height of a new figure, in inches.
ax
    Axes to draw on, one per panel. If None, a new figure is created.
save
    File to save the figure to.
return_ax
    Whether to return the axes.
show
    If True, show the figure now. If False, return the axes, as in scanpy.

Returns
-------
The axes, an array of shape (n_panels,), if `return_ax` is True or `show` is False; else None.
"""


def plot(draw: Callable[P, list[Axes]]) -> Callable[P, Drawn]:
    """Add the keyword arguments of :class:`FigureOptions`, and their documentation, to a plotting function.

    Parameters
    ----------
    draw
        Function that draws on axes from :func:`axes_for` and returns them. It declares
        `**figure: Unpack[FigureOptions]`, which type checkers read, and passes it on to :func:`axes_for`.

    Returns
    -------
    The function, which now also saves the figure and returns the axes, if asked to.
    """
    signature = _public_signature(draw)
    # Documentation tools look at the undecorated function as well.
    draw.__signature__ = signature  # type: ignore[attr-defined]
    draw.__annotations__ = {name: p.annotation for name, p in signature.parameters.items()}
    draw.__annotations__["return"] = signature.return_annotation
    draw.__doc__ = _add_documentation(draw.__doc__ or "")

    @functools.wraps(draw)
    def plot_function(*args: P.args, **kwargs: P.kwargs) -> Drawn:
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError as error:  # a misspelled argument, which `**figure` alone would accept
            raise TypeError(f"{draw.__name__}(): {error}") from None
        check_arguments(plot_function, given)
        if kwargs.get("ax") is not None:
            _given_axes(kwargs["ax"])  # before anything is computed
        save: Any = kwargs.pop("save", None)
        show: Any = kwargs.pop("show", None)
        return_ax = kwargs.pop("return_ax", False) or show is False
        axes = draw(*args, **kwargs)
        figure = axes[0].get_figure()
        if save is not None and figure is not None:
            # The canvas of a subfigure belongs to the whole figure.
            figure.canvas.figure.savefig(save, bbox_inches="tight", dpi=SAVED_DPI)
        if show:
            plt.show()
        return np.array(axes, dtype=object) if return_ax else None

    return plot_function


def axes_for(
    positions: int | Sequence[tuple[int, int]],
    options: FigureOptions,
    size: tuple[float, float],
    **gridspec: Any,
) -> list[Axes]:
    """Return the axes that the user gave, or those of a new figure.

    Parameters
    ----------
    positions
        Row and column of each panel in a new figure; an integer is the number of panels in one row.
    options
        Keyword arguments of the plot; `ax` and `figsize` are read.
    size
        Width and height of a new figure in inches, if the user gave no `figsize`.
    gridspec
        More arguments of :class:`matplotlib.gridspec.GridSpec`.

    Returns
    -------
    One axes per panel.

    Raises
    ------
    ValueError
        If the user gave another number of axes.
    """
    if isinstance(positions, int):
        positions = [(0, column) for column in range(positions)]
    given = options.get("ax")
    if given is not None:
        axes = _given_axes(given)
        if len(axes) != len(positions):
            raise ValueError(
                f"`ax` holds {len(axes)} axes; expected {len(positions)}, one per panel, or None for a new figure."
            )
        return axes
    n_rows = 1 + max(row for row, _ in positions)
    n_columns = 1 + max(column for _, column in positions)
    figsize = options.get("figsize") or size
    figure, grid = plt.subplots(
        n_rows, n_columns, figsize=figsize, squeeze=False, layout="constrained", gridspec_kw=gridspec
    )
    axes = [grid[position] for position in positions]
    for unused in set(grid.flat) - set(axes):
        unused.remove()
    return axes


def hide_spines(ax: Axes) -> None:
    """Hide the spines without an axis."""
    ax.spines[["top", "right"]].set_visible(False)


def literal(name: object) -> str:
    """Escape dollar signs, between which matplotlib would read a formula."""
    return str(name).replace("$", r"\$")


def wrapped(name: object) -> str:
    """Break a long name into lines that fit above a panel, and escape it."""
    return literal(textwrap.fill(str(name), MAX_TITLE, break_on_hyphens=False))


def _given_axes(given: Any) -> list[Axes]:
    axes = list(np.ravel(np.asarray(given, dtype=object)))
    for ax in axes:
        if not isinstance(ax, Axes):
            raise TypeError(f"`ax` holds a {type(ax).__name__}; expected matplotlib axes.")
    return axes


def _public_signature(draw: Callable) -> inspect.Signature:
    """Replace `**figure` by the keyword arguments that it stands for; keep other variable arguments."""
    declared = inspect.signature(draw).parameters.values()
    own = [p for p in declared if p.kind is not inspect.Parameter.VAR_KEYWORD]
    variable = [p for p in declared if p.kind is inspect.Parameter.VAR_KEYWORD and p.name != "figure"]
    options = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=DEFAULTS[name], annotation=annotation)
        for name, annotation in get_type_hints(FigureOptions).items()
    ]
    return inspect.Signature([*own, *options, *variable], return_annotation=np.ndarray | None)


def _add_documentation(docstring: str) -> str:
    """Insert the shared documentation behind the last parameter."""
    before, heading, after = inspect.cleandoc(docstring).partition("\nRaises\n")
    return f"{before.rstrip()}\n{DOCUMENTATION}{heading}{after}"

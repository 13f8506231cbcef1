"""Parts of a page: tables, figures and sections."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from PIL import Image

if TYPE_CHECKING:
    from stimpute.report._genes import GeneTable

DPI = 144  # of the image files: sharp on screens with two pixels per CSS pixel
CSS_DPI = 90  # CSS pixels per inch at which a figure is shown
N_COLORS = 256  # of a palette image, a third of the size of a full-color one
WIDTH = 4.6  # inches of a figure: two stand side by side on a desk
HEIGHT = 3.4
MAX_STRETCH = 1.2  # of a figure, so that letters in figures that stand side by side are about as large
WIDE = 600  # CSS pixels of a figure that has a row of its own
MISSING = "–"


@dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes
    ----------
    caption
        Title of the table.
    header
        Names of the columns, beginning with that of the row names.
    rows
        Name of the row, then its cells.
    scrolls
        Whether a long table scrolls in the page.
    """

    caption: str
    header: list[str]
    rows: list[list[str]]
    scrolls: bool = False

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, caption: str, corner: str = "", *, scrolls: bool = False) -> Table:
        """Make a table from a DataFrame; `corner` is the name of the column with the row names."""
        rows = []
        for name, values in zip(frame.index, frame.to_numpy(object), strict=True):
            rows.append([str(name), *(format_value(value) for value in values)])
        return cls(caption, [corner, *map(str, frame.columns)], rows, scrolls)


@dataclass(frozen=True)
class Figure:
    """An image inside the page.

    Attributes
    ----------
    source
        Data URI of the image.
    caption
        Title of the figure.
    width, height
        Size in CSS pixels.
    """

    source: str
    caption: str
    width: int
    height: int

    @property
    def max_width(self) -> int:
        """Largest width to stretch the figure to, in CSS pixels."""
        return round(MAX_STRETCH * self.width)

    @property
    def is_wide(self) -> bool:
        """Whether the figure needs the width of the page."""
        return self.width > WIDE


@dataclass(frozen=True)
class Section:
    """A heading with paragraphs, tables, figures, a note in small print and the table of all genes."""

    title: str
    text: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    note: str = ""
    genes: GeneTable | None = None


def format_value(value: Any) -> str:
    """Format a value for humans: three digits, commas between thousands, yes and no."""
    if value is None or value is pd.NA:
        return MISSING
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, (float, np.floating)):
        return MISSING if np.isnan(value) else f"{value:.3f}".replace("-", "−")
    if isinstance(value, (int, np.integer)):
        return f"{value:,}"
    return str(value)


def make_figure(axes: Axes | Sequence[Axes] | np.ndarray | None, caption: str) -> Figure:
    """Turn the matplotlib figure that axes belong to into an image for the page, and close it."""
    figure = np.ravel(np.asarray(axes, dtype=object))[0].get_figure()
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=DPI, bbox_inches="tight", facecolor="white")
    plt.close(figure)
    # MAXCOVERAGE keeps the rare colors, such as those at the end of a color bar.
    image = Image.open(drawn).convert("RGB").quantize(N_COLORS, method=Image.Quantize.MAXCOVERAGE)
    stored = io.BytesIO()
    image.save(stored, format="png", optimize=True)
    source = "data:image/png;base64," + base64.b64encode(stored.getvalue()).decode()
    width, height = (round(side * CSS_DPI / DPI) for side in image.size)
    return Figure(source, caption, width, height)


def separate_axes(*widths: float) -> list[Axes]:
    """Make axes of some widths in figures of their own, which a narrow screen shows below one another."""
    axes = []
    for width in widths:
        _, ax = plt.subplots(figsize=(width, HEIGHT), layout="constrained")
        axes.append(ax)
    return axes


def make_figures(axes: Sequence[Axes], captions: Sequence[str]) -> list[Figure]:
    """Make one figure for each of :func:`separate_axes`."""
    return [make_figure(ax, caption) for ax, caption in zip(axes, captions, strict=True)]

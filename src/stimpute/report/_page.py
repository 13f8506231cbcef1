"""What a page is made of."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from PIL import Image

DPI = 144
N_COLOURS = 256


@dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes
    ----------
    caption
        What it shows.
    header
        Names of the columns, that of the rows first.
    rows
        Name of the row, then its cells.
    """

    caption: str
    header: list[str]
    rows: list[list[str]]

    @classmethod
    def of(cls, frame: pd.DataFrame, caption: str, corner: str = "") -> Table:
        """A table with the rows and columns of a DataFrame."""
        rows = [[str(name), *map(text, row)] for name, row in zip(frame.index, frame.to_numpy(object), strict=True)]
        return cls(caption, [corner, *map(str, frame.columns)], rows)


@dataclass(frozen=True)
class Picture:
    """A picture inside the page.

    Attributes
    ----------
    source
        Data URI.
    caption
        What it shows.
    width
        In CSS pixels.
    """

    source: str
    caption: str
    width: int


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it; the note is in small print."""

    title: str
    text: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    note: str = ""


def text(value: Any) -> str:
    """A value as people read it: three digits, thousands apart, yes and no."""
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, (float, np.floating)):
        return "–" if np.isnan(value) else f"{value:.3f}".replace("-", "−")
    if isinstance(value, (int, np.integer)):
        return f"{value:,}"
    return str(value)


def picture(axes: Axes | Sequence[Axes] | None, caption: str) -> Picture:
    """Turn the figure that axes belong to into a picture of few bytes, and close it."""
    figure, buffer, small = np.ravel(np.asarray(axes, dtype=object))[0].get_figure(), io.BytesIO(), io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, bbox_inches="tight", facecolor="white")
    plt.close(figure)
    image = Image.open(buffer).convert("RGB").quantize(N_COLOURS)
    image.save(small, format="png", optimize=True)
    source = "data:image/png;base64," + base64.b64encode(small.getvalue()).decode()
    return Picture(source, caption, round(image.width * 90 / DPI))


def pictures(axes: Sequence[Axes], captions: Sequence[str]) -> list[Picture]:
    """A picture of each axes of :func:`separate`."""
    return [picture(one, caption) for one, caption in zip(axes, captions, strict=True)]


def separate(n: int, width: float, height: float) -> list[Axes]:
    """Axes in figures of their own, which stand side by side on a desk and below one another on a phone."""
    return [plt.subplots(figsize=(width, height), layout="constrained")[1] for _ in range(n)]

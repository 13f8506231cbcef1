"""Turn values into colors: one gene, two genes, or categories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import matplotlib as mpl
import numpy as np
from matplotlib.colors import to_rgb

WHITE = "#ffffff"
DARK = "#16181d"
MAGENTA = (1.0, 0.15, 0.85)
GREEN = (0.1, 0.95, 0.35)
N_STOPS = 9  # of a color bar


class Colors(Protocol):
    """A way to color values.

    Attributes
    ----------
    background
        Color behind the cells.
    reduce
        How cells of one pixel are combined: `"mean"` of their values, or `"last"`, one of them.
    """

    background: ClassVar[str]
    reduce: ClassVar[str]

    def rgb(self, values: np.ndarray) -> np.ndarray:
        """Return colors between 0 and 1, shape (n, 3), of values of shape (n, n_channels)."""


@dataclass(frozen=True)
class Gradient:
    """Color one number by a color map of matplotlib, between two limits; `unit` says what the number is."""

    background: ClassVar[str] = WHITE
    reduce: ClassVar[str] = "mean"
    cmap: str
    low: float
    high: float
    unit: str = ""

    def rgb(self, values: np.ndarray) -> np.ndarray:
        """See :class:`Colors`."""
        span = self.high - self.low
        share = np.clip((values[:, 0] - self.low) / (span if span > 0 else 1), 0, 1)
        return mpl.colormaps[self.cmap](share)[:, :3]

    def stops(self) -> list[str]:
        """Return evenly spaced colors of the color bar, from low to high."""
        colors = mpl.colormaps[self.cmap](np.linspace(0, 1, N_STOPS))
        return [mpl.colors.to_hex(color) for color in colors]


@dataclass(frozen=True)
class Blend:
    """Color two numbers: the first in magenta, the second in green; where both are high, white.

    Attributes
    ----------
    names
        Names of the two genes.
    highs
        Values that are drawn in full color.
    """

    background: ClassVar[str] = DARK
    reduce: ClassVar[str] = "mean"
    floor: ClassVar[float] = 0.2  # gray of cells with neither, which stay visible
    names: tuple[str, str]
    highs: tuple[float, float]

    def rgb(self, values: np.ndarray) -> np.ndarray:
        """See :class:`Colors`."""
        share = np.clip(values / np.where(np.array(self.highs) > 0, self.highs, 1), 0, 1)
        light = share[:, :1] * MAGENTA + share[:, 1:] * GREEN
        return np.clip(self.floor + (1 - self.floor) * light, 0, 1)


@dataclass(frozen=True)
class Palette:
    """Color categories, which are given as their numbers; missing values are gray.

    Attributes
    ----------
    names
        Names of the categories.
    colors
        Their colors, as matplotlib understands them.
    """

    background: ClassVar[str] = WHITE
    reduce: ClassVar[str] = "last"
    missing: ClassVar[str] = "#d5d7db"
    names: Sequence[str]
    colors: Sequence[str]

    def rgb(self, values: np.ndarray) -> np.ndarray:
        """See :class:`Colors`."""
        table = np.array([to_rgb(color) for color in (*self.colors, self.missing)])  # -1 is the last one
        return table[values[:, 0].astype(int)]


def category_colors(n: int, given: Sequence[str] = ()) -> list[str]:
    """Return a color for each of n categories: the given ones if they suffice, else those of scanpy."""
    if len(given) >= n:
        return list(given[:n])
    from scanpy.plotting import palettes

    for palette in (palettes.default_20, palettes.default_28):
        if n <= len(palette):
            return list(palette[:n])
    return [palettes.default_102[i % len(palettes.default_102)] for i in range(n)]

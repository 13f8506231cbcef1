"""Draw cells into an image with datashader, in a time that hardly depends on their number."""

from __future__ import annotations

import datashader as ds
import numpy as np
import pandas as pd
from matplotlib.colors import to_rgba

from stimpute.explorer._colors import Colors

MAX_RADIUS = 24  # pixels
COVER = 0.7  # radius of a cell, as a share of the distance to its neighbor

Ranges = tuple[tuple[float, float], tuple[float, float]]


def draw_cells(
    coords: np.ndarray,
    values: np.ndarray,
    colors: Colors,
    *,
    ranges: Ranges,
    size: tuple[int, int],
    spacing: float,
) -> np.ndarray:
    """Draw each cell as a disc.

    Parameters
    ----------
    coords
        Coordinates, shape (n_cells, 2).
    values
        Values to color, shape (n_cells, n_channels).
    colors
        How to color them. Where several cells share a pixel, it has the color of their mean, or of one of them.
    ranges
        Limits of x and of y.
    size
        Width and height in pixels.
    spacing
        Typical distance between neighboring cells, which decides on the size of the discs.

    Returns
    -------
    Red, green, blue and opacity, uint8, shape (height, width, 4), on the background of the colors; the
    first row has the smallest y.
    """
    width, height = size
    canvas = ds.Canvas(width, height, x_range=ranges[0], y_range=ranges[1])
    combine = ds.mean("value") if colors.reduce == "mean" else ds.last("value")
    channels = []
    for channel in values.T:
        cells = pd.DataFrame({"x": coords[:, 0], "y": coords[:, 1], "value": channel.astype(np.float64)})
        channels.append(canvas.points(cells, "x", "y", combine).to_numpy())
    pixels = np.stack(channels, axis=-1)
    rows, columns = np.nonzero(~np.isnan(pixels).any(axis=-1))
    drawn = pixels[rows, columns]
    order = np.argsort(drawn.sum(axis=1), kind="stable")  # high values on top
    radius = round(COVER * spacing * width / (ranges[0][1] - ranges[0][0]))
    top = _discs(rows[order], columns[order], (height, width), min(radius, MAX_RADIUS))
    rgba = np.column_stack([colors.rgb(drawn[order]), np.ones(len(order))])
    image = np.empty((height, width, 4), np.uint8)
    image[:] = np.round(255 * np.array(to_rgba(colors.background)))
    image[top >= 0] = np.round(255 * rgba[top[top >= 0]])
    return image


def _discs(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int], radius: int) -> np.ndarray:
    """Put a disc around each pixel, and number the disc on top in each pixel of the image; -1 where there is none."""
    top = np.full((shape[0] + 2 * radius, shape[1] + 2 * radius), -1)
    numbers = np.arange(len(rows))
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    is_inside = x**2 + y**2 <= (radius + 0.3) ** 2
    for dy, dx in zip(y[is_inside], x[is_inside], strict=True):
        shifted = (rows + radius + dy, columns + radius + dx)  # each pixel of the image at most once
        top[shifted] = np.maximum(top[shifted], numbers)
    return top[radius : radius + shape[0], radius : radius + shape[1]]

"""Compare the cells of a region with the rest of its section."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.path import Path

if TYPE_CHECKING:
    from stimpute.explorer._values import GeneValues

N_COMPARED = 500  # cells of each side that are compared
MIN_CELLS = 2  # of each side
WARNING = (
    "These genes describe the region; they are no test. All imputed genes are computed from the same measured genes, "
    "and their noise is averaged away, so that nearly every gene would come out significant. Test the measured genes."
)


def cells_inside(coords: np.ndarray, geometry: Mapping[str, Any]) -> np.ndarray:
    """Find the cells inside a lasso or a box.

    Parameters
    ----------
    coords
        Coordinates, shape (n_cells, 2).
    geometry
        `{"type": "poly", "x": [...], "y": [...]}` or `{"type": "rect", "x0": ..., "x1": ..., "y0": ..., "y1": ...}`,
        as Bokeh reports a selection.

    Returns
    -------
    Whether each cell is inside, shape (n_cells,).
    """
    if geometry["type"] == "rect":
        low = np.minimum([geometry["x0"], geometry["y0"]], [geometry["x1"], geometry["y1"]])
        high = np.maximum([geometry["x0"], geometry["y0"]], [geometry["x1"], geometry["y1"]])
        is_between = (coords >= low) & (coords <= high)
        return is_between[:, 0] & is_between[:, 1]
    corners = np.column_stack([geometry["x"], geometry["y"]])
    return Path(corners).contains_points(coords) if len(corners) > 2 else np.zeros(len(coords), bool)


def compare_region(values: GeneValues, cells: np.ndarray, is_inside: np.ndarray) -> pd.DataFrame:
    """Compare mean predicted expression inside a region and in the rest, over :data:`N_COMPARED` cells of each side.

    Parameters
    ----------
    values
        Source of imputed values.
    cells
        Cells of the section, shape (n_cells,).
    is_inside
        Which of them are in the region, shape (n_cells,).

    Returns
    -------
    One row per gene, `region`, `rest`, `difference`, `reliability` and `measured`; the largest difference first.
    Values of a gene that is hard to predict vary little, so that its difference is small.

    Raises
    ------
    ValueError
        If there are fewer than two cells on one side.
    """
    sides = [cells[is_inside], cells[~is_inside]]
    if min(map(len, sides)) < MIN_CELLS:
        raise ValueError(f"{len(sides[0])} cells are inside and {len(sides[1])} outside; expected at least 2 of each.")
    rng = np.random.default_rng(0)
    means = []
    for side in sides:
        rows = side if len(side) <= N_COMPARED else np.sort(rng.choice(side, N_COMPARED, replace=False))
        means.append(values.all_genes(rows).mean(axis=0))
    table = pd.DataFrame({"region": means[0], "rest": means[1]}, index=values.table.index)
    table["difference"] = table["region"] - table["rest"]
    table = table.join(values.table[["reliability", "measured"]])
    return table.sort_values("difference", ascending=False, kind="stable")

"""Export what is shown: values as CSV, maps as PNG."""

from __future__ import annotations

from io import BytesIO, StringIO

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from stimpute.explorer._colors import GREEN, MAGENTA, Blend, Colors, Gradient, Palette
from stimpute.explorer._pictures import Explorer, Picture, View
from stimpute.explorer._raster import Ranges, draw_cells
from stimpute.explorer._tissue import Section

MAP_WIDTH = 4.2  # inches
LEGEND_HEIGHT = 1.2
TITLE_HEIGHT = 0.7
DPI = 200
MAX_ENTRIES = 12  # of a legend


def values_table(explorer: Explorer, view: View, region: np.ndarray | None = None) -> pd.DataFrame:
    """Collect the values of the genes of a view.

    Parameters
    ----------
    explorer
        Source of the values.
    view
        Genes and label.
    region
        Whether each cell is in the selected region, shape (n_cells,), or None.

    Returns
    -------
    One row per cell: section, position, for each gene `measured` where it was, `imputed`, `lower` and `upper`; label
    and region, if any.
    """
    tissue = explorer.tissue
    columns: dict[str, object] = {"x": tissue.coords[:, 0], "y": tissue.coords[:, 1]}
    if len(tissue.sections) > 1:
        columns = {"section": tissue.section_of_cell, **columns}
    for gene in view.genes:
        measured = tissue.measured_values(gene)
        shown = {} if measured is None else {"measured": measured}
        shown |= {"imputed" if layer == "X" else layer: x for layer, x in explorer.values.gene(gene).items()}
        for kind, values in shown.items():
            columns[f"{gene} {kind}"] = np.asarray(values, np.float32)
    if region is not None:
        columns["in region"] = region
    if view.label is not None:
        name = f"label {view.label}" if view.label in columns else view.label
        columns[name] = tissue.labels[view.label].to_numpy()
    return pd.DataFrame(columns, index=pd.Index(tissue.names, name="cell"))


def to_csv(table: pd.DataFrame) -> StringIO:
    """Write a table as CSV, expression (float32) with five digits, and all else in full."""
    file = StringIO()
    expression = table.select_dtypes("float32")
    table.assign(**{name: expression[name].map("{:.5g}".format) for name in expression}).to_csv(file)
    file.seek(0)
    return file


def maps_png(maps: list[Picture], section: Section, title: str, ranges: Ranges) -> BytesIO:
    """Draw the maps of one section side by side, with color bars and legends.

    Parameters
    ----------
    maps
        The maps.
    section
        The cells to draw.
    title
        Title of the figure.
    ranges
        Limits of x and of y, as on the screen.
    """
    (left, right), (low, high) = ranges
    aspect = (high - low) / (right - left)
    heights = [MAP_WIDTH * aspect, LEGEND_HEIGHT]
    figure = Figure(figsize=(MAP_WIDTH * len(maps), sum(heights) + TITLE_HEIGHT), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(2, len(maps), squeeze=False, height_ratios=heights)
    size = (int(MAP_WIDTH * DPI), int(MAP_WIDTH * DPI * aspect))
    for picture, (ax, legend) in zip(maps, grid.T, strict=True):
        values = picture.values[section.cells]
        spacing = section.spacing
        image = draw_cells(section.coords, values, picture.colors, ranges=ranges, size=size, spacing=spacing)
        ax.imshow(image, origin="lower", interpolation="nearest")
        ax.set_title(_literal(picture.title), fontsize="medium")
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
        legend.set_axis_off()
        _draw_legend(picture.colors, legend)
    figure.suptitle(_literal(title))
    file = BytesIO()
    figure.savefig(file, dpi=DPI, format="png")
    file.seek(0)
    return file


def _literal(text: str) -> str:
    """Escape dollar signs, between which matplotlib would read a formula."""
    return text.replace("$", r"\$")


def _draw_legend(colors: Colors, ax: Axes) -> None:
    """Draw a color bar, or the names of the colors."""
    if isinstance(colors, Gradient):
        scale = ScalarMappable(Normalize(colors.low, colors.high), colors.cmap)
        cax = ax.inset_axes((0.2, 0.8, 0.6, 0.1))
        ax.figure.colorbar(scale, cax=cax, orientation="horizontal", label=colors.unit)
        return
    entries: list[tuple] = []
    if isinstance(colors, Blend):
        entries = list(zip((MAGENTA, GREEN), colors.names, strict=True))
    elif isinstance(colors, Palette):
        entries = list(zip(colors.colors, colors.names, strict=True))
    patches = [Patch(color=color, label=_literal(name)) for color, name in entries[:MAX_ENTRIES]]
    if len(entries) > MAX_ENTRIES:
        patches.append(Patch(alpha=0, label=f"and {len(entries) - MAX_ENTRIES} more"))
    ax.legend(handles=patches, ncols=2, loc="upper center", frameon=False, fontsize="small")

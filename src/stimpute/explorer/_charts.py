"""Distribution of the values of a gene."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import panel as pn
from bokeh.models import ColumnDataSource, DataRange1d
from bokeh.plotting import figure

from stimpute.explorer import _layout as layout
from stimpute.explorer._style import BLUE, GREY, LINE, MUTED, ORANGE

if TYPE_CHECKING:
    from stimpute.explorer._pictures import Explorer

N_BINS = 40
HEIGHT = 200  # pixels
COLORS = {"imputed": BLUE, "measured": GREY, "imputed, region": ORANGE}


@dataclass(frozen=True)
class Histogram:
    """Shares of the cells in bins of values.

    Attributes
    ----------
    edges
        Edges of the bins, shape (n_bins + 1,).
    shares
        By name of the series: share of its cells in each bin, shape (n_bins,).
    """

    edges: np.ndarray
    shares: dict[str, np.ndarray]


def histogram(explorer: Explorer, gene: str, cells: np.ndarray, is_inside: np.ndarray | None = None) -> Histogram:
    """Count the values of a gene in some cells, and in a region of them.

    Parameters
    ----------
    explorer
        Source of the values.
    gene
        Name of the gene.
    cells
        Cells of the section, shape (n_cells,).
    is_inside
        Which of them are in the region, or None.
    """
    imputed = explorer.values.gene(gene)["X"][cells]
    series = {"imputed": imputed}
    measured = explorer.tissue.measured_values(gene)
    if measured is not None:
        series["measured"] = measured[cells]
    if is_inside is not None:
        series["imputed, region"] = imputed[is_inside]
    highest = max(float(values.max(initial=0)) for values in series.values())
    edges = np.linspace(0, highest or 1, N_BINS + 1)
    shares = {name: np.histogram(values, edges)[0] / max(len(values), 1) for name, values in series.items()}
    return Histogram(edges, shares)


class Distribution:
    """Chart of the distribution of a gene; `unit` says what its values are."""

    def __init__(self, unit: str) -> None:
        self._figure = figure(
            height=HEIGHT,
            sizing_mode="stretch_width",
            y_range=DataRange1d(start=0),
            tools="",
            toolbar_location=None,
            outline_line_color=None,
        )
        self._figure.xaxis.axis_label = unit
        self._figure.yaxis.axis_label = "share of cells"
        for axis in self._figure.axis:
            axis.axis_line_color = LINE
            axis.major_tick_line_color = LINE
            axis.minor_tick_line_color = None
            axis.major_label_text_color = MUTED
            axis.axis_label_text_color = MUTED
            axis.axis_label_text_font_style = "normal"
        self._figure.grid.visible = False
        self._sources = {name: ColumnDataSource({"x": [], "y": []}) for name in COLORS}
        for name, color in COLORS.items():
            self._figure.line("x", "y", source=self._sources[name], line_color=color, line_width=2)
        self._figure.varea("x", 0, "y", source=self._sources["imputed"], fill_color=BLUE, fill_alpha=0.15)
        self._legend = layout.text()
        chart = pn.pane.Bokeh(self._figure, sizing_mode="stretch_width", margin=0)
        self.view = pn.Column(self._legend, chart, sizing_mode="stretch_width")

    def show(self, found: Histogram) -> None:
        """Draw a histogram as steps."""
        for name, source in self._sources.items():
            shares = found.shares.get(name, np.array([]))
            steps = np.repeat(found.edges, 2)[1:-1] if len(shares) else np.array([])
            source.data = {"x": steps, "y": np.repeat(shares, 2)}
        entries = "".join(f'<span><i style="background: {COLORS[name]}"></i>{name}</span>' for name in found.shares)
        self._legend.object = f'<div class="entries">{entries}</div>'

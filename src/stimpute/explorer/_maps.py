"""Maps of one section, side by side: zoom, pan and selections are shared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from typing import Any

import numpy as np
import panel as pn
from bokeh.events import Event, RangesUpdate, SelectionGeometry, Tap
from bokeh.models import BoxSelectTool, ColumnDataSource, LassoSelectTool, PanTool, Range1d, WheelZoomTool
from bokeh.plotting import figure

from stimpute.explorer import _layout as layout
from stimpute.explorer._pictures import Picture
from stimpute.explorer._raster import Ranges, draw_cells
from stimpute.explorer._style import INK, legend
from stimpute.explorer._tissue import Section

N_MAPS = 4
IMAGE_WIDTH = 640  # pixels
FIGURE_WIDTH = 300  # of which the page makes as much as there is room
MARGIN = 0.03  # of a section
ASPECTS = (0.5, 1.4)  # height of a map as a share of its width
DELAY = 60  # milliseconds between a zoom and the new image
ZOOM = 0.5  # of the view, for one press of the button
GRID = {"display": "grid", "gap": "16px", "grid-template-columns": "repeat(auto-fit, minmax(210px, 1fr))"}
# A finger on a map moves the map: beside the maps it scrolls the page.
GUTTER = "@media (pointer: coarse) { :host { padding-right: 40px !important; } }"
MODES = ["Move", "Lasso", "Box"]
# In the browser, since tools have no such property in Python.
SWITCH_TOOLS = "for (const tool of tools) tool.active = tool.tags[0] === source.labels[source.active]"


class Maps:
    """The maps of the page.

    Parameters
    ----------
    sections
        All sections, which decide on the shape of the maps.
    run
        Runs a function when the document may be changed, see :class:`~stimpute.explorer._page.Page`.
    on_select
        Called with the geometry of a lasso or box, see :func:`~stimpute.explorer._region.cells_inside`.
    on_tap
        Called with the coordinates of a tap.
    """

    def __init__(
        self,
        sections: list[Section],
        run: Callable[[Callable[[], None]], None],
        on_select: Callable[[Mapping[str, Any]], None],
        on_tap: Callable[[float, float], None],
    ) -> None:
        self._run = run
        self._on_select = on_select
        self._on_tap = on_tap
        extents = np.max([np.ptp(section.coords, axis=0) for section in sections], axis=0)
        self._aspect = float(np.clip(extents[1] / extents[0] if extents[0] > 0 else 1, *ASPECTS))
        self._x_range = Range1d(start=0, end=1)
        self._y_range = Range1d(start=0, end=1)
        self._region = ColumnDataSource({"x": [], "y": []})
        self._maps = [_Map(self._x_range, self._y_range, self._aspect, self._region) for _ in range(N_MAPS)]
        self._pictures: list[Picture] = []
        self._section = sections[0]
        self._is_waiting = False
        for each in self._maps:
            each.figure.on_event(RangesUpdate, self._redraw_soon)
            each.figure.on_event(SelectionGeometry, self._selected)
            each.figure.on_event(Tap, lambda event: self._on_tap(event.x, event.y))
        self.view = pn.Row(
            *[each.view for each in self._maps], styles=GRID, stylesheets=[GUTTER], sizing_mode="stretch_width"
        )
        self.controls = self._make_controls()

    def _make_controls(self) -> pn.FlexBox:
        mode = pn.widgets.RadioButtonGroup(options=MODES, value="Move", margin=0)
        tools = [tool for each in self._maps for tool in each.tools]
        mode.jscallback(active=SWITCH_TOOLS, args={"tools": tools})
        zoom_out = layout.button("Zoom out")
        zoom_in = layout.button("Zoom in")
        whole = layout.button("Whole section")
        zoom_out.on_click(lambda _: self._run(lambda: self._zoom(1 / ZOOM)))
        zoom_in.on_click(lambda _: self._run(lambda: self._zoom(ZOOM)))
        whole.on_click(lambda _: self._run(self.fit))
        return layout.row(mode, zoom_out, zoom_in, whole, gap=8)

    # ------------------------------------------------------------ what is drawn

    @property
    def ranges(self) -> Ranges:
        """Limits of x and y on the screen."""
        x: Any = self._x_range
        y: Any = self._y_range
        return (x.start, x.end), (y.start, y.end)

    def show(self, section: Section, pictures: list[Picture]) -> None:
        """Draw pictures of a section; keep the zoom if it is the section that was drawn before."""
        is_new = section is not self._section or not self._pictures
        self._section = section
        self._pictures = pictures
        for i, each in enumerate(self._maps):
            each.view.visible = i < len(pictures)
        for each, picture in zip(self._maps, pictures, strict=False):
            each.describe(picture)
        if is_new:
            self.fit()
        else:
            self._redraw()

    def fit(self) -> None:
        """Show the whole section."""
        low = self._section.coords.min(axis=0)
        high = self._section.coords.max(axis=0)
        width, height = np.maximum(high - low, self._section.spacing) * (1 + 2 * MARGIN)
        self._set_view((low + high) / 2, max(width, height / self._aspect))

    def _zoom(self, factor: float) -> None:
        (left, right), (low, high) = self.ranges
        self._set_view(np.array([left + right, low + high]) / 2, (right - left) * factor)

    def _set_view(self, center: np.ndarray, width: float) -> None:
        half = np.array([width, width * self._aspect]) / 2
        for axis, center_, half_ in zip((self._x_range, self._y_range), center, half, strict=True):
            axis.update(start=float(center_ - half_), end=float(center_ + half_))
        self._redraw()

    def _redraw_soon(self, _: Event) -> None:
        """Draw once after a series of zoom events."""
        if not self._is_waiting and pn.state.curdoc is not None:
            self._is_waiting = True
            pn.state.curdoc.add_timeout_callback(self._redraw, DELAY)

    def _redraw(self) -> None:
        self._is_waiting = False
        size = (IMAGE_WIDTH, round(IMAGE_WIDTH * self._aspect))
        for each, picture in zip(self._maps, self._pictures, strict=False):
            image = draw_cells(
                self._section.coords,
                picture.values[self._section.cells],
                picture.colors,
                ranges=self.ranges,
                size=size,
                spacing=self._section.spacing,
            )
            each.draw(image, self.ranges)

    # ------------------------------------------------------------ selections

    def _selected(self, event: Any) -> None:
        if event.final:
            self.outline(event.geometry)
            self._on_select(event.geometry)

    def outline(self, geometry: Mapping[str, Any] | None) -> None:
        """Draw the outline of a lasso or box on all maps; None removes it."""
        if geometry is None:
            self._region.data = {"x": [], "y": []}
        elif geometry["type"] == "rect":
            left, right, low, high = (geometry[key] for key in ("x0", "x1", "y0", "y1"))
            self._region.data = {"x": [left, right, right, left], "y": [low, low, high, high]}
        else:
            self._region.data = {"x": list(geometry["x"]), "y": list(geometry["y"])}


class _Map:
    """One map: title, figure and legend."""

    def __init__(self, x_range: Range1d, y_range: Range1d, aspect: float, region: ColumnDataSource) -> None:
        lasso = LassoSelectTool(continuous=False, tags=["Lasso"])
        box = BoxSelectTool(continuous=False, tags=["Box"])
        pan = PanTool(tags=["Move"])
        wheel = WheelZoomTool()
        self.tools = [pan, lasso, box]
        self.figure = figure(
            x_range=x_range,
            y_range=y_range,
            tools=[pan, wheel, lasso, box],
            active_drag=pan,
            active_scroll=wheel,
            toolbar_location=None,
            width=FIGURE_WIDTH,
            height=round(FIGURE_WIDTH * aspect),
            sizing_mode="scale_width",
            min_border=0,
            outline_line_color=None,
        )
        self.figure.axis.visible = False
        self.figure.grid.visible = False
        self._source = ColumnDataSource({"image": [], "x": [], "y": [], "dw": [], "dh": []})
        self.figure.image_rgba(image="image", x="x", y="y", dw="dw", dh="dh", source=self._source)
        self.figure.patch("x", "y", source=region, fill_alpha=0, line_color=INK, line_width=2, line_dash="dashed")
        self._title = layout.text()
        self._legend = layout.text()
        self._legend.margin = (6, 0, 0, 0)
        self.view = pn.Column(
            self._title,
            pn.pane.Bokeh(self.figure, margin=(4, 0, 0, 0), sizing_mode="scale_width"),
            self._legend,
            styles={"max-width": "560px", "width": "100%"},
        )

    def describe(self, picture: Picture) -> None:
        """Show the title and the legend of a picture."""
        self._title.object = f"<h3>{escape(picture.title)}</h3>"
        self._legend.object = legend(picture.colors)

    def draw(self, image: np.ndarray, ranges: Ranges) -> None:
        """Show an image, shape (height, width, 4), that covers the ranges."""
        (left, right), (low, high) = ranges
        packed = np.ascontiguousarray(image).view(np.uint32)[..., 0]
        self._source.data = {"image": [packed], "x": [left], "y": [low], "dw": [right - left], "dh": [high - low]}

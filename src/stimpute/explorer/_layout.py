"""Arrange the parts of the page, beside each other on a wide screen and below each other on a phone."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

import panel as pn

from stimpute.explorer._style import TEXT

WIDE = "stretch_width"
SIDE = {"flex": "1 1 280px", "min-width": "0"}
MAIN = {"flex": "999 1 560px", "min-width": "min(100%, 560px)"}
CARD = {"flex": "1 1 260px", "min-width": "0"}
PADDING = {"padding": "16px", "box-sizing": "border-box"}
MAX_LETTERS = 40  # of tabs, with their borders, on a phone
BELOW = (0, 0, 12, 0)  # margin below each part of a column


def text(html: str = "") -> pn.pane.HTML:
    """Make a piece of text."""
    return pn.pane.HTML(html, stylesheets=[TEXT], margin=0, sizing_mode=WIDE)


def selector(name: str, options: list[str]) -> pn.widgets.Select:
    """Make a choice among options."""
    return pn.widgets.Select(label=name, options=options, width=165, margin=0)


def tabs(name: str, options: list[str]) -> pn.widgets.Widget:
    """Make a choice among options that are all in sight; if they need much room, one among a list."""
    if sum(len(option) + 3 for option in options) > MAX_LETTERS:
        return selector(name, options)
    title = f":host::before {{ content: '{name}'; align-self: center; margin-right: 8px; }}"  # it shows none itself
    return pn.widgets.RadioButtonGroup(
        label=name, options=options, value=options[0], margin=0, stylesheets=[title], align="end"
    )


def button(name: str, **options: Any) -> pn.widgets.Button:
    """Make a button."""
    return pn.widgets.Button(label=name, margin=0, **options)


def download(label: str, make: Callable[[], Any], **options: Any) -> pn.widgets.FileDownload:
    """Make a button that downloads what a function returns."""
    return pn.widgets.FileDownload(callback=make, label=label, margin=0, **options)


def row(*parts: Any, gap: int = 12, **options: Any) -> pn.FlexBox:
    """Put parts beside each other, in several lines where there is no room."""
    return pn.FlexBox(*parts, gap=f"{gap}px", align_items="center", sizing_mode=WIDE, **options)


def card(title: pn.pane.HTML, *parts: Any) -> pn.Column:
    """Put parts below a title."""
    return pn.Column(title, *parts, styles=CARD)


def title(words: str = "") -> pn.pane.HTML:
    """Make the title of a card, whose words :func:`change_title` changes."""
    made = text()
    change_title(made, words)
    return made


def change_title(of_card: pn.pane.HTML, words: str) -> None:
    """Change the words of a title."""
    of_card.object = f"<h3>{escape(words)}</h3>"


def column(*parts: Any, styles: dict[str, str]) -> pn.Column:
    """Put parts below each other."""
    for part in parts:
        part.margin = BELOW
    return pn.Column(*parts, styles=styles)


def page(header: Any, side: pn.Column, main: pn.Column) -> pn.Column:
    """Put the list of genes beside the maps, or above them on a phone."""
    header.margin = (0, 0, 16, 0)
    both = pn.FlexBox(side, main, gap="32px", sizing_mode=WIDE)
    return pn.Column(header, both, styles=PADDING, sizing_mode=WIDE)

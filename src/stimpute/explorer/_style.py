"""Look of the page: colors, spacing, and the HTML of legends and headings."""

from __future__ import annotations

from html import escape
from typing import Any

from matplotlib.colors import to_hex

from stimpute.explorer._colors import GREEN, MAGENTA, Blend, Colors, Gradient, Palette

INK = "#1d2530"
MUTED = "#667085"
LINE = "#e3e6eb"
BLUE = "#0072B2"
ORANGE = "#D55E00"
GREY = "#8b93a1"
MAX_ENTRIES = 24  # of a legend

TEMPLATE = f"""
{{% extends base %}}
{{% block preamble %}}
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body {{ margin: 0; background: #fff; color: {INK}; }}
body, button, input, select {{ font-family: system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }}
</style>
{{% endblock %}}
{{% block contents %}}{{{{ embed(roots.page) }}}}{{% endblock %}}
"""
TEXT = f"""
:host {{ color: {INK}; font-size: 14px; line-height: 1.5; font-family: inherit; overflow-wrap: anywhere; }}
h1 {{ font-size: 18px; font-weight: 600; margin: 0; }}
h2 {{ line-height: 1.25; font-size: 24px; font-weight: 600; margin: 0; }}
h3 {{ font-size: 14px; font-weight: 600; margin: 0; }}
h2 + p {{ margin-bottom: 8px; }}
p {{ margin: 4px 0 0; max-width: 80ch; }}
.muted {{ color: {MUTED}; font-weight: 400; font-size: 14px; }}
.bar {{ height: 8px; border-radius: 4px; }}
.ends {{ display: flex; gap: 6px; justify-content: space-between; text-align: center; }}
.ends span {{ color: {MUTED}; font-size: 12px; }}
.entries {{ display: flex; flex-wrap: wrap; gap: 2px 12px; font-size: 12px; }}
.entries i {{ display: inline-block; width: 10px; height: 10px; border-radius: 50%; margin-right: 5px; }}
.warning {{ border-left: 3px solid {ORANGE}; padding-left: 10px; }}
"""


def legend(colors: Colors) -> str:
    """Return a color bar with its ends, or the names of the colors, as HTML."""
    if isinstance(colors, Gradient):
        stops = ", ".join(colors.stops())
        ends = f"<span>{colors.low:.2g}</span><span>{colors.unit}</span><span>≥ {colors.high:.2g}</span>"
        bar = f'<div class="bar" style="background: linear-gradient(to right, {stops})"></div>'
        return f'{bar}<div class="ends">{ends}</div>'
    entries: list[tuple[str, Any]] = []
    rest = ""
    if isinstance(colors, Blend):
        entries = [(colors.names[0], MAGENTA), (colors.names[1], GREEN), ("both", (0.9, 0.9, 0.9))]
    elif isinstance(colors, Palette):
        entries = list(zip(colors.names, colors.colors, strict=True))
        if len(entries) > MAX_ENTRIES:
            rest = f"<span>and {len(entries) - MAX_ENTRIES} more</span>"
    items = "".join(
        f'<span><i style="background: {to_hex(color)}"></i>{escape(name)}</span>'
        for name, color in entries[:MAX_ENTRIES]
    )
    return f'<div class="entries">{items}{rest}</div>'

"""A list of genes to choose from, with a bar for the reliability of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import pandas as pd
import param
from panel.custom import JSComponent

from stimpute.explorer._style import BLUE, INK, LINE, MUTED

NO_COLUMNS: Mapping[str, str] = MappingProxyType({})


class GeneList(JSComponent):
    """Rows of genes; a click on a row chooses its gene, a click on its plus adds it as the second one."""

    headings = param.List(doc="Headings of the columns behind the name.")
    rows = param.List(doc="One dictionary per gene: gene, measured, reliability, cells.")
    current = param.List(doc="Genes that are shown.")

    _esm = """
    export function render({ model }) {
      const table = document.createElement("table");
      const element = (tag, text, name) => {
        const made = document.createElement(tag);
        made.textContent = text;
        if (name) made.className = name;
        return made;
      };
      const button = (gene, how, text, title) => {
        const made = element("button", text, how);
        made.title = title;
        made.type = "button";
        made.addEventListener("click", () => model.send_msg({ gene, how }));
        return made;
      };
      const draw_row = (row) => {
        const line = document.createElement("tr");
        if (model.current.includes(row.gene)) line.className = "current";
        const name = document.createElement("td");
        name.append(button(row.gene, "show", row.gene, "Show " + row.gene));
        if (row.measured) name.append(element("span", "measured", "tag"));
        line.append(name);
        for (const text of row.cells) line.append(element("td", text, "number"));
        const bar = element("td", "", "reliability");
        const fill = document.createElement("div");
        fill.style.width = 100 * Math.min(1, Math.max(0, row.reliability)) + "%";
        bar.append(fill, element("span", row.reliability.toFixed(2)));
        const add = document.createElement("td");
        add.append(button(row.gene, "add", "+", "Draw " + row.gene + " as the second gene"));
        line.append(bar, add);
        return line;
      };
      const draw = () => {
        const heading = document.createElement("tr");
        for (const text of ["gene", ...model.headings, "reliability", ""]) heading.append(element("th", text));
        table.replaceChildren(heading, ...model.rows.map(draw_row));
      };
      model.on("rows", draw);
      model.on("current", draw);
      draw();
      return table;
    }
    """
    _stylesheets = [
        f"""
        :host {{ overflow-y: auto; max-height: 420px; color: {INK}; font-size: 13px; }}
        @media (max-width: 700px) {{ :host {{ max-height: 230px; }} }}
        table {{ border-collapse: collapse; width: 100%; }}
        th {{ text-align: left; font-weight: 400; color: {MUTED}; font-size: 12px; padding: 2px 4px;
              position: sticky; top: 0; background: #fff; }}
        td {{ border-top: 1px solid {LINE}; padding: 0 4px; height: 30px; }}
        tr.current td {{ background: #eaf3f9; }}
        tr:hover td {{ background: #f4f6f8; }}
        button {{ border: 0; background: none; font: inherit; color: inherit; cursor: pointer; padding: 5px 0;
                  text-align: left; overflow-wrap: anywhere; }}
        button.show:hover {{ color: {BLUE}; }}
        button.add {{ color: {MUTED}; padding: 4px 8px; border-radius: 4px; }}
        button.add:hover {{ background: {LINE}; color: {INK}; }}
        button:focus-visible {{ outline: 2px solid {BLUE}; }}
        .tag {{ margin-left: 6px; font-size: 11px; color: {MUTED}; }}
        .number {{ font-variant-numeric: tabular-nums; }}
        .reliability {{ position: relative; width: 76px; min-width: 76px; }}
        .reliability div {{ position: absolute; left: 4px; top: calc(50% - 7px); height: 14px; background: #a9cfe6; }}
        .reliability span {{ position: relative; font-variant-numeric: tabular-nums; padding-left: 4px; }}
        """
    ]

    def __init__(self, choose: Callable[[str], None], add: Callable[[str], None], **params: Any) -> None:
        super().__init__(**params)
        self._actions = {"show": choose, "add": add}

    def _handle_msg(self, message: dict[str, str]) -> None:
        """Do what a click in the page asks for."""
        self._actions[message["how"]](message["gene"])

    def show_genes(self, table: pd.DataFrame, columns: Mapping[str, str] = NO_COLUMNS) -> None:
        """Show a table of genes.

        Parameters
        ----------
        table
            One row per gene, with `reliability` and `measured`.
        columns
            Further columns to show as numbers, and their headings.
        """
        numbers = table[list(columns)].to_numpy(float)
        rows = []
        for i, gene in enumerate(table.index):
            rows.append(
                {
                    "gene": gene,
                    "reliability": float(table["reliability"].iloc[i]),
                    "measured": bool(table["measured"].iloc[i]),
                    "cells": [f"{number:.2f}" for number in numbers[i]],
                }
            )
        self.param.update(headings=list(columns.values()), rows=rows)

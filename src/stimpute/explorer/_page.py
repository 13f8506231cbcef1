"""The page: what a user chooses, and what follows from it. One for each browser window."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from html import escape
from typing import Any

import numpy as np
import panel as pn
from bokeh.document import Document

from stimpute.explorer import _layout as layout
from stimpute.explorer._charts import Distribution, histogram
from stimpute.explorer._export import maps_png, to_csv, values_table
from stimpute.explorer._gene_list import GeneList
from stimpute.explorer._maps import Maps
from stimpute.explorer._pictures import Explorer, View, describe_cell, pictures
from stimpute.explorer._region import cells_inside
from stimpute.explorer._region_card import RegionCard

N_FOUND = 50  # genes of a search that are listed
NO_LABEL = "none"
ALIKE = (
    "<p class='muted'>Correlation of imputed values in {n_cells} cells. It comes from the model, and is no evidence of "
    "co-expression in this tissue.</p>"
)


class Page:
    """One open page.

    Parameters
    ----------
    explorer
        Everything that can be shown; shared by all pages.
    document
        The document of Bokeh, or None for a page that nobody sees.
    """

    def __init__(self, explorer: Explorer, document: Document | None = None) -> None:
        self.explorer = explorer
        self._document = document
        tissue = explorer.tissue
        self.choice = View(self._first_gene())
        self.section = tissue.sections[0]
        self.region: np.ndarray | None = None  # whether each cell of the section is inside

        self._search = pn.widgets.TextInput(
            label="Gene", placeholder="Type a part of its name", margin=0, sizing_mode=layout.WIDE
        )
        self._found, self._alike, top_genes = (
            GeneList(self.choose, self.add, margin=0, sizing_mode=layout.WIDE) for _ in range(3)
        )
        self._gene_lists = [self._found, self._alike, top_genes]
        self._n_found = layout.text()
        self._section = layout.tabs("Section", [section.name for section in tissue.sections])
        self._label = layout.selector("Labels of cells", [NO_LABEL, *tissue.labels])
        self._one_scale = pn.widgets.Checkbox(label="Measured and imputed share one color scale", value=True, margin=0)
        self._one_gene = layout.button("Show one gene only", visible=False)
        self._heading = layout.text()
        self._cell = layout.text("<span class='muted'>Click on a cell to read its values.</span>")
        self._maps = Maps(tissue.sections, self._run, self._select, self._tap)
        self._distribution = Distribution(tissue.unit)
        self._about_distribution = layout.title()
        self._about_alike = layout.title()
        self._region = RegionCard(explorer.values, top_genes, self._clear_region)
        self._csv = layout.download("Values, CSV", self._make_csv)
        self._png = layout.download("Picture, PNG", self._make_png)
        self._connect()
        self.view = self._arrange()
        self._show_found()
        self._show()

    def _first_gene(self) -> str:
        """Choose the most reliable measured gene, so that measured and imputed values can be compared at once."""
        ranked = self.explorer.genes.ranked
        measured = ranked[ranked["measured"].to_numpy(bool)]
        return str((measured if len(measured) else ranked).index[0])

    def _connect(self) -> None:
        self._search.param.watch(lambda _: self._show_found(), "value_input")
        self._search.param.watch(lambda _: self._enter(), "enter_pressed")
        self._section.param.watch(lambda event: self._change_section(event.new), "value")
        self._label.param.watch(lambda event: self._change(label=None if event.new == NO_LABEL else event.new), "value")
        self._one_scale.param.watch(lambda event: self._change(one_scale=event.new), "value")
        self._one_gene.on_click(lambda _: self._change(second=None))

    def _run(self, action: Callable[[], None]) -> None:
        """Run a function at the next moment at which the document may be changed, after what is waiting is sent."""
        if self._document is None:
            action()
        else:
            self._document.add_next_tick_callback(lambda: self._report_errors(action))

    def _report_errors(self, action: Callable[[], None]) -> None:
        """Run a function, and show an error of it on the page as well."""
        try:
            action()
        except Exception as error:
            self._heading.object = f"<p class='warning'>{escape(f'{type(error).__name__}: {error}')}</p>"
            raise

    # ------------------------------------------------------------ what a user does

    def choose(self, gene: str) -> None:
        """Show a gene."""
        self._change(gene=gene, second=None if gene == self.choice.second else self.choice.second)

    def add(self, gene: str) -> None:
        """Draw a second gene with the first."""
        self._change(second=None if gene == self.choice.gene else gene)

    def _change(self, **choices: Any) -> None:
        self.choice = dataclasses.replace(self.choice, **choices)
        self._heading.object = f"<h2>{escape(' and '.join(self.choice.genes))} <span class='muted'>…</span></h2>"
        self._run(self._show)

    def _enter(self) -> None:
        """Show the first gene that was found."""
        text = self._search.value_input or ""
        found = self.explorer.genes.search(text)
        if text.strip() and len(found):
            self.choose(str(found.index[0]))

    def _change_section(self, name: str) -> None:
        self.section = next(section for section in self.explorer.tissue.sections if section.name == name)
        self._clear_region()
        self._run(self._show)

    def _select(self, geometry: Mapping[str, Any]) -> None:
        """Compare the cells inside a lasso or box with the rest."""
        is_inside = cells_inside(self.section.coords, geometry)
        try:
            self._region.compare(self.section.cells, is_inside)
        except ValueError as error:
            self._clear_region(str(error))
            return
        self.region = is_inside
        self._show_distribution()

    def _clear_region(self, reason: str = "") -> None:
        self.region = None
        self._region.clear(reason)
        self._run(lambda: self._maps.outline(None))
        self._run(self._show_distribution)

    def _tap(self, x: float, y: float) -> None:
        self._cell.object = escape(describe_cell(self.explorer, self.choice, self.section.nearest(x, y)))

    # ------------------------------------------------------------ what follows

    def _show(self) -> None:
        """Draw everything that depends on the genes."""
        self._maps.show(self.section, pictures(self.explorer, self.choice))
        self._heading.object = self._describe()
        self._one_gene.visible = self.choice.second is not None
        is_measured = self.choice.gene in self.explorer.tissue.measured_genes
        self._one_scale.visible = is_measured and self.choice.second is None
        self._show_distribution()
        alike = self.explorer.profiles.alike(self.choice.gene)
        table = self.explorer.values.table.loc[alike.index].assign(correlation=alike)
        self._alike.show_genes(table, {"correlation": "correlation"})
        layout.change_title(self._about_alike, f"Predicted most like {self.choice.gene}")
        for genes in self._gene_lists:
            genes.current = self.choice.genes
        name = "_".join(self.choice.genes).replace("/", "_")
        self._csv.filename = f"{name}.csv"
        self._png.filename = f"{name}.png"

    def _describe(self) -> str:
        """Name the genes, and say how reliable they are."""
        n_sentences = None if self.choice.second is None else 1
        lines = []
        for gene in self.choice.genes:
            row = self.explorer.values.table.loc[gene]
            kind = "measured; imputed as if it had not been" if row["measured"] else "not measured"
            sentences = self.explorer.genes.explain(gene)[:n_sentences]
            agreement = self.explorer.agreement(gene)
            if agreement is not None:
                sentences.append(f"Here, the correlation of measured and imputed values is {agreement:.2f}.")
            lines.append(
                f"<h2>{escape(gene)} <span class='muted'>{kind} · reliability {row['reliability']:.2f}</span></h2>"
                f"<p>{' '.join(sentences)}</p>"
            )
        return "".join(lines)

    def _show_distribution(self) -> None:
        layout.change_title(self._about_distribution, f"Distribution of {self.choice.gene} in this section")
        self._distribution.show(histogram(self.explorer, self.choice.gene, self.section.cells, self.region))

    def _show_found(self) -> None:
        found = self.explorer.genes.search(self._search.value_input or "")
        text = ""
        if found.empty:
            text = "No gene of the reference has this in its name."
        elif len(found) > N_FOUND:
            text = f"{len(found):,} genes; the first {N_FOUND} are listed, the most reliable ones first."
        self._n_found.object = f"<span class='muted'>{text}</span>"
        self._found.show_genes(found.head(N_FOUND))

    # ------------------------------------------------------------ downloads and layout

    def _make_csv(self) -> Any:
        region = None
        if self.region is not None:
            region = np.zeros(len(self.explorer.tissue.names), bool)
            region[self.section.cells] = self.region
        return to_csv(values_table(self.explorer, self.choice, region))

    def _make_png(self) -> Any:
        names = [" and ".join(self.choice.genes), self.section.name]
        title = ", ".join(name for name in names if name)
        return maps_png(pictures(self.explorer, self.choice), self.section, title, self._maps.ranges)

    def _arrange(self) -> pn.Column:
        tissue = self.explorer.tissue
        n_genes = len(self.explorer.values.table)
        header = layout.text(
            f"<h1>stimpute explore</h1><span class='muted'>{len(tissue.names):,} cells · "
            f"{len(tissue.measured_genes):,} measured genes · {n_genes:,} genes of the reference</span>"
        )
        self._section.visible = len(tissue.sections) > 1
        self._label.visible = len(tissue.labels) > 0
        caution = layout.text(ALIKE.format(n_cells=self.explorer.profiles.n_cells))
        cards = pn.FlexBox(
            layout.card(self._about_distribution, self._distribution.view),
            layout.card(self._about_alike, caution, self._alike),
            self._region.view,
            gap="28px",
            sizing_mode=layout.WIDE,
        )
        side = layout.column(self._search, self._n_found, self._found, styles=layout.SIDE)
        main = layout.column(
            self._heading,
            self._one_gene,
            layout.row(self._section, self._label),
            self._maps.controls,
            self._maps.view,
            self._cell,
            layout.row(self._csv, self._png, self._one_scale),
            cards,
            styles=layout.MAIN,
        )
        return layout.page(header, side, main)

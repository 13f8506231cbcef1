"""Write the page of the docs from the tables that were kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from benchmarks.paper import _cache
from benchmarks.paper._study import Study, Verdict, all_studies
from matplotlib.figure import Figure

DOCS = Path(__file__).resolve().parents[2] / "docs"
FIGURES = "_static/paper"
INTRODUCTION = Path(__file__).parent / "introduction.md"


@dataclass
class Page:
    """Sections in Markdown, figures, and verdicts."""

    parts: list[str] = field(default_factory=list)
    verdicts: list[dict[str, str]] = field(default_factory=list)

    def text(self, *paragraphs: str) -> None:
        """Add paragraphs."""
        self.parts += [f"{paragraph}\n" for paragraph in paragraphs]

    def table(self, table: pd.DataFrame, caption: str, digits: int = 3) -> None:
        """Add a table; an index is shown as its first columns."""
        shown = table.reset_index() if table.index.names != [None] else table
        self.text(f"**{caption}**", shown.round(digits).to_markdown(index=False))

    def figure(self, figure: Figure, name: str, caption: str) -> None:
        """Save a figure as PNG and add it."""
        folder = DOCS / FIGURES
        folder.mkdir(parents=True, exist_ok=True)
        figure.savefig(folder / f"{name}.png", dpi=110, bbox_inches="tight", metadata={"Software": None})
        self.text(f"```{{figure}} {FIGURES}/{name}.png\n:alt: {caption}\n\n{caption}\n```")

    def verdict(self, claim: str, source: str, verdict: Verdict, evidence: str) -> None:
        """Add a claim of the paper (`source="Fig. 2"`) or of these docs (`source="docs"`) to the table of verdicts."""
        self.verdicts.append({"claim": claim, "where": source, "verdict": verdict, "evidence": evidence})


def write_page(path: Path = DOCS / "paper.md") -> Page:
    """Write the page from all studies of which something was measured."""
    page = Page()
    for name, study in all_studies().items():
        results = _cache.read(name, study)
        if len(results):
            _write_section(name, study, results, page)
    verdicts = pd.DataFrame(page.verdicts).to_markdown(index=False) if page.verdicts else ""
    introduction = INTRODUCTION.read_text() if INTRODUCTION.exists() else "# The paper, re-examined\n"
    path.write_text("\n".join([introduction, "## Verdicts", "", verdicts, "", *page.parts]))
    return page


def _write_section(name: str, study: Study, results: pd.DataFrame, page: Page) -> None:
    page.text(f"## {study.title}", study.question + (f" ({study.paper} of the paper.)" if study.paper else ""))
    missing = [pair for pair in study.pairs if pair not in set(results["pair"])]
    study.show(results, page)
    commits = ", ".join(_cache.commits(name))
    command = f"`python -m benchmarks.paper {name}`, commit {commits}"
    page.text(command + (f"; not measured: {', '.join(missing)}." if missing else "."))

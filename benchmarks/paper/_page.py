"""Write the pages of the docs, one with the verdicts and one for each study, from the tables that were kept."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from benchmarks.paper import _cache
from benchmarks.paper._claims import add_claims
from benchmarks.paper._compare import real, write_seeds
from benchmarks.paper._study import Study, Verdict, all_studies, tasks_of
from benchmarks.paper._verdicts import OWN, count, evidence, tables, to_markdown
from matplotlib.figure import Figure

DOCS = Path(__file__).resolve().parents[2] / "docs"
FIGURES = "_static/paper"
STUDIES = "paper"  # folder of the pages of the studies
FRONT = "front"
INTRODUCTION = Path(__file__).parent / "introduction.md"
NO_SUMMARY = (
    '**The central claim of the paper is not tested yet with `recipe="paper"`**: that a gene network made from a '
    "protein language model (ESM-2) improves imputation (`python -m benchmarks.paper ablations`). In `crossfit`, ESM-2 "
    "is no better than its own permutation on any of three pairs ([ablations](paper/ablations.md))."
)
CLAIMS = "claims"  # the page of the claims that no study measures


@dataclass
class Page:
    """Pages in Markdown, figures, and verdicts.

    Attributes
    ----------
    docs
        Folder of the docs, where figures are saved.
    studies
        Text of the page of each study.
    study
        The study whose page is being written.
    seeds
        With how many seeds it was measured.
    verdicts
        Claims with their verdicts, and the studies that judged them.
    summary
        What was found on the paper's central claim: the first lines of the page with the verdicts.
    front
        The figure that follows.
    """

    docs: Path = DOCS
    studies: dict[str, list[str]] = field(default_factory=dict)
    study: str = CLAIMS
    seeds: str = ""
    verdicts: list[dict[str, str]] = field(default_factory=list)
    summary: str = NO_SUMMARY
    front: str = ""

    def begin(self, study: str) -> None:
        """Begin the page of a study."""
        self.study = study
        self.seeds = ""

    @property
    def parts(self) -> list[str]:
        """The text of the page that is being written."""
        return self.studies.setdefault(self.study, [])

    def text(self, *paragraphs: str) -> None:
        """Add paragraphs."""
        self.parts.extend(f"{paragraph}\n" for paragraph in paragraphs)

    def table(self, table: pd.DataFrame, caption: str, digits: int = 3, *, folded: bool = False) -> None:
        """Add a table; an index is shown as its first columns. A folded table is shown when the caption is clicked."""
        shown = table.reset_index() if table.index.names != [None] else table
        markdown = to_markdown(shown, digits)
        if folded:
            summary = re.sub("`(.+?)`", r"<code>\1</code>", caption)
            self.text(f"<details><summary>{summary}</summary>", markdown, "</details>")
        else:
            self.text(f"**{caption}**", markdown)

    def figure(self, figure: Figure, name: str, caption: str) -> None:
        """Save a figure as PNG and add it; the one with the name "front" goes to the page with the verdicts."""
        folder = self.docs / FIGURES
        folder.mkdir(parents=True, exist_ok=True)
        options = {"dpi": 100, "bbox_inches": "tight", "metadata": {"Software": None}, "pil_kwargs": {"optimize": True}}
        figure.savefig(folder / f"{name}.png", **options)
        if name == FRONT:
            self.front = figure_text(f"{FIGURES}/{name}.png", caption)
        else:
            self.text(figure_text(f"../{FIGURES}/{name}.png", caption))

    def verdict(self, claim: str, source: str, verdict: Verdict, evidence: str) -> None:
        """Add a claim to the table of verdicts, and its evidence to the page of the study.

        It is one of the paper (`source="Fig. 2"`), of these docs (`source="docs"`), or of nobody
        (`source="asked here"`). Evidence that names no seeds gets those of the study.
        """
        if (
            self.seeds
            and not re.search(r"\d seeds?\b", evidence)
            and verdict not in ("cannot be tested", "not measured yet")
        ):
            evidence = f"{evidence}; {self.seeds}"
        row = {"claim": claim, "where": source, "verdict": verdict, "evidence": evidence, "study": self.study}
        self.verdicts.append(row)


def figure_text(path: str, caption: str) -> str:
    """Write the directive of a figure."""
    return f"```{{figure}} {path}\n:alt: {caption}\n\n{caption}\n```"


def write_page(docs: Path = DOCS) -> Page:
    """Write `paper.md`, a page for each study, and their figures from whatever was measured."""
    page = Page(docs)
    (docs / STUDIES).mkdir(parents=True, exist_ok=True)
    studies = all_studies()
    measured = set()
    for name, study in studies.items():
        results = _cache.read(name, study)
        measured |= set(results["pair"])
        if len(results):
            _write_section(name, study, results, page)
        else:
            command = f"`python -m benchmarks.paper {name}`"
            page.verdict(study.title, study.paper or OWN, "not measured yet", command)
    page.begin(CLAIMS)
    page.text("# Claims that no study measures", "They are judged from [other results](../results.md), or cannot be.")
    add_claims(page, measured)
    head = f"{page.summary}\n\n{page.front}\n\n{count(page.verdicts)}"
    introduction = INTRODUCTION.read_text().replace("{summary}", head)
    (docs / "paper.md").write_text("\n".join([introduction, *_contents(page, studies), *tables(page.verdicts)]))
    for name, parts in page.studies.items():
        parts += evidence(page.verdicts, name)
        (docs / STUDIES / f"{name}.md").write_text("\n".join(parts))
    return page


def _contents(page: Page, studies: dict[str, Study]) -> list[str]:
    """List the studies with their questions, and the parts of the paper that they redo."""
    lines = ["## The studies\n"]
    for name, study in studies.items():
        source = f" ({study.paper} of the paper)" if study.paper else ""
        if name in page.studies:
            lines.append(f"- [{study.title}]({STUDIES}/{name}.md){source}")
    paths = [f"{STUDIES}/{name}" for name in page.studies]
    return [*lines, "", "```{toctree}", ":hidden:", "", *paths, "```", ""]


def _write_section(name: str, study: Study, results: pd.DataFrame, page: Page) -> None:
    page.begin(name)
    page.text(f"# {study.title}", study.question + (f" ({study.paper} of the paper.)" if study.paper else ""))
    _say_what_was_measured(name, study, page)
    judged = real(results) if len(real(results)) else results
    page.seeds = write_seeds(judged.groupby("pair")[["seed"]].nunique().rename(columns={"seed": "seeds"}))
    study.show(results, page)
    commits = ", ".join(_cache.commits(name))
    seeds = ", ".join(str(seed) for seed in sorted(results["seed"].unique()))
    page.text(f"`python -m benchmarks.paper {name}`, seed{'s' if ',' in seeds else ''} {seeds}, commit {commits}.")


def _say_what_was_measured(name: str, study: Study, page: Page) -> None:
    """Name the seeds if there are several, part by part where they differ, and what was not measured."""
    tasks = [task for task in tasks_of(name, study) if task.pair in study.pairs or _cache.is_measured(task)]
    measured = [task for task in tasks if _cache.is_measured(task)]
    seeds = sorted({task.seed for task in measured})
    if len(measured) == len(tasks) and len(seeds) == 1:
        return
    text = "One seed." if len(seeds) == 1 else f"Seeds {', '.join(map(str, seeds))}."
    if len(measured) < len(tasks):
        text = f"**Measured in part**: {len(measured)} of {len(tasks)} runs. {text}"
    coverage = _cache.coverage(name, study)
    without = [pair for pair in coverage if not coverage[pair].any()]
    page.text(text + (f" Nothing yet on {', '.join(without)}." if without else ""))
    if len(study.parts) > 1 and coverage.stack().nunique() > 1:
        page.table(coverage, "Seeds that were measured, by part and pair", folded=True)

"""Define what a study consists of, and find the studies."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import pandas as pd

from stimpute.datasets import paper_pairs

if TYPE_CHECKING:
    from benchmarks.paper._page import Page

REAL_PAIRS = ("OSMFISH", "MERFISH_HYPOTHALAMUS", "STARMAP_V1")
PAIRS = (*REAL_PAIRS, "OSMFISH_VISP", "SYNTHETIC")
PAPER_PAIRS = paper_pairs()
Verdict = Literal[
    "holds", "holds in part", "mixed", "does not hold", "too few data", "cannot be tested", "not measured yet"
]


@dataclass(frozen=True)
class Study:
    """One analysis, measured for one pair and one seed at a time.

    Attributes
    ----------
    title
        Title of its section.
    paper
        Figures and tables of the paper that it redoes; empty for a question that the paper does not ask.
    question
        What it asks, one sentence.
    measure
        Function of a pair and a seed, and of a part if there are parts, that returns a table, which is cached. It
        reads nothing else, so that everything can run at the same time. Tables are small: one row per method and gene
        at most.
    show
        Function of the tables of all pairs and seeds, with the columns `pair` and `seed`, and of a page, that writes
        the section: text, tables, figures and verdicts. It measures nothing.
    pairs, seeds
        What it is measured on. What it needs of a pair is in `_lacks.py`.
    one_seed
        Pairs, parts, and parts of one pair ("STARMAP_V1 tangram") that are measured with the first seed only.
    n_cells
        Number of spatial cells to draw; None for all.
    all_cells
        Pairs of which all cells are used all the same.
    parts
        What is measured in processes of their own, for example slow methods; their tables are put below one another.
    """

    title: str
    paper: str
    question: str
    measure: Callable[..., pd.DataFrame]
    show: Callable[[pd.DataFrame, Page], None]
    pairs: tuple[str, ...] = PAIRS
    seeds: tuple[int, ...] = (0, 1, 2)
    one_seed: tuple[str, ...] = ()
    n_cells: int | None = 1000
    all_cells: tuple[str, ...] = ()
    parts: tuple[str, ...] = ("",)


@dataclass(frozen=True)
class Task:
    """The smallest piece of work: one part of a study on one pair with one seed."""

    study: str
    pair: str
    seed: int
    part: str = ""

    def __str__(self) -> str:
        return " ".join([self.study, self.pair, str(self.seed), self.part]).strip()


def tasks_of(name: str, study: Study) -> list[Task]:
    """List the tasks of a study; those on the pairs of the paper need files that somebody saved."""
    pairs = (*study.pairs, *PAPER_PAIRS) if REAL_PAIRS[0] in study.pairs else study.pairs
    return [
        Task(name, pair, seed, part) for pair in pairs for part in study.parts for seed in _seeds(study, pair, part)
    ]


def _seeds(study: Study, pair: str, part: str) -> tuple[int, ...]:
    return study.seeds[:1] if {pair, part, f"{pair} {part}"} & set(study.one_seed) else study.seeds


def all_studies() -> dict[str, Study]:
    """Import every study of this package: modules without an underscore that define `STUDY`, by name in page order.

    A module sets its place on the page by `ORDER`, a number.
    """
    package = importlib.import_module(__package__)
    names = [module.name for module in pkgutil.iter_modules(package.__path__) if not module.name.startswith("_")]
    modules = {name: importlib.import_module(f"{__package__}.{name}") for name in names}
    ordered = sorted(modules, key=lambda name: (modules[name].ORDER, name))
    return {name: modules[name].STUDY for name in ordered}

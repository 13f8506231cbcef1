"""Add verdicts on claims that no study measures: those that `RESULTS.md` tests, and those that cannot be tested."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from benchmarks.paper._compare import ASKED_HERE, judge, wide

from stimpute.datasets import paper_pairs

if TYPE_CHECKING:
    from benchmarks.paper._page import Page
    from benchmarks.paper._study import Verdict

RESULTS = Path(__file__).resolve().parents[1] / "RESULTS.md"
SOURCE = "`benchmarks/RESULTS.md`, three seeds, no test"
PAPER_CELLS = 1_349_620  # of the largest section of the paper
PAPER_GB = 13.8
PAPER_MINUTES = 961
GB_PER_GIB = 1.074
FOUND, CHANCE = 0.8, 0.5  # areas under the curve
SAME_COST = 1.25  # times that of the smallest section: up to there we say that a cost does not grow
STEPS_OF_A_RUN = ("open", "set up", "train", "impute")  # the beginnings of the stages that make a table of genes
CANNOT = (
    (
        "stImpute is best on each of the paper's nine pairs",
        "Fig. 2, Table S1",
        paper_pairs(),
        "two of them are here in part, with the genes and cells of the page on the data; the systems are compared on "
        "ours",
    ),
    (
        "All methods are poor on STARmap_AllenVISp, even on its 100 most variable genes",
        "S1",
        ("STARmap_AllenVISp",),
        "these data are not here",
    ),
    (
        "On 1.3 million cells (Xenium, tonsil) the CSS over cells is .53, 7 % above stPlus, and lower by gene",
        "S5",
        ("Xenium_GSM5051495",),
        "these data are not here",
    ),
    (
        "Most systems need less than 14 GB for 1.3 million cells; Tangram, SpaGE and novoSpaRc fail there",
        "S5, S6",
        ("Xenium_GSM5051495",),
        "the systems were measured on 16,000 cells at most: see the page on cost",
    ),
)


def add_claims(page: Page, measured: Collection[str] = ()) -> None:
    """Add what cannot be tested, and what `RESULTS.md` says of intervals, levels, further references and cost.

    Parameters
    ----------
    page
        The page.
    measured
        Pairs of which something was measured.
    """
    for claim, where, needed, reason in CANNOT:
        found = [pair for pair in needed if pair in measured]
        text = f"{', '.join(found)} was measured: see the tables; no rule judges this claim" if found else reason
        page.verdict(claim, where, "cannot be tested", text)
    _add_intervals(page)
    _add_levels(page)
    _add_references(page)
    _add_similarity(page)
    _add_large_section(page)
    _add_explained(page)


def read_table(heading: str) -> pd.DataFrame:
    """Read the first table below a heading of `RESULTS.md`; of `mean ± deviation`, the mean."""
    below = RESULTS.read_text().split(f"\n{heading}\n", 1)[1]
    lines = [line for line in below.split("\n#", 1)[0].splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    table = pd.DataFrame(rows[2:], columns=rows[0]).map(lambda text: text.split(" ± ")[0])
    return table.apply(lambda column: pd.to_numeric(column, errors="coerce").fillna(column))


def _add_intervals(page: Page) -> None:
    table = read_table("## 90 % intervals")
    promises = {"all values": ("coverage", 0.9), "values above zero": ("above_zero", 0.8)}
    promises["the quarter of genes that is covered least"] = ("least_covered", 0.8)
    for text, (column, least) in promises.items():
        _add(page, f"90 % intervals cover at least {least:.0%} of {text}", table, table[column], table[column] >= least)
    width = table["width"] / table["constant_width"]
    claim = "Intervals are narrower than one constant interval that covers as much (width, divided by the constant one)"
    _add(page, claim, table, width, width < 1)


def _add(page: Page, claim: str, table: pd.DataFrame, values: pd.Series, yes: pd.Series) -> None:
    evidence = [
        f"{pair}: {of_pair.min():.3f} to {of_pair.max():.3f}"
        for pair, of_pair in values.groupby(table["pair"], sort=False)
    ]
    text = f"{'; '.join(evidence)} over random folds and the rarer half of the genes hidden ({SOURCE})"
    page.verdict(claim, "docs", judge(list(yes), table["pair"]), text)


def _add_levels(page: Page) -> None:
    table = read_table("# Levels of hidden genes, 1000 cells, three seeds").set_index(["pair", "method"])
    for column, other in (("error of mean", "reference mean, calibrated"), ("error of std", "kNN")):
        errors = wide(table[column], "method")
        own = errors["stimpute, crossfit"]
        evidence = "; ".join(f"{pair}: {own[pair]:.3f} against {errors[other][pair]:.3f}" for pair in errors.index)
        name = "mean" if "mean" in column else "standard deviation"
        claim = f"`crossfit` predicts the {name} of hidden genes better than {other} (root mean squared error)"
        page.verdict(claim, "docs", judge(list(own < errors[other]), errors.index), f"{evidence} ({SOURCE})")


def _add_references(page: Page) -> None:
    """Judge what a further reference brings; tables of marker genes, which the docs say add nothing, are left out."""
    table = read_table("## Hidden genes with one and with several references").set_index(["pair", "references"])["pcc"]
    gain = table - table.xs("own", level="references").reindex(table.index, level="pair")
    names = gain.index.get_level_values("references")
    is_permuted = names.str.contains("permuted")
    further = gain[~is_permuted & (names != "own") & ~names.str.contains("markers")]
    lacking = further[further.index.get_level_values("pair").isin(["OSMFISH", "MERFISH_HYPOTHALAMUS"])]
    evidence = "; ".join(f"{pair}, {name}: {value:+.3f}" for (pair, name), value in further.items())
    claim = (
        "A second reference raises the PCC where it has types that the first one lacks (OSMFISH, MERFISH_HYPOTHALAMUS)"
    )
    page.verdict(claim, "docs", judge(list(lacking > 0), _pairs(lacking)), f"{evidence} ({SOURCE})")
    cost = gain[is_permuted]
    evidence = "; ".join(f"{pair}, {name}: {value:+.3f}" for (pair, name), value in cost.items())
    claim = "A further reference that says nothing costs at most .005 in PCC"
    page.verdict(claim, "docs", judge(list(cost >= -0.005), _pairs(cost)), f"{evidence} ({SOURCE})")


def _pairs(values: pd.Series) -> list[str]:
    return list(values.index.get_level_values("pair"))


def _add_similarity(page: Page) -> None:
    """Judge the structural similarity with matched variance, on the tables of all cells."""
    lead, evidence = {}, []
    for heading in _headings("# crossfit, all cells, three seeds"):
        table = read_table(heading).set_index("method")["ssim"].astype(float)
        name = "stimpute, crossfit, variance matched"
        others = table[~table.index.str.startswith("stimpute, crossfit")]
        pair = heading.removeprefix("## ").split(",")[0]
        lead[pair] = table[name] - others.max()
        evidence.append(f"{pair}: {table[name]:.3f} against {others.max():.3f} of {others.idxmax()}")
    claim = '`crossfit` with `variance="matched"` has a higher SSIM than the baselines of that table'
    gains = pd.Series(lead)
    page.verdict(claim, "docs", judge(list(gains > 0), gains.index), f"{'; '.join(evidence)} ({SOURCE})")


def _headings(section: str) -> list[str]:
    """List the headings of the second level in a section of `RESULTS.md`."""
    below = RESULTS.read_text().split(f"\n{section}\n", 1)[1].split("\n# ", 1)[0]
    return [line for line in below.splitlines() if line.startswith("## ")]


def exponent(cells: pd.Series, seconds: pd.Series) -> float:
    """Compute the exponent with which a cost grows from the smallest to the largest number of cells."""
    first, last = np.argmin(cells), np.argmax(cells)
    return float(np.log(seconds.iloc[last] / seconds.iloc[first]) / np.log(cells.iloc[last] / cells.iloc[first]))


def add_cost(page: Page, recipe: str, where: str, verdict: Verdict, evidence: str) -> None:
    """Add whether a recipe takes less than the paper reports for its largest section."""
    claim = f"1.3 million cells take {PAPER_MINUTES} minutes and {PAPER_GB} GB (`{recipe}`: at most as much)"
    page.verdict(claim, where, verdict, evidence)


def _read_stages() -> pd.DataFrame:
    table = read_table("# A section from disk, stage by stage")
    return table.assign(cells=table["cells"].str.replace(",", "").astype(int))


def read_large_section() -> dict[str, float]:
    """Read what `crossfit` took for a section in a file as large as the paper's largest.

    `seconds` are of the CPU and `wall` by the clock, from opening the file to the imputed genes; `peak_gib` is the
    peak memory of that, and `lazy_gib` that of looking at genes one by one.
    """
    table = _read_stages()
    million = min(size for size in table["cells"] if size > 1_000_000)
    of_section = table[table["cells"] == million]
    of_run = of_section[of_section["stage"].str.startswith(STEPS_OF_A_RUN)]
    return {
        "cells": million,
        "seconds": of_run["CPU s"].sum(),
        "wall": of_run["wall s"].sum(),
        "peak_gib": of_run["peak GiB"].max(),
        "lazy_gib": of_section["peak GiB"].max(),
    }


def _add_large_section(page: Page) -> None:
    """Judge the cost of `crossfit` on sections of simulated counts in files."""
    cost = read_large_section()
    is_so = cost["peak_gib"] * GB_PER_GIB < PAPER_GB and cost["wall"] < 60 * PAPER_MINUTES
    text = (
        f"{cost['cells']:,} cells × 377 genes in a file, 76 genes imputed to a file: {cost['seconds']:.0f} CPU s, "
        f"{cost['wall']:.0f} s by the clock, {cost['peak_gib']:.1f} GiB at most; {cost['lazy_gib']:.1f} GiB where "
        "genes are looked at one by one (simulated counts, `benchmarks/RESULTS.md`, section A section from disk; "
        "another computer, and fewer genes than the paper's may be)"
    )
    add_cost(page, "crossfit", ASKED_HERE, "holds" if is_so else "does not hold", text)
    table = _read_stages()
    train = table[table["stage"] == "train"].reset_index(drop=True)
    ratio = train["CPU s"] / train["CPU s"].iloc[0]
    text = "; ".join(f"{row['cells']:,} cells: {row['CPU s']} CPU s" for _, row in train.iterrows())
    claim = f"The cost of training `crossfit` does not grow with the data (rule: at most {SAME_COST} times as much)"
    is_so = ratio.iloc[1:] <= SAME_COST
    verdict = "holds" if is_so.all() else "holds in part" if is_so.any() else "does not hold"
    page.verdict(claim, "docs", verdict, f"{text} (simulated counts, `benchmarks/RESULTS.md`)")


def _add_explained(page: Page) -> None:
    """Judge whether cells are found whose type was removed from the reference."""
    table = read_table("## One type missing")
    table = table[~table["case"].str.startswith("synthetic")]
    area = table["1 - explained"].astype(float)
    evidence = "; ".join(f"{case}: {value:.2f}" for case, value in zip(table["case"], area, strict=True))
    claim = (
        f"`get_explained` finds cells whose type the reference lacks (rule: area under the curve of at least {FOUND}; "
        f"below {CHANCE} counts against it)"
    )
    pairs = table["case"].str.split(",").str[0]
    page.verdict(claim, "docs", judge(list(area >= FOUND), pairs, list(area < CHANCE)), f"{evidence} ({SOURCE})")

"""Add verdicts on claims that no study measures: those that `RESULTS.md` tests, and those that cannot be tested."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import pandas as pd
from benchmarks.paper._compare import judge, wide
from benchmarks.paper._cost_claims import add_cost_of_files
from benchmarks.paper._results_tables import ONE_TRAINING, SOURCE, headings, read_table

from stimpute.datasets import paper_pairs

if TYPE_CHECKING:
    from benchmarks.paper._page import Page

FOUND, CHANCE = 0.8, 0.5  # areas under the curve
NOTHING = 0.005  # of PCC
CANNOT = (
    (
        "stImpute is best on each of the paper's nine pairs",
        "Fig. 2, Table S1",
        paper_pairs(),
        "two of them are here in part, with the genes and cells of the page on the data; the systems are compared on "
        "ours",
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
    add_cost_of_files(page)
    _add_explained(page)
    _add_another_tissue(page)


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
        verdict = judge(list(own < errors[other]), errors.index, list(own > errors[other]))
        page.verdict(claim, "docs", verdict, f"{evidence} ({SOURCE})")


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
    markers = gain[names == "own + markers"]
    evidence = "; ".join(f"{pair}: {value:+.3f}" for (pair, _), value in markers.items())
    claim = f"A table of marker genes adds nothing to a reference (PCC, rule: at most {NOTHING} more)"
    page.verdict(claim, "docs", judge(list(markers <= NOTHING), _pairs(markers)), f"{evidence} ({SOURCE})")
    cost = gain[is_permuted]
    evidence = "; ".join(f"{pair}, {name}: {value:+.3f}" for (pair, name), value in cost.items())
    claim = f"A further reference that says nothing costs at most {NOTHING} in PCC"
    page.verdict(claim, "docs", judge(list(cost >= -NOTHING), _pairs(cost)), f"{evidence} ({SOURCE})")


def _pairs(values: pd.Series) -> list[str]:
    return list(values.index.get_level_values("pair"))


def _add_similarity(page: Page) -> None:
    """Judge the structural similarity with matched variance, on the tables of all cells."""
    lead, evidence = {}, []
    for heading in headings("# crossfit, all cells, three seeds"):
        table = read_table(heading).set_index("method")["ssim"].astype(float)
        name = "stimpute, crossfit, variance matched"
        others = table[~table.index.str.startswith("stimpute, crossfit")]
        pair = heading.removeprefix("## ").split(",")[0]
        lead[pair] = table[name] - others.max()
        evidence.append(f"{pair}: {table[name]:.3f} against {others.max():.3f} of {others.idxmax()}")
    claim = '`crossfit` with `variance="matched"` has a higher SSIM than the baselines of that table'
    gains = pd.Series(lead)
    page.verdict(claim, "docs", judge(list(gains > 0), gains.index), f"{'; '.join(evidence)} ({SOURCE})")


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
    verdict = judge(list(area >= FOUND), pairs, list(area < CHANCE))
    page.verdict(claim, "docs", verdict, f"{evidence} ({ONE_TRAINING})")


def _add_another_tissue(page: Page) -> None:
    """Judge whether cells are explained worse by a reference of another tissue."""
    table = read_table("## Another tissue")
    table["is_right"] = table["reference"].str.startswith("right")
    medians = table.pivot_table(index="section", columns="is_right", values="50%", sort=False)
    evidence = "; ".join(f"{name}: {row[True]:.2f} against {row[False]:.2f}" for name, row in medians.iterrows())
    is_so = medians[True] > medians[False]
    claim = "The median of `get_explained` is lower with a reference of another tissue"
    verdict = judge(list(is_so), medians.index, list(~is_so))
    page.verdict(claim, "docs", verdict, f"{evidence} with the other one ({ONE_TRAINING})")

"""Add verdicts on claims that no study measures: those that `RESULTS.md` tests, and those that cannot be tested."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from benchmarks.paper._compare import judge, wide

if TYPE_CHECKING:
    from benchmarks.paper._page import Page

RESULTS = Path(__file__).resolve().parents[1] / "RESULTS.md"
SOURCE = "`benchmarks/RESULTS.md`, three seeds, no test"
OTHER_PAIRS = "these data are not here"
CANNOT = (
    (
        "stImpute is best on each of the paper's nine pairs",
        "Fig. 2, Table S1",
        "one pair is here, with 33 genes of its reference and 1000 of its cells; the systems are compared on ours",
    ),
    ("All methods are poor on STARmap_AllenVISp, even on its 100 most variable genes", "S1", OTHER_PAIRS),
    ("On 1.3 million cells (Xenium, tonsil) the CSS over cells is .53, 7 % above stPlus", "S5", OTHER_PAIRS),
    (
        "1.3 million cells take 961 minutes and 13.8 GB",
        "S6",
        "the data are not here; costs are measured on simulations",
    ),
    ("Pax3 and Pax7, Irx3 and Irx5 come out together (MouseBrain)", "S10", OTHER_PAIRS),
)


def add_claims(page: Page) -> None:
    """Add what cannot be tested, and what `RESULTS.md` says of intervals, levels and further references."""
    for claim, where, reason in CANNOT:
        page.verdict(claim, where, "cannot be tested", reason)
    _add_intervals(page)
    _add_levels(page)
    _add_references(page)


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
    table = read_table("## Hidden genes with one and with several references").set_index(["pair", "references"])["pcc"]
    own = table.xs("own", level="references")
    further = table[~table.index.get_level_values("references").str.contains("permuted")].drop(
        "own", level="references"
    )
    permuted = table[table.index.get_level_values("references").str.contains("permuted")]
    gain = further.droplevel("references") - own
    lacking = gain[["OSMFISH", "MERFISH_HYPOTHALAMUS"]]
    evidence = "; ".join(f"{pair}: {value:+.3f}" for pair, value in gain.items())
    claim = (
        "A second reference raises the PCC where it has types that the first one lacks (OSMFISH, MERFISH_HYPOTHALAMUS)"
    )
    page.verdict(claim, "docs", judge(list(lacking > 0), lacking.index), f"{evidence} ({SOURCE})")
    cost = permuted.droplevel("references") - own
    evidence = "; ".join(f"{pair}: {value:+.3f}" for pair, value in cost.items())
    claim = "A further reference that says nothing costs at most .005 in PCC"
    page.verdict(claim, "docs", judge(list(cost >= -0.005), cost.index), f"{evidence} ({SOURCE})")

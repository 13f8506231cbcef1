"""Write what the published totals, which hold the counts of hidden genes, are worth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
from benchmarks.paper._compare import ALL_PAIRS, ASKED_HERE, add_verdict, paired, wide
from benchmarks.paper._metric_tables import CONSTANT, LABELS, pairs_of_numbers

if TYPE_CHECKING:
    from benchmarks.paper._page import Page

SAME_TRUTH = "all, with the leak-free truth"


def show_leak(results: pd.DataFrame, page: Page) -> None:
    """Compare the protocols on the seeds that both have."""
    genes = results[results["axis"] == "gene"]
    by_seed = genes.groupby(["pair", "method", "seed", "totals"], sort=False)[["pcc", "css"]].mean()
    table = by_seed.unstack("totals")
    if not {("pcc", "all"), ("pcc", "input")} <= set(table):
        return
    table = table.dropna().groupby(level=["pair", "method"], sort=False).mean()
    table = table.drop(list(CONSTANT), level="method", errors="ignore")
    page.text(
        "**The leak.** The published protocol divides a cell by its total over ALL measured genes, so that the count "
        "of a held-out gene is in every input. The truth is scaled by the same totals, so that it differs, too: the "
        "difference between the two numbers is that of two protocols, not of the leak alone; a further table has the "
        "same predictions with one truth. Values that were divided before are declared normalized, so that `crossfit` "
        "cannot compute its totals in every step. A part of what it loses is due to that, on OSMFISH about half, on "
        "MERFISH_HYPOTHALAMUS nothing: the study of preprocessing has `crossfit` with values that were normalized by "
        "the leak-free totals."
    )
    for name in ("pcc", "css"):
        text = table[name].apply(lambda row: f"{row['input']:.3f} → {row['all']:.3f}", axis=1)
        caption = f"Mean {LABELS[name]} over genes: totals over the input genes → over all measured genes, as published"
        page.table(wide(text, "pair").fillna(""), caption, folded=name == "css")
    _show_leak_of_all(results.merge(table.index.to_frame(index=False)), page)
    _judge_leak(genes, page)


def _judge_leak(genes: pd.DataFrame, page: Page) -> None:
    """Test what the published totals are worth: as the protocols are, and with the leak-free truth for both."""
    leaky = genes[genes["totals"] == "all"]
    same_truth = leaky.assign(totals=SAME_TRUTH, pcc=leaky.reindex(columns=["pcc_leak_free"]))
    both = pd.concat([genes, same_truth.dropna(subset="pcc")])
    shown = both[both["totals"] != "all"].groupby(["pair", "method", "seed", "totals"], sort=False)["pcc"].mean()
    table = shown.unstack("totals").dropna().groupby(level=["pair", "method"], sort=False).mean()
    table = table.drop(list(CONSTANT), level="method", errors="ignore")
    if SAME_TRUTH in table:
        text = table.apply(lambda row: f"{row['input']:.3f} → {row[SAME_TRUTH]:.3f}", axis=1)
        caption = (
            "What the leak is worth by itself: mean PCC over genes with the truth of the leak-free totals, predicted "
            "with totals over the input genes → over all measured genes"
        )
        page.table(wide(text, "pair").fillna(""), caption)
    for recipe in ("paper", "crossfit"):
        of_recipe = both[both["method"] == recipe]
        claim = f"Totals over all genes, as published, make `{recipe}` look better (PCC by gene,"
        for totals, truth in (("all", "each with its own truth"), (SAME_TRUTH, "with the leak-free truth for both")):
            tests = paired(of_recipe, "pcc", totals, ["input"], method="totals")
            add_verdict(page, f"{claim} {truth})", ASKED_HERE, tests)


def _show_leak_of_all(results: pd.DataFrame, page: Page) -> None:
    """Write all metrics of both protocols, by gene and by cell, folded; on the seeds that both have."""
    both = results.groupby(["pair", "method", "seed"])["totals"].transform("nunique") == 2
    names = list(LABELS)
    by = ["pair", "method"]
    for axis, text in (("gene", "genes"), ("cell", "cells")):
        chosen = results[both & (results["axis"] == axis) & ((axis == "gene") | (results["gene"] == "mean"))]
        first, second = (
            chosen[chosen["totals"] == totals].groupby(by, sort=False)[names].mean() for totals in ("input", "all")
        )
        table = pairs_of_numbers(first, second.reindex(first.index), " → ").rename(columns=LABELS)
        table = table.sort_index(level="pair", key=lambda pairs: pairs.map(ALL_PAIRS.index), sort_remaining=False)
        caption = f"Means over {text}: totals over the input genes → over all measured genes, as published"
        page.table(table, caption, folded=True)

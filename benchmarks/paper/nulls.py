"""What is left of the accuracy when the data are permuted: the rows that every other row must be compared with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import scipy.sparse as sp
from _methods import baselines, stimpute
from _pairs import Pair
from benchmarks.paper import _cache, accuracy, reliability
from benchmarks.paper._accuracy_page import in_order
from benchmarks.paper._compare import ASKED_HERE, SIMULATED, add_verdict, paired, with_deviation
from benchmarks.paper._held_out import cell_types, make_folds, of_function, predict, summarize
from benchmarks.paper._page import Page
from benchmarks.paper._rivals import RIVALS
from benchmarks.paper._study import Study

from stimpute import tl

ORDER = 20
TRUE = "true data"
REFERENCE, SECTION = "reference values of the gene permuted", "genes of the section permuted"
PLAIN = ("kNN", "ridge", "ridge + mean of the visible panel")


def permute_section(pair: Pair, seed: int) -> Pair:
    """Permute every gene of the section over the cells, independently: no cell has a type any more."""
    random = np.random.default_rng(seed)
    spatial = pair.spatial.copy()
    spatial.X = sp.csr_matrix(random.permuted(pair.spatial.X.toarray(), axis=0))
    return replace(pair, spatial=spatial)


def measure(pair: Pair, seed: int, part: str) -> pd.DataFrame:
    """Score a method on permuted data."""
    name, null = part.split("; ")
    labels = cell_types(pair)
    pair = permute_section(pair, seed) if null == SECTION else pair
    folds = make_folds(pair, seed)
    if null == REFERENCE:
        folds = [tl.permute_targets(fold, seed=seed) for fold in folds]
    if name == "plain":
        known = {**baselines(), **{rival: of_function(function) for rival, function in RIVALS.items()}}
        methods = {rival: known[rival] for rival in PLAIN}
    else:
        methods = {name: stimpute(name, seed=seed)}
    tables = [summarize(predict(folds, method), rival, labels) for rival, method in methods.items()]
    return pd.concat(tables, ignore_index=True).assign(null=null)


def show(results: pd.DataFrame, page: Page) -> None:
    """Write null rows beside the methods on the true data, which the study of accuracy measured."""
    true = _cache.read("accuracy", accuracy.STUDY)
    if not len(true):
        return
    true = in_order(true[true["totals"] == "input"])
    page.text(
        "With the reference values of the held-out genes permuted over the reference cells, only their mean, their "
        "variance and their proteins are known. What is left of the correlation needs no information on the cells in "
        "which the gene is high: it is what all genes of a cell have in common. With every gene of the section "
        "permuted over the cells by itself, a cell has no type; what is left comes from the total that all genes of a "
        "cell are divided by.",
        _on_other_nulls(),
    )
    _show_nulls(true, results, page)
    _judge(true, results, page)


def _on_other_nulls() -> str:
    """Say why the study of reliability has other numbers where all cells exchanged their values."""
    exchanged = _cache.read("reliability", reliability.STUDY)
    if not len(exchanged):
        return ""
    exchanged = exchanged[(exchanged["method"] == "crossfit") & (exchanged["exchanged"] == 1)]
    found = "; ".join(f"{pair} {pcc:.3f}" for pair, pcc in exchanged.groupby("pair", sort=False)["pcc"].mean().items())
    return (
        "Such a number depends on how one permutes. Here log-normalized values are permuted. The study of reliability "
        "exchanges the counts before they are normalized, so that a value is divided by the total of another cell, and "
        "asks for noisy copies beside the gene. Where all cells exchanged their values, `crossfit` has a PCC there of "
        f"{found}. Another seed changes such a number, too (± in the table)."
    )


def _show_nulls(true: pd.DataFrame, results: pd.DataFrame, page: Page) -> None:
    """Write a row per method and null, from the seeds with which all of them were measured."""
    both = pd.concat([true.assign(null=TRUE), results], ignore_index=True)
    both = in_order(both[both["method"].isin(("crossfit", "paper", *PLAIN))])
    keys = ["pair", "method", "seed"]
    n_measured = both.groupby(keys)["null"].nunique()
    whole = n_measured[n_measured == both["null"].nunique()].reset_index()[keys]
    if len(whole):
        table = with_deviation(both.merge(whole), "pcc", ["method", "null"])
        page.table(table, "Mean PCC (± standard deviation over seeds), rows of a method on the same cells and seeds")


def _judge(true: pd.DataFrame, results: pd.DataFrame, page: Page) -> None:
    for name in ("crossfit", "paper"):
        null = results[(results["method"] == name) & (results["null"] == REFERENCE)].assign(method="its null row")
        tests = paired(pd.concat([true[true["method"] == name], null]), "pcc", name)
        claim = f"`{name}` learns about the gene from the reference (PCC above its null row)"
        add_verdict(page, claim, "docs" if name == "crossfit" else ASKED_HERE, tests)


STUDY = Study(
    title="Null rows",
    paper="",
    question="How much of a correlation is left when the data cannot say anything of the gene?",
    measure=measure,
    show=show,
    seeds=(0, 1),
    one_seed=(SIMULATED,),
    all_cells=accuracy.STUDY.all_cells,  # the true rows come from there
    parts=tuple(f"{name}; {null}" for null in (REFERENCE, SECTION) for name in ("crossfit", "paper", "plain")),
)

"""What is left of the accuracy when the data are permuted: the rows that every other row must be compared with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import scipy.sparse as sp
from _methods import baselines, stimpute
from _pairs import Pair
from benchmarks.paper import _cache, accuracy
from benchmarks.paper._compare import add_verdict, means, paired, wide
from benchmarks.paper._held_out import cell_types, make_folds, of_function, predict, summarize
from benchmarks.paper._page import Page
from benchmarks.paper._rivals import RIVALS
from benchmarks.paper._study import Study

from stimpute import tl

ORDER = 20
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
    true = true[true["totals"] == "input"] if len(true) else true
    page.text(
        "With the reference values of the held-out genes permuted over the reference cells, only their mean and "
        "variance are known. What is left of the correlation needs no information on the gene: it is what all genes of "
        "a cell have in common. With every gene of the section permuted over the cells by itself, a cell has no type; "
        "what is left comes from the total that all genes of a cell are divided by."
    )
    names = [name for name in ("crossfit", "paper", *PLAIN) if name in set(results["method"])]
    both = pd.concat([true.assign(null="true data"), results], ignore_index=True)
    both = both[both["method"].isin(names)]
    table = wide(means(both, ["pcc"], ["pair", "method", "null"])["pcc"], "null")
    page.table(table, "Mean PCC with the true data, and with permuted data")
    if not len(true):
        return
    columns = ["pcc", "pcc_partial", "pcc_within", "r2", "r2_calibrated"]
    shown = true[~true["method"].str.contains("(oracle)", regex=False)]
    page.text(
        "`pcc_partial`: what the log total of a cell and the mean of its visible panel leave of truth and prediction. "
        "`pcc_within`: mean over the cell types of the section with at least 20 cells. `r2`: one minus the error "
        "divided by the variance of the gene; below 0 the level is so wrong that the gene's own mean would be better."
    )
    for pair, of_pair in means(shown, columns).groupby(level="pair", sort=False):
        page.table(of_pair.droplevel("pair"), f"{pair}: correlation without depth, within cell types, and R²")
    _judge(true, results, page)


def _judge(true: pd.DataFrame, results: pd.DataFrame, page: Page) -> None:
    for name in ("crossfit", "paper"):
        null = results[(results["method"] == name) & (results["null"] == REFERENCE)].assign(method="its null row")
        tests = paired(pd.concat([true[true["method"] == name], null]), "pcc", name)
        claim = f"`{name}` learns about the gene from the reference (PCC above its null row)"
        add_verdict(page, claim, "docs" if name == "crossfit" else "Fig. 2", tests)
    tests = paired(true, "pcc_within", "crossfit", ["kNN"])
    add_verdict(page, "`crossfit` is better than kNN within cell types", "docs", tests)


STUDY = Study(
    title="Null rows",
    paper="",
    question="How much of a correlation is left when the data cannot say anything of the gene?",
    measure=measure,
    show=show,
    parts=tuple(f"{name}; {null}" for null in (REFERENCE, SECTION) for name in ("crossfit", "paper", "plain")),
)

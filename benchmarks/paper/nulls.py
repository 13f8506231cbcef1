"""What is left of the accuracy when the data are permuted: the rows that every other row must be compared with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import scipy.sparse as sp
from _methods import baselines, stimpute
from _pairs import Pair
from benchmarks.paper._held_out import cell_types, make_folds, of_function, predict, summarize
from benchmarks.paper._null_page import show
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


STUDY = Study(
    title="Null rows",
    paper="",
    question="How much of a correlation is left when the data cannot say anything of the gene?",
    measure=measure,
    show=show,
    parts=tuple(f"{name}; {null}" for null in (REFERENCE, SECTION) for name in ("crossfit", "paper", "plain")),
)

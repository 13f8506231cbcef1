"""Genes that are said to be reliable, and noise (Fig. 2e, S7, Table S2)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from _methods import stimpute
from _pairs import Pair
from benchmarks.paper import accuracy
from benchmarks.paper._held_out import make_folds
from benchmarks.paper._reliability_page import show
from benchmarks.paper._study import Study
from noise import SHARES, with_noisy_copies

from stimpute.tl.metrics import pcc

ORDER = 25


def measure(pair: Pair, seed: int, part: str) -> pd.DataFrame:
    """Exchange reference values of each held-out gene among a share of the cells, and predict its reliability."""
    method = stimpute(part, seed=seed)
    tables = []
    for plain in make_folds(pair, seed):
        fold = with_noisy_copies(plain, seed)
        prediction = method(fold)
        table = pd.DataFrame({"gene": np.tile(plain.targets, len(SHARES))})
        table["exchanged"] = np.repeat(SHARES, len(plain.targets))
        table["reliability"] = prediction.reliability
        table["pcc"] = pcc(fold.truth, prediction.expression)
        tables.append(table)
    return pd.concat(tables, ignore_index=True).assign(method=part)


STUDY = Study(
    title="Reliability",
    paper="Fig. 2e, S7, Table S2",
    question="Are the genes that a method says it predicts well the ones that it predicts well?",
    measure=measure,
    show=show,
    seeds=(0,),
    all_cells=accuracy.STUDY.all_cells,
    parts=("crossfit",),
)

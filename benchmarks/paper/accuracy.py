"""Accuracy on held-out genes, for both recipes and for plain rivals (Fig. 2, S1, S2)."""

from __future__ import annotations

import time
from functools import partial

import numpy as np
import pandas as pd
from _methods import Predict, baselines, stimpute
from _pairs import Pair
from benchmarks.paper._accuracy_page import show
from benchmarks.paper._calibrate import calibrated, post_hoc_reliability
from benchmarks.paper._held_out import HeldOut, cell_types, make_folds, of_function, predict, score_genes, summarize
from benchmarks.paper._rivals import BOOSTED, RIVALS, matched_type_mean, own_type_mean, own_values
from benchmarks.paper._study import Study

from stimpute import tl
from stimpute.tl import GeneFold

ORDER = 10
NOISE = 1.0  # standard deviations of all predictions
PUBLISHED = ", published totals"
BESIDE = ("boosting", "own values")
PARTS = ("paper", "crossfit", "plain", *BESIDE)
WITH_PUBLISHED_TOTALS = tuple(part + PUBLISHED for part in PARTS[:3])


def methods_of(part: str, pair: Pair, seed: int) -> dict[str, Predict]:
    """Return the methods of a part of the study."""
    labels = cell_types(pair)
    has_labels = "labels" not in pair.lacks
    if part in ("paper", "crossfit"):
        return {part: stimpute(part, seed=seed)}
    if part == "boosting":
        return {name: of_function(rival) for name, rival in BOOSTED.items()}
    if part == "own values":
        found = {"the gene itself, learned in other cells (oracle)": of_function(own_values)}
        of_type = {
            "the gene itself, mean of the given type (oracle)": of_function(partial(own_type_mean, labels=labels))
        }
        return found | (of_type if has_labels else {})
    found = {**baselines(), **{name: of_function(rival) for name, rival in RIVALS.items()}}
    if has_labels and "cell_type" in pair.reference.obs:
        found["mean of the matched type (given labels)"] = of_function(partial(matched_type_mean, labels=labels))
    return found


def measure(pair: Pair, seed: int, part: str) -> pd.DataFrame:
    """Predict all genes by the methods of a part, and score genes and cells.

    With the published totals, the truth is another one, too; `pcc_leak_free` compares the same predictions with the
    truth of the leak-free totals.
    """
    totals = "all" if part.endswith(PUBLISHED) else "input"
    folds = make_folds(pair, seed, totals)
    labels = cell_types(pair)
    tables = []
    for name, method in methods_of(part.removesuffix(PUBLISHED), pair, seed).items():
        start = time.process_time()
        held = predict(folds, method)
        cpu_seconds = time.process_time() - start
        table = summarize(held, name, labels).assign(totals=totals, cpu_seconds=cpu_seconds)
        table = table.merge(_further_columns(held), on="gene", how="left")
        if totals == "all":
            table = table.merge(_against_leak_free(held, make_folds(pair, seed)), on="gene", how="left")
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _against_leak_free(held: HeldOut, folds: list[GeneFold]) -> pd.DataFrame:
    """Correlate predictions with the truth of other folds of the same genes."""
    genes = [gene for fold in folds for gene in fold.targets]
    truth = pd.DataFrame(np.hstack([fold.truth for fold in folds]), columns=genes)[list(held.genes.index)]
    return pd.DataFrame({"gene": held.genes.index, "pcc_leak_free": tl.metrics.pcc(truth.to_numpy(), held.predicted)})


def _further_columns(held: HeldOut) -> pd.DataFrame:
    """Score the calibrated predictions, and compute the paper's reliability, with noise and without."""
    of_calibrated = score_genes(calibrated(held))[["css", "mse", "js", "r2"]].add_suffix("_calibrated")
    cells = summarize(calibrated(held), "")
    cells = cells[cells["axis"] == "cell"].set_index("gene")[["css", "mse", "pcc"]].add_suffix("_calibrated")
    table = pd.concat([of_calibrated, cells])
    reliability = {"post_hoc": post_hoc_reliability(held), "post_hoc_noisy": post_hoc_reliability(held, NOISE)}
    for name, values in reliability.items():
        table[name] = np.nan
        table.loc[held.genes.index, name] = values
    return table.rename_axis("gene").reset_index()


STUDY = Study(
    title="Accuracy on held-out genes",
    paper="Fig. 2, S1, S2, Table S1",
    question="How well are genes predicted that the section measured and that no method saw?",
    measure=measure,
    show=show,
    all_cells=("OSMFISH_VISP",),  # the cells of the paper
    parts=PARTS + WITH_PUBLISHED_TOTALS,
)

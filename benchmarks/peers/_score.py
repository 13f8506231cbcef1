"""Compare what a system predicted with the truth: one row per gene, and one for the cells and the cost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from _methods import Prediction
from benchmarks.paper._calibrate import calibrated, post_hoc_reliability
from benchmarks.paper._held_out import HeldOut, predict, score_cells, score_genes

from peers._exchange import Answer
from stimpute.tl import GeneFold

BY_CELL = ["pcc", "spearman", "css", "ssim"]  # the mean MSE over cells is that over genes
LEVEL_METRICS = ["css", "mse", "ssim", "js", "r2"]  # those that a calibration of levels changes


def score(folds: Sequence[GeneFold], answers: Sequence[Answer]) -> pd.DataFrame:
    """Score each gene, as predicted and with calibrated levels, then all cells at once (with the gene left empty).

    The calibration and the reliability after the fact are those of the study of accuracy.
    """
    held = held_out(folds, answers)
    levels = calibrated(held)
    labels = list(folds[0].spatial.obs["cell_type"].astype(str))
    rows = score_genes(held, labels).drop(columns="reliability")
    rows = rows.join(score_genes(levels)[LEVEL_METRICS].add_suffix("_calibrated"))
    rows = rows.assign(post_hoc=post_hoc_reliability(held), **_ratios(held))
    whole = {"gene": "", **_by_cell(held, ""), **_by_cell(levels, "_calibrated"), **_cost(answers)}
    if "lower" in answers[0].prediction:
        lower, upper = (np.hstack([answer.prediction[side] for answer in answers]) for side in ("lower", "upper"))
        inside = (held.truth >= lower) & (held.truth <= upper)
        above_zero = inside[held.truth > 0].mean()
        whole |= {"coverage": inside.mean(), "above_zero": above_zero, "width": (upper - lower).mean()}
        rows["coverage"] = inside.mean(0)
        rows["width"] = (upper - lower).mean(0)
    table = pd.concat([rows.reset_index(), pd.DataFrame([whole])], ignore_index=True)
    table.insert(0, "method", answers[0].cost["name"])
    return table


def held_out(folds: Sequence[GeneFold], answers: Sequence[Answer]) -> HeldOut:
    """Put the answers to the folds together; what is not a number becomes 0."""
    made = {fold.number: answer.prediction["expression"] for fold, answer in zip(folds, answers, strict=True)}
    return predict(folds, lambda fold: Prediction(np.nan_to_num(made[fold.number])))


def _ratios(held: HeldOut) -> dict[str, np.ndarray]:
    """Divide mean and standard deviation over cells of what was predicted by those of the truth, shape (n_genes,)."""
    return {
        f"{name}_ratio": of(held.predicted, axis=0) / np.maximum(of(held.truth, axis=0), 1e-12)
        for name, of in (("mean", np.mean), ("sd", np.std))
    }


def _by_cell(held: HeldOut, suffix: str) -> dict[str, float]:
    cells = score_cells(held)
    names = {"mean": suffix, "median": f"{suffix}_median"}
    return {f"cell_{metric}{end}": cells.loc[row, metric] for row, end in names.items() for metric in BY_CELL}


def _cost(answers: Sequence[Answer]) -> dict[str, float | str]:
    """Sum the time over the folds; the memory is that of the largest."""
    cost = pd.DataFrame([answer.cost for answer in answers])
    seconds = cost[["cpu_seconds", "wall_seconds"]].sum().to_dict()
    return {**seconds, "peak_gib": cost["peak_gib"].max(), "device": "/".join(sorted(set(cost["device"])))}

"""Compare what a system predicted with the truth: one row per gene, and one for the cells and the cost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.linear_model import LinearRegression

from peers._exchange import Answer
from stimpute import tl
from stimpute.tl import GeneFold

METRICS = ["pcc", "spearman", "css", "mse", "ssim", "rmse_z", "js"]
LEVEL_METRICS = ["css", "mse", "ssim", "js"]  # those of METRICS that a line changes


def score(folds: Sequence[GeneFold], answers: Sequence[Answer]) -> pd.DataFrame:
    """Score each gene, as predicted and with calibrated levels, then all cells at once (with the gene left empty).

    Correlations of genes hardly change by calibrated levels (only where they are cut at zero).
    """
    genes = [gene for fold in folds for gene in fold.targets]
    truth = np.concatenate([fold.truth for fold in folds], 1)
    predictions = [answer.prediction for answer in answers]
    predicted = np.nan_to_num(_together(predictions, "expression"))
    levels = [calibrated(fold, made["expression"]) for fold, made in zip(folds, predictions, strict=True)]
    levels = np.concatenate(levels, 1)
    rows = _by_gene(truth, predicted, genes, METRICS)
    rows = rows.join(_by_gene(truth, levels, genes, LEVEL_METRICS).add_suffix("_calibrated"))
    whole = {"gene": "", **_by_cell(truth, predicted, ""), **_by_cell(truth, levels, "_calibrated"), **_cost(answers)}
    if "lower" in predictions[0]:
        lower, upper = (_together(predictions, side) for side in ("lower", "upper"))
        inside = (truth >= lower) & (truth <= upper)
        whole |= {"coverage": inside.mean(), "above_zero": inside[truth > 0].mean(), "width": (upper - lower).mean()}
        rows["coverage"] = inside.mean(0)
        rows["width"] = (upper - lower).mean(0)
    table = pd.concat([rows.reset_index(), pd.DataFrame([whole])], ignore_index=True)
    table.insert(0, "method", answers[0].cost["name"])
    return table


def calibrated(fold: GeneFold, predicted: np.ndarray) -> np.ndarray:
    """Bring each predicted gene to its mean in the reference, and then to the scale of the section by the line.

    The line is fitted to the means of the training genes in both datasets. A gene predicted as zero becomes constant.
    """
    data = fold.dense
    line = LinearRegression().fit(data.reference.mean(0)[:, None], data.spatial.mean(0))
    predicted = np.maximum(np.nan_to_num(predicted), 0)
    mean = predicted.mean(0)
    known = mean > 1e-6 * max(predicted.max(), 1e-6)
    wanted = data.targets.mean(0)
    on_reference = np.where(known, predicted * (wanted / np.where(known, mean, 1)), wanted)
    return np.maximum(line.intercept_ + line.coef_[0] * on_reference, 0)


def _by_gene(truth: np.ndarray, predicted: np.ndarray, genes: list[str], metrics: list[str]) -> pd.DataFrame:
    values = tl.score(truth, predicted, genes, metrics=metrics)
    return values.pivot(index="gene", columns="metric", values="value").loc[genes, metrics]


def _by_cell(truth: np.ndarray, predicted: np.ndarray, suffix: str) -> dict[str, float]:
    values = tl.score(truth, predicted, axis="cell", metrics=["pcc", "css"]).groupby("metric")["value"].mean()
    return {f"cell_{metric}{suffix}": values[metric] for metric in ("pcc", "css")}


def _together(predictions: list[dict[str, np.ndarray]], name: str) -> np.ndarray:
    return np.concatenate([prediction[name] for prediction in predictions], 1)


def _cost(answers: Sequence[Answer]) -> dict[str, float | str]:
    """Sum the time over the folds; the memory is that of the largest."""
    cost = pd.DataFrame([answer.cost for answer in answers])
    seconds = cost[["cpu_seconds", "wall_seconds"]].sum().to_dict()
    return {**seconds, "peak_gib": cost["peak_gib"].max(), "device": "/".join(sorted(set(cost["device"])))}

"""Predict every measured gene while its fold is held out, and describe how good the predictions are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from _methods import Predict, Prediction
from _pairs import Pair, with_proteins

from stimpute import tl
from stimpute.tl import GeneFold

METRICS = ("pcc", "spearman", "css", "mse", "ssim", "rmse_z", "js")
QUANTILES = {"lowest 5 %": 0.05, "lower quarter": 0.25, "median": 0.5, "upper quarter": 0.75, "highest 5 %": 0.95}
MIN_CELLS = 20  # of a cell type in which a correlation is computed


@dataclass(frozen=True)
class HeldOut:
    """Predictions of all measured genes, each made while its fold was held out.

    Attributes
    ----------
    genes
        One row per gene: `fold`, `reference_mean`, `reference_std` and, if the method has it, `reliability`.
    truth, predicted
        Log-normalized expression, shape (n_cells, n_genes).
    controls
        Log total and mean of the input genes of every cell in every fold, shape (n_folds, n_cells, 2).
    """

    genes: pd.DataFrame
    truth: np.ndarray
    predicted: np.ndarray
    controls: np.ndarray

    @property
    def fold(self) -> np.ndarray:
        """Fold of each gene, shape (n_genes,)."""
        return self.genes["fold"].to_numpy()


def make_folds(pair: Pair, seed: int, totals: str = "input") -> list[GeneFold]:
    """Split the genes; the reference has the protein vectors of the pair. All studies use these folds."""
    reference = with_proteins(pair.reference, pair)
    return tl.gene_folds(pair.spatial, reference, seed=seed, totals=totals, spatial_setup=pair.setup)


def predict(folds: Sequence[GeneFold], method: Predict) -> HeldOut:
    """Apply a method to every fold."""
    tables, truth, predicted, controls = [], [], [], []
    for fold in folds:
        prediction = method(fold)
        data = fold.dense
        table = pd.DataFrame(index=pd.Index(fold.targets, name="gene")).assign(fold=fold.number)
        table["reference_mean"] = data.targets.mean(0)
        table["reference_std"] = data.targets.std(0)
        table["reliability"] = np.nan if prediction.reliability is None else prediction.reliability
        tables.append(table)
        truth.append(fold.truth)
        predicted.append(prediction.expression)
        total = np.asarray(fold.spatial.X.sum(1)).ravel()
        controls.append(np.column_stack([np.log1p(total), data.spatial.mean(1)]))
    return HeldOut(pd.concat(tables), np.hstack(truth), np.hstack(predicted).astype(float), np.stack(controls))


def score_genes(held: HeldOut, labels: Sequence[str] | None = None) -> pd.DataFrame:
    """Score every gene: all metrics, R², and correlations that a cell's depth or its type cannot explain."""
    names = list(held.genes.index)
    table = _by_name(tl.score(held.truth, held.predicted, names, metrics=METRICS), "gene").loc[names]
    residual = ((held.truth - held.predicted) ** 2).sum(0)
    table["r2"] = 1 - residual / np.maximum(((held.truth - held.truth.mean(0)) ** 2).sum(0), 1e-12)
    table["pcc_partial"] = _partial_correlation(held)
    if labels is not None:
        table["pcc_within"] = correlation_within(held.truth, held.predicted, labels)
    return held.genes.join(table)


def score_cells(held: HeldOut) -> pd.DataFrame:
    """Score every cell over the genes; return the mean and quantiles of each metric, one row each."""
    by_cell = _by_name(tl.score(held.truth, held.predicted, axis="cell", metrics=METRICS), "cell")
    rows = {"mean": by_cell.mean(), **{name: by_cell.quantile(q) for name, q in QUANTILES.items()}}
    return pd.DataFrame(rows).T.rename_axis("gene")


def summarize(held: HeldOut, method: str, labels: Sequence[str] | None = None) -> pd.DataFrame:
    """Make the rows of a method: one per gene, and a few on cells."""
    genes = score_genes(held, labels).reset_index().assign(axis="gene")
    cells = score_cells(held).reset_index().assign(axis="cell")
    table = pd.concat([genes, cells], ignore_index=True)
    table.insert(0, "method", method)
    return table


def correlation_within(truth: np.ndarray, predicted: np.ndarray, labels: Sequence[str]) -> np.ndarray:
    """Average a gene's correlation within cell types, weighted by cells, shape (n_genes,); NaN below two types."""
    total = np.zeros(truth.shape[1])
    weight = np.zeros(truth.shape[1])
    labels = np.asarray(labels).astype(str)
    names = np.unique(labels)
    if len(names) < 2:
        return np.full(truth.shape[1], np.nan)
    for label in names:
        cells = np.flatnonzero(labels == label)
        if len(cells) < MIN_CELLS:
            continue
        varies = np.ptp(truth[cells], axis=0) > 0
        found = tl.metrics.pcc(truth[cells], predicted[cells])
        total += np.where(varies, found, 0) * len(cells)
        weight += varies * len(cells)
    return total / np.maximum(weight, 1)


def cell_types(pair: Pair) -> list[str]:
    """Read the cell types of the section; they are all the same if the pair lacks labels."""
    return list(pair.spatial.obs["cell_type"].astype(str))


def _partial_correlation(held: HeldOut) -> np.ndarray:
    """Correlate what a cell's log total and panel mean leave of truth and prediction, shape (n_genes,)."""
    result = np.zeros(held.truth.shape[1])
    for number in np.unique(held.fold):
        genes = held.fold == number
        design = np.column_stack([np.ones(len(held.truth)), held.controls[number]])
        parts = [values[:, genes] - _fitted(design, values[:, genes]) for values in (held.truth, held.predicted)]
        result[genes] = tl.metrics.pcc(*parts)
    return result


def _fitted(design: np.ndarray, values: np.ndarray) -> np.ndarray:
    return design @ np.linalg.lstsq(design, values, rcond=None)[0]


def _by_name(scores: pd.DataFrame, name: str) -> pd.DataFrame:
    return scores.pivot(index=name, columns="metric", values="value").rename_axis(columns=None)


def of_function(function: Callable[[GeneFold], np.ndarray]) -> Predict:
    """Turn a function from a fold to expression into a method."""
    return lambda fold: Prediction(np.asarray(function(fold), dtype=np.float32))

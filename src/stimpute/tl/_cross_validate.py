"""What to expect on one's own data: every measured gene predicted by a model that never saw it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import anndata as ad
import numpy as np
import pandas as pd

from stimpute.data._expression import Expression
from stimpute.tl._baselines import BASELINES, BaselineInput
from stimpute.tl._folds import GeneFold, fold_model, forget, gene_folds, light_copy
from stimpute.tl._score import score

MODEL = "stimpute"
Method = Callable[[GeneFold], np.ndarray]


@dataclass(frozen=True)
class CrossValidation:
    """Predictions of held-out genes, and how good they are.

    Attributes
    ----------
    genes
        Tidy: `method`, `gene`, `metric`, `value`.
    cells
        Cosine similarity and correlation of every cell over the held-out genes; tidy.
    predicted
        Cells × genes on the spatial scale: `X` is the measured truth, a layer per method the predictions; `var` holds
        the model's `reliability` and `fold`.
    """

    genes: pd.DataFrame
    cells: pd.DataFrame
    predicted: ad.AnnData

    @property
    def summary(self) -> pd.DataFrame:
        """Mean over genes (and over cells, prefixed `cell_`), methods in rows."""
        by_gene = self.genes.pivot_table(index="method", columns="metric", values="value", sort=False)
        by_cell = self.cells.pivot_table(index="method", columns="metric", values="value", sort=False)
        return by_gene.join(by_cell.add_prefix("cell_")).rename_axis(index=None, columns=None)


def cross_validate(
    spatial: ad.AnnData,
    reference: ad.AnnData,
    *,
    n_folds: int = 5,
    seed: int = 0,
    totals: Literal["visible", "whole"] = "visible",
    layer: str | None = None,
    batch_key: str | None = None,
    spatial_key: str | None = "spatial",
    expression: Expression = "counts",
    gene_symbols: str | None = None,
    reference_setup: Mapping[str, Any] | None = None,
    train_kwargs: Mapping[str, Any] | None = None,
    interval: float | None = None,
    methods: Mapping[str, Method] | None = None,
    baselines: bool = True,
    progress: bool = True,
    **model_kwargs: Any,
) -> CrossValidation:
    """Hide each fifth of the measured genes in turn, predict it, and compare.

    Folds are over genes. The model of a fold gets an AnnData from which the held-out genes are gone, so that neither
    neighbours nor totals nor training can see them.

    Parameters
    ----------
    spatial, reference
        The two datasets; need not be set up, and are not changed.
    n_folds, seed
        Number of folds, and seed of their shuffle and of training.
    totals
        `"visible"`: the truth and the input are scaled by totals over the genes that are not held out.
        `"whole"`: by totals over the whole panel, as many publications do. That lets a trace of the held-out genes
        reach the method, and is offered for comparison only.
    layer, batch_key, spatial_key, expression, gene_symbols
        Setup of the spatial data, see :meth:`stimpute.StImputeModel.setup_anndata`.
    reference_setup
        Setup of the reference.
    train_kwargs
        Arguments of :meth:`stimpute.StImputeModel.train`.
    interval
        Probability; adds the layers `"lower"` and `"upper"`.
    methods
        Further methods to compare: functions from a fold to predictions, shape (n_cells, n_targets).
    baselines
        Whether to compare with a constant, the calibrated mean of the reference, and kNN.
    progress
        Whether to draw progress bars.
    model_kwargs
        Arguments of :class:`stimpute.StImputeModel`, such as `recipe`.

    Returns
    -------
    :class:`CrossValidation`.

    Examples
    --------
    >>> result = stimpute.tl.cross_validate(spatial, reference)
    >>> result.summary
    """
    setup = {
        "layer": layer,
        "batch_key": batch_key,
        "spatial_key": spatial_key,
        "expression": expression,
        "gene_symbols": gene_symbols,
    }
    train = {"enable_progress_bar": progress, "seed": seed, **(train_kwargs or {})}
    setups = (setup, dict(reference_setup or {}))
    compared: dict[str, Method] = {**(BASELINE_METHODS if baselines else {}), **(methods or {})}
    spatial, reference = light_copy(spatial, setup), light_copy(reference, setups[1])
    folds, names = gene_folds(spatial, reference, setups, n_folds=n_folds, seed=seed, totals=totals)

    shape = (spatial.n_obs, len(names))
    layers = [*compared, MODEL, *(["lower", "upper"] if interval is not None else [])]
    values = {name: np.zeros(shape, np.float32) for name in ["truth", *layers]}
    var = pd.DataFrame({"reliability": 0.0, "fold": -1}, index=names)
    for number, fold in enumerate(folds):
        columns = names.get_indexer(fold.targets)
        imputed = _impute(fold, train, interval, progress, model_kwargs)
        values["truth"][:, columns], values[MODEL][:, columns] = fold.truth, imputed.X
        for name in layers[len(compared) + 1 :]:
            values[name][:, columns] = imputed.layers[name]
        for name, method in compared.items():
            values[name][:, columns] = method(fold)
        var.iloc[columns] = np.column_stack([imputed.var["reliability"], np.full(len(columns), number)])
    predicted = ad.AnnData(values.pop("truth"), obs=spatial.obs.copy(), var=var, layers=values)
    for key, positions in spatial.obsm.items():
        predicted.obsm[key] = positions
    return CrossValidation(*_scores(predicted, [*compared, MODEL]), predicted)


def baseline_input(fold: GeneFold) -> BaselineInput:
    """The dense arrays of a fold."""
    model = fold_model(fold)
    inputs = BaselineInput.of(model, model._need_reference().bank.genes.get_indexer(fold.targets))
    forget(model)
    return inputs


def _baseline(method: Callable[[BaselineInput], np.ndarray]) -> Method:
    return lambda fold: method(baseline_input(fold))


BASELINE_METHODS: dict[str, Method] = {name: _baseline(method) for name, method in BASELINES.items()}


def _impute(
    fold: GeneFold, train: dict[str, Any], interval: float | None, progress: bool, model_kwargs: dict[str, Any]
) -> ad.AnnData:
    model = fold_model(fold, **model_kwargs)
    model.train(**train)
    imputed = model.impute(genes=fold.targets, interval=interval, progress=progress)
    forget(model)
    return imputed


def _scores(predicted: ad.AnnData, methods: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    truth, names = predicted.X, list(predicted.var_names)
    genes = [score(truth, predicted.layers[m], names).assign(method=m) for m in methods]
    cells = [
        score(truth, predicted.layers[m], names, axis="cell", metrics=("css", "pcc")).assign(method=m) for m in methods
    ]
    return pd.concat(genes, ignore_index=True), pd.concat(cells, ignore_index=True)

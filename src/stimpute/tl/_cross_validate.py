"""What to expect on one's own data: every measured gene predicted by a model that never saw it."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.model_selection import KFold

from stimpute.data._expression import Expression
from stimpute.data._normalize import log_normalise, typical_total
from stimpute.model import StImputeModel
from stimpute.model._setup import find_panel
from stimpute.tl._baselines import BASELINES, BaselineInput
from stimpute.tl._score import score

MODEL = "stimpute"
Method = Callable[["GeneFold"], np.ndarray]


@dataclass(frozen=True)
class GeneFold:
    """What a method may see in one fold, and the truth that it may not see.

    Attributes
    ----------
    spatial
        The spatial data without the held-out genes.
    reference
        The reference, whole.
    targets
        Names of the held-out genes, shape (n_targets,).
    truth
        Their measured values, log-normalised by totals over the other genes, shape (n_cells, n_targets).
    setup
        Arguments of `setup_anndata` for the spatial data and the reference.
    """

    spatial: ad.AnnData
    reference: ad.AnnData
    targets: list[str]
    truth: np.ndarray
    setup: tuple[dict[str, Any], dict[str, Any]]


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


def gene_folds(
    spatial: ad.AnnData,
    reference: ad.AnnData,
    setups: tuple[dict[str, Any], dict[str, Any]],
    *,
    n_folds: int = 5,
    seed: int = 0,
    totals: str = "visible",
) -> tuple[list[GeneFold], pd.Index]:
    """Folds over the genes that both datasets name and have seen, and the names of those genes."""
    spatial, reference = spatial.copy(), reference.copy()
    managers = []
    for adata, setup in zip((spatial, reference), setups, strict=True):
        StImputeModel.setup_anndata(adata, **setup)
        managers.append(StImputeModel._get_most_recent_anndata_manager(adata))
    names = pd.Index(np.sort(find_panel(*managers)))
    if len(names) < 2 * n_folds:
        raise ValueError(f"{len(names)} shared genes are too few for n_folds={n_folds}; pass `n_folds=` of 2 or more.")
    x = sparse.csc_matrix(spatial.X)
    counts = setups[0]["expression"] == "counts"
    whole = np.asarray(x.sum(1)).ravel()
    folds = []
    for _, test in KFold(n_folds, shuffle=True, random_state=seed).split(names):
        hidden = spatial.var_names.isin(names[test])
        visible, truth = x[:, ~hidden], x[:, spatial.var_names.get_indexer(names[test])].toarray()
        seen = visible
        if counts:
            total = whole if totals == "whole" else np.asarray(visible.sum(1)).ravel()
            truth = log_normalise(truth, total, typical_total(total))
            if totals == "whole":
                seen = sparse.csr_matrix(log_normalise(visible.toarray(), total, typical_total(total)))
        fold = ad.AnnData(seen.tocsr(), obs=spatial.obs, var=spatial.var[~hidden], obsm=dict(spatial.obsm))
        own = {**setups[0], "expression": "counts" if counts and totals == "visible" else "normalized"}
        folds.append(GeneFold(fold, reference, list(names[test]), truth, (own, setups[1])))
    return folds, names


def light_copy(adata: ad.AnnData, setup: dict[str, Any]) -> ad.AnnData:
    """A copy that holds what the method reads, with genes named as they are matched; `setup` is changed to fit."""
    layer, symbols = setup.pop("layer", None), setup.pop("gene_symbols", None)
    x = adata.X if layer is None else adata.layers[layer]
    light = ad.AnnData(sparse.csr_matrix(x), obs=adata.obs.copy(), var=adata.var.copy(), obsm=dict(adata.obsm))
    light.varm.update(adata.varm), light.varp.update(adata.varp)
    light.uns = {key: value for key, value in adata.uns.items() if key == "stimpute"}
    if symbols is not None:
        light.var_names = adata.var[symbols].astype(str).to_numpy()
    return light


def fold_model(fold: GeneFold, **model_kwargs: Any) -> StImputeModel:
    """An untrained model on what a fold may see."""
    StImputeModel.setup_anndata(fold.spatial, **fold.setup[0])
    StImputeModel.setup_anndata(fold.reference, **fold.setup[1])
    return StImputeModel(fold.spatial, fold.reference, **model_kwargs)


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


def forget(model: StImputeModel) -> None:
    """Let go of a model's data, which scvi-tools would keep for the rest of the session.

    Models and trainers refer to one another, so that nothing is freed before the garbage collector has passed.
    """
    for adata in (model.adata, model._reference_data()):
        StImputeModel._setup_adata_manager_store.pop(adata.uns["_scvi_uuid"], None)
    model.deregister_manager()
    gc.collect()


def _scores(predicted: ad.AnnData, methods: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    truth, names = predicted.X, list(predicted.var_names)
    genes = [score(truth, predicted.layers[m], names).assign(method=m) for m in methods]
    cells = [
        score(truth, predicted.layers[m], names, axis="cell", metrics=("css", "pcc")).assign(method=m) for m in methods
    ]
    return pd.concat(genes, ignore_index=True), pd.concat(cells, ignore_index=True)

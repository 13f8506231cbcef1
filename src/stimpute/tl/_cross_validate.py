"""Cross-validate over genes: predict every measured gene by a model that never saw it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from stimpute._arguments import check_arguments
from stimpute._messages import missing_key
from stimpute.data._annotations import layers_by_name
from stimpute.data._join import References
from stimpute.data._result import package_versions, setup_record, without_values
from stimpute.recipes import OutputOptions, Recipe, get_recipe
from stimpute.tl._baselines import BASELINES
from stimpute.tl._cross_validation import (
    MODEL_NAME,
    NULL_NAME,
    CrossValidation,
    CrossValidationSettings,
    score_cells,
    score_genes,
)
from stimpute.tl._folds import Setup, Totals, cells_were_reported, fit_fold, gene_folds, setup_of
from stimpute.tl._gene_fold import GeneFold
from stimpute.tl._permute_targets import permute_targets

RESERVED_NAMES = {MODEL_NAME, NULL_NAME, "lower", "upper"}  # layers of the predictions that are no other method
Method = Callable[[GeneFold], np.ndarray]


def cross_validate(
    spatial: AnnData,
    reference: AnnData | References,
    *,
    n_folds: int = 5,
    folds: Sequence[int] | None = None,
    seed: int = 0,
    totals: Totals = "input",
    spatial_setup: Setup | None = None,
    reference_setup: Setup | None = None,
    train_kwargs: Setup | None = None,
    interval: float | None = None,
    methods: Mapping[str, Method] | None = None,
    baselines: bool = True,
    null: bool = False,
    groupby: str | None = None,
    progress: bool = True,
    **model_kwargs: Any,
) -> CrossValidation:
    """Predict every measured gene by a model that never saw it, and compare with simple methods.

    Folds are over genes. The model of a fold gets an AnnData without the held-out genes, so that neither neighbors nor
    totals nor training can see them.

    Parameters
    ----------
    spatial, reference
        The two datasets; need not be set up, and are not changed. Several references as for
        :class:`stimpute.StImputeModel`.
    n_folds, seed
        Number of folds, and seed of their shuffle and of training.
    folds
        Numbers of the folds to run, from 0; all if None.
    totals
        `"input"` or `"all"`, see :func:`gene_folds`.
    spatial_setup, reference_setup
        Arguments of :meth:`stimpute.StImputeModel.setup_anndata` for each; of several references by their names. If
        None, those with which the data were set up.
    train_kwargs
        Arguments of :meth:`stimpute.StImputeModel.train`.
    interval
        Share of the values that intervals should cover; adds the layers `"lower"` and `"upper"`.
    methods
        Further methods to compare: functions from a :class:`GeneFold` to predictions, shape (n_cells, n_targets).
    baselines
        Whether to compare with a constant, the calibrated mean of the reference, and kNN.
    null
        Whether to add a null row: the same model, with the reference values of the held-out genes permuted over the
        reference cells, see :func:`permute_targets`. A second model is trained for each fold.
    groupby
        Column of `spatial.obs`, such as the cell type: score also within each group of cells, see
        :meth:`CrossValidation.by_group`.
    progress
        Whether to draw progress bars.
    model_kwargs
        Arguments of :class:`stimpute.StImputeModel`, such as `recipe`.

    Returns
    -------
    :class:`CrossValidation`.

    Raises
    ------
    KeyError
        If there is no column `groupby`.
    ValueError
        If `folds` or `methods` make no sense, there are too few shared genes, or the recipe has no intervals.

    Examples
    --------
    >>> result = stimpute.tl.cross_validate(spatial, reference)
    >>> result.summary
    """
    check_arguments(cross_validate, locals())
    _recipe_class(model_kwargs).check_output(OutputOptions(interval))  # before time is spent
    train = {"enable_progress_bar": progress, "seed": seed, **(train_kwargs or {})}
    others: dict[str, Method] = {**(BASELINES if baselines else {}), **(methods or {})}
    used_setup = setup_of(spatial, spatial_setup)
    used_reference_setup = setup_of(reference, reference_setup)
    setups = {"spatial_setup": used_setup, "reference_setup": used_reference_setup}
    if groupby is not None and groupby not in spatial.obs:
        raise missing_key(groupby, "spatial.obs", spatial.obs.columns, "Name the column of groups by `groupby=`.")
    if reserved := RESERVED_NAMES & set(others):
        raise ValueError(f"`methods` has the name {sorted(reserved)[0]!r}, which the model uses. Choose another name.")
    drawn = gene_folds(spatial, reference, n_folds=n_folds, seed=seed, totals=totals, **setups)
    chosen = drawn if folds is None else _choose(drawn, folds)
    if null:
        others[NULL_NAME] = _null_method(seed, train, model_kwargs)
    parts: list[AnnData] = []
    for fold in chosen:
        with cells_were_reported() if parts else contextlib.nullcontext():
            model = fit_fold(fold, train_kwargs=train, **model_kwargs)
            imputed = model.impute(genes=fold.targets, interval=interval, progress=progress)
        parts.append(_predicted(fold, imputed, others))
    settings = CrossValidationSettings(
        recipe=model.recipe.name,
        hyperparameters=model.recipe.hyperparameters(),
        relations=model.relations,
        reliability_metric=model.recipe.capabilities.reliability_metric,
        interval=interval,
        n_folds=n_folds,
        folds=[fold.number for fold in chosen],
        seed=seed,
        totals=totals,
        spatial_setup=used_setup,
        reference_setup=used_reference_setup,
        versions=package_versions(),
    )
    predicted = _join(parts, spatial, settings)
    compared = [*others, MODEL_NAME]
    genes = score_genes(predicted, compared)
    result = CrossValidation(genes, score_cells(predicted, compared), predicted, settings)
    return result if groupby is None else result.with_groups(groupby)


def _null_method(seed: int, train_kwargs: Setup, model_kwargs: Mapping[str, Any]) -> Method:
    """Make the method that is told nothing about the held-out genes but their mean and variance."""

    def predict(fold: GeneFold) -> np.ndarray:
        with cells_were_reported():
            model = fit_fold(permute_targets(fold, seed=seed), train_kwargs=train_kwargs, **model_kwargs)
            return np.asarray(model.impute(genes=fold.targets, progress=False).X)

    return predict


def _recipe_class(model_kwargs: Mapping[str, Any]) -> type[Recipe]:
    recipe = model_kwargs.get("recipe", "crossfit")
    return type(recipe) if isinstance(recipe, Recipe) else get_recipe(recipe)


def _choose(drawn: list[GeneFold], numbers: Sequence[int]) -> list[GeneFold]:
    """Choose folds by their numbers."""
    if not len(numbers):
        raise ValueError("`folds` is empty. Name at least one fold, or pass None for all.")
    if len(set(numbers)) < len(numbers):
        raise ValueError(f"`folds` is {list(numbers)}; expected each fold once.")
    for number in numbers:
        if not 0 <= number < len(drawn):
            raise ValueError(f"`folds` names fold {number}; expected numbers from 0 to {len(drawn) - 1}.")
    return [drawn[number] for number in numbers]


def _predicted(fold: GeneFold, imputed: AnnData, others: Mapping[str, Method]) -> AnnData:
    """Collect truth and predictions of one fold."""
    layers = {name: np.asarray(method(fold), dtype=np.float32) for name, method in others.items()}
    layers[MODEL_NAME] = imputed.X
    for name in ("lower", "upper"):
        if name in imputed.layers:
            layers[name] = imputed.layers[name]
    var = imputed.var[["reliability"]].assign(fold=fold.number)
    return AnnData(fold.truth.astype(np.float32), var=var, layers=layers)


def _join(parts: list[AnnData], spatial: AnnData, settings: CrossValidationSettings) -> AnnData:
    """Join the folds, with genes in the order of their names."""
    var = pd.concat([part.var for part in parts])
    order = np.argsort(var.index.to_numpy().astype(str))
    setup = {**settings.spatial_setup, "expression": "normalized", "layer": None, "gene_symbols": None}
    about: dict[str, Any] = {"reliability_metric": settings.reliability_metric, "spatial_setup": setup_record(setup)}
    if settings.interval is not None:
        about["interval"] = settings.interval
    joined = without_values(spatial, var.iloc[order], about)
    joined.X = np.concatenate([part.X for part in parts], axis=1)[:, order]
    for name in layers_by_name(parts[0]):
        joined.layers[name] = np.concatenate([part.layers[name] for part in parts], axis=1)[:, order]
    return joined

"""Impute genes in one call from two datasets."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from stimpute._arguments import check_arguments
from stimpute.data._expression import read_expression
from stimpute.data._folds import GeneFolds
from stimpute.data._genes import expressed_shared_genes, genes_in_totals, locate_genes
from stimpute.data._join import References
from stimpute.data._reference import ReferenceExpression
from stimpute.data._result import how_to_cite, setup_record, units, without_values
from stimpute.data._spatial import SpatialCells
from stimpute.model import StImputeModel
from stimpute.model._setup import read_datasets
from stimpute.recipes import RECIPES
from stimpute.tl._baselines import neighbor_mean
from stimpute.tl._folds import Setup, as_one_reference, minimal_copy, setup_of
from stimpute.tl._gene_fold import DenseData

KNN = "knn"
N_FOLDS = 5  # folds of the shared genes; a fold is left out of the search for neighbors when it is predicted


def impute(
    spatial: AnnData,
    reference: AnnData | References,
    genes: str | Sequence[str] | None = None,
    method: str = "crossfit",
    *,
    interval: float | None = None,
    progress: bool = True,
    spatial_setup: Setup | None = None,
    reference_setup: Setup | None = None,
    train_kwargs: Setup | None = None,
    **model_kwargs: Any,
) -> AnnData:
    """Impute genes by a named method.

    Parameters
    ----------
    spatial, reference
        The two datasets; need not be set up. Several references as for :class:`stimpute.StImputeModel`.
    genes
        Names of reference genes; every gene that is not measured if None. A measured gene is predicted as if it had
        not been measured.
    method
        A recipe of :class:`stimpute.StImputeModel`, or `"knn"` for the mean of the 50 nearest reference cells over the
        standardized shared genes, on the scale of the reference.
    interval
        Share of the values that an interval should cover, such as 0.9; adds the layers `lower` and `upper`. Not with
        `"knn"`.
    progress
        Whether to draw progress bars.
    spatial_setup, reference_setup
        Arguments of :meth:`stimpute.StImputeModel.setup_anndata` for each; of several references by their names. If
        None, those with which the data were set up.
    train_kwargs
        Arguments of :meth:`stimpute.StImputeModel.train`.
    model_kwargs
        Arguments of :class:`stimpute.StImputeModel`.

    Returns
    -------
    As :meth:`stimpute.StImputeModel.impute`; with `"knn"`, `var` has `measured` only.

    Raises
    ------
    ValueError
        If the method is unknown, or `"knn"` is asked for what it does not have.

    Examples
    --------
    >>> imputed = stimpute.tl.impute(spatial, reference, genes=["Rorb"])
    """
    check_arguments(impute, locals())
    if method == KNN:
        if interval is not None or train_kwargs or model_kwargs:
            raise ValueError("method='knn' has no intervals, training or hyperparameters: leave those arguments out.")
        return _impute_knn(spatial, reference, genes, spatial_setup, reference_setup)
    if method not in RECIPES:
        raise ValueError(f"`method` is {method!r}; expected one of {sorted([*RECIPES, KNN])}.")
    spatial_setup = setup_of(spatial, spatial_setup)
    reference, reference_setup = as_one_reference(reference, setup_of(reference, reference_setup))
    with StImputeModel.registered_as_before(spatial, reference):
        StImputeModel.setup_anndata(spatial, **spatial_setup)
        StImputeModel.setup_anndata(reference, **(reference_setup or {}))
        model = StImputeModel(spatial, reference, recipe=method, **model_kwargs)
    model.check_request(genes, interval=interval)  # before training, which takes time
    model.train(**({"enable_progress_bar": progress} | dict(train_kwargs or {})))
    return model.impute(genes=genes, interval=interval, progress=progress)


def _impute_knn(
    spatial: AnnData,
    reference: AnnData | References,
    genes: str | Sequence[str] | None,
    spatial_setup: Setup | None,
    reference_setup: Setup | None,
) -> AnnData:
    """Average nearest reference cells, found over the shared genes without those that are asked for."""
    given_setup = setup_of(spatial, spatial_setup)
    spatial_copy, spatial_setup = minimal_copy(spatial, given_setup)
    reference_copy, reference_setup = minimal_copy(*as_one_reference(reference, reference_setup))
    matrix = read_expression(spatial_copy, expression=spatial_setup["expression"])
    reference_matrix = read_expression(reference_copy, expression=reference_setup["expression"])
    shared = expressed_shared_genes(matrix, reference_matrix)
    cells = SpatialCells.from_matrix(matrix, genes_in_totals(matrix, reference_matrix, shared), shared)
    dataset, _ = read_datasets(reference_copy, reference_setup.get("dataset_key"))
    expression = ReferenceExpression(reference_matrix, dataset)
    available = expression.genes
    if genes is None:
        genes = list(available.difference(matrix.genes, sort=False))
    targets = locate_genes(genes, available, "the reference")
    positions = available.get_indexer(shared)

    folds = GeneFolds.draw(len(shared), N_FOLDS)
    values = np.empty((spatial.n_obs, len(targets)), np.float32)
    for fold in [None, *range(len(folds))]:
        split = folds.split(fold)
        wanted = ~np.isin(targets, positions) if fold is None else np.isin(targets, positions[split.held_out])
        if wanted.any():
            data = DenseData.read(cells, expression.datasets[0], positions, targets[wanted], split)
            values[:, wanted] = neighbor_mean(data)
    names = available[targets]
    var = pd.DataFrame({"measured": names.isin(matrix.genes)}, index=names)
    about = {
        "units": units(counts=matrix.is_counts),
        "recipe": KNN,
        "spatial_setup": setup_record(given_setup),
        "version": version("stimpute"),
        "cite": how_to_cite(),
    }
    result = without_values(spatial, var, about)
    result.X = values
    return result

"""One line from two datasets to imputed genes."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, Literal

import anndata as ad
import numpy as np
import pandas as pd

from stimpute.data._hiding import Hiding, split_genes
from stimpute.model import StImputeModel
from stimpute.model._result import to_anndata, units
from stimpute.model._setup import gene_names
from stimpute.recipes import OutputOptions
from stimpute.tl._baselines import BaselineInput, knn

N_HIDINGS = 5


def impute(
    spatial: ad.AnnData,
    reference: ad.AnnData,
    genes: str | Sequence[str] | None = None,
    method: Literal["crossfit", "paper", "knn"] = "crossfit",
    *,
    interval: float | None = None,
    progress: bool = True,
    setup_kwargs: dict[str, Any] | None = None,
    reference_setup: dict[str, Any] | None = None,
    train_kwargs: dict[str, Any] | None = None,
    **model_kwargs: Any,
) -> ad.AnnData:
    """Impute genes by a named method.

    Parameters
    ----------
    spatial, reference
        The two datasets. They are set up here.
    genes
        Names of reference genes; every gene that is not measured if None. A measured gene is predicted as if it were
        hidden.
    method
        A recipe of :class:`stimpute.StImputeModel`, or `"knn"` for the mean of the 50 nearest reference cells over the
        standardised panel, on the scale of the reference.
    interval
        Probability, such as 0.9, for which to add the layers `lower` and `upper`. Not with `"knn"`.
    progress
        Whether to draw progress bars.
    setup_kwargs, reference_setup
        Arguments of :meth:`stimpute.StImputeModel.setup_anndata` for either.
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
    if method == "knn" and (interval is not None or train_kwargs or model_kwargs):
        raise ValueError("method='knn' has no intervals, training or hyperparameters: leave those arguments out.")
    StImputeModel.setup_anndata(spatial, **(setup_kwargs or {}))
    StImputeModel.setup_anndata(reference, **(reference_setup or {}))
    if method == "knn":
        return _knn(StImputeModel(spatial, reference), genes)
    model = StImputeModel(spatial, reference, recipe=method, **model_kwargs)
    model._recipe.check_output(OutputOptions(interval))  # mistakes are told before the training, not after it
    model._targets(genes, gene_names(model.adata_manager))
    model.train(**({"enable_progress_bar": progress} | (train_kwargs or {})))
    return model.impute(genes=genes, interval=interval, progress=progress)


def _knn(model: StImputeModel, genes: str | Sequence[str] | None) -> ad.AnnData:
    """Neighbours over the panel without the genes that are asked for."""
    panel, spatial = model._need_reference().panel, model.adata
    targets, names = model._targets(genes, gene_names(model.adata_manager))
    values = np.empty((spatial.n_obs, len(targets)), np.float32)
    for hiding in (Hiding.nothing(len(panel)), *split_genes(len(panel), N_HIDINGS)):
        asked = np.isin(targets, panel[hiding.hidden]) if len(hiding.hidden) else ~np.isin(targets, panel)
        if asked.any():
            values[:, asked] = knn(BaselineInput.of(model, targets[asked], hiding))
    var = pd.DataFrame({"measured": np.isin(targets, panel)}, index=names)
    about = {"units": units(counts=model._counts), "recipe": "knn", "version": version("stimpute")}
    return to_anndata(spatial, {"X": values}, var, about, None)

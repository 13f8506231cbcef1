"""One line from two datasets to imputed genes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import anndata as ad
import pandas as pd

from stimpute.model import StImputeModel
from stimpute.tl._baselines import BaselineInput, knn


def impute(
    spatial: ad.AnnData,
    reference: ad.AnnData,
    genes: str | Sequence[str] | None = None,
    method: Literal["crossfit", "paper", "knn"] = "crossfit",
    *,
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
        Names of reference genes; every gene that is not measured if None.
    method
        A recipe of :class:`stimpute.StImputeModel`, or `"knn"` for the mean of the 50 nearest reference cells over the
        standardised panel, on the scale of the reference.
    setup_kwargs, reference_setup
        Arguments of :meth:`stimpute.StImputeModel.setup_anndata` for either.
    train_kwargs
        Arguments of :meth:`stimpute.StImputeModel.train`.
    model_kwargs
        Arguments of :class:`stimpute.StImputeModel`.

    Returns
    -------
    As :meth:`stimpute.StImputeModel.impute`.

    Examples
    --------
    >>> imputed = stimpute.tl.impute(spatial, reference, genes=["Rorb"])
    """
    StImputeModel.setup_anndata(spatial, **(setup_kwargs or {}))
    StImputeModel.setup_anndata(reference, **(reference_setup or {}))
    if method != "knn":
        model = StImputeModel(spatial, reference, recipe=method, **model_kwargs)
        model.train(**(train_kwargs or {}))
        return model.impute(genes=genes)
    model = StImputeModel(spatial, reference)
    panel, expression, targets, names = model._dense_inputs(genes)
    var = pd.DataFrame({"measured": names.isin(spatial.var_names)}, index=names)
    values = knn(BaselineInput(panel, expression, targets))
    return ad.AnnData(values, obs=spatial.obs.copy(), var=var, obsm=dict(spatial.obsm))

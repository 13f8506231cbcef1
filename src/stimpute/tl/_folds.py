"""Folds over genes: what a method may see, and the truth that it may not see."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.model_selection import KFold

from stimpute.data._normalize import log_normalise, typical_total
from stimpute.model import StImputeModel
from stimpute.model._setup import find_panel


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
    names = _shared_genes(spatial, reference, setups)
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


def _shared_genes(
    spatial: ad.AnnData, reference: ad.AnnData, setups: tuple[dict[str, Any], dict[str, Any]]
) -> pd.Index:
    managers = []
    for adata, setup in zip((spatial, reference), setups, strict=True):
        light = light_copy(adata, dict(setup))  # what is set up gets columns of its own
        StImputeModel.setup_anndata(light, **setup)
        managers.append(StImputeModel._get_most_recent_anndata_manager(light))
        _release(light)
    return pd.Index(np.sort(find_panel(*managers)))


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


def forget(model: StImputeModel) -> None:
    """Let go of a model's data, which scvi-tools would keep for the rest of the session.

    Models and trainers refer to one another, so that nothing is freed before the garbage collector has passed.
    """
    _release(model.adata, model._reference_data())
    model.deregister_manager()
    gc.collect()


def _release(*datasets: ad.AnnData) -> None:
    for adata in datasets:
        StImputeModel._setup_adata_manager_store.pop(adata.uns["_scvi_uuid"], None)

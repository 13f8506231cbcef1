"""A pair small enough to train on in a test."""

from __future__ import annotations

from typing import Any

import numpy as np
from anndata import AnnData

from stimpute import StImputeModel, pp
from stimpute.datasets import synthetic_tissue

N_CELLS, N_REFERENCE, N_MEASURED, N_UNMEASURED = 150, 211, 24, 20
QUIET: dict[str, Any] = {"accelerator": "cpu", "enable_progress_bar": False, "max_epochs": 2}


def small_pair(proteins: bool = True, **sizes: Any) -> tuple[AnnData, AnnData]:
    """Spatial data and reference, not set up."""
    sizes = {
        "n_cells": N_CELLS,
        "n_reference": N_REFERENCE,
        "n_measured": N_MEASURED,
        "n_unmeasured": N_UNMEASURED,
    } | sizes
    tissue = synthetic_tissue(**sizes)
    if proteins:
        pp.protein_graph(tissue.reference, tissue.proteins)
    return tissue.spatial, tissue.reference


def set_up(spatial: AnnData, reference: AnnData, **kwargs: Any) -> tuple[AnnData, AnnData]:
    """Set up both; `kwargs` are for the spatial data."""
    StImputeModel.setup_anndata(spatial, **kwargs)
    StImputeModel.setup_anndata(reference)
    return spatial, reference


def fit(
    spatial: AnnData, reference: AnnData, recipe: str, train: dict[str, Any] | None = None, **kwargs: Any
) -> StImputeModel:
    """A trained model on data that are set up; `kwargs` are the model's."""
    model = StImputeModel(spatial, reference, recipe=recipe, **kwargs)
    model.train(**{**QUIET, **(train or {})})
    return model


def bare(adata: AnnData) -> AnnData:
    """A copy without any trace of scvi-tools, as it would come from a file."""
    adata = adata.copy()
    for key in [key for key in adata.uns if key.startswith("_scvi")]:
        del adata.uns[key]
    adata.obs = adata.obs[[key for key in adata.obs if not key.startswith("_scvi")]].copy()
    return adata


def shuffled_genes(adata: AnnData, seed: int = 0) -> AnnData:
    """A bare copy with its genes in another order."""
    return bare(adata[:, np.random.default_rng(seed).permutation(adata.n_vars)])


def values(imputed: AnnData, genes: Any = None) -> np.ndarray:
    """Dense values of some genes."""
    return np.asarray((imputed if genes is None else imputed[:, list(genes)]).X)

"""A pair small enough to train on in a test."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from stimpute import StImputeModel, pp
from stimpute.datasets import synthetic_tissue
from stimpute.recipes import DataSizes, get_recipe

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
        pp.add_protein_embeddings(tissue.reference, tissue.proteins)
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


def can(recipe: str, ability: str) -> bool:
    """Tell whether a recipe has a capability, or any network."""
    cls = get_recipe(recipe)
    if ability == "networks":
        return bool(cls().build(DataSizes(n_cells=9, n_reference=9, n_shared=9, relations=("coexpression",))))
    if ability == "relations":
        return cls.capabilities.max_relations != 0
    return bool(getattr(cls.capabilities, ability))


def if_known(recipe: str, **options: Any) -> dict[str, Any]:
    """Those of some hyperparameters that a recipe has."""
    known = get_recipe(recipe)().hyperparameters()
    return {name: value for name, value in options.items() if name in known}


def content(value: Any) -> Any:
    """Return every byte that an AnnData or a part of one holds, but for what scvi-tools notes."""
    if isinstance(value, AnnData):
        parts = ("X", "layers", "obs", "var", "obsm", "varm", "obsp", "varp", "uns")
        return {part: content(getattr(value, part)) for part in parts}
    if sparse.issparse(value):
        return type(value).__name__, value.shape, *map(content, (value.data, value.indices, value.indptr))
    if isinstance(value, pd.DataFrame | Mapping):
        held = {key: content(value[key]) for key in value if not str(key).startswith("_scvi")}
        return (content(value.index), held) if isinstance(value, pd.DataFrame) else held
    if isinstance(value, pd.Series) and isinstance(value.dtype, pd.CategoricalDtype):
        return content(value.cat.codes.to_numpy()), list(value.cat.categories)
    if isinstance(value, np.ndarray | pd.Index | pd.Series):
        array = np.asarray(value)
        return str(array.dtype), array.shape, array.tolist() if array.dtype == object else array.tobytes()
    return repr(value)


def predict_pickled(task: bytes) -> dict[str, np.ndarray]:
    """Predict in another process, which has nothing but a gene block, a cell encoder, a chunk of cells and options."""
    block, encoder, chunk, options = pickle.loads(task)
    return block.predict(encoder.encode(chunk), options)


def impute_saved(path: str, spatial: AnnData, reference: AnnData, genes: list[str]) -> np.ndarray:
    """Load a saved model and impute, in another process."""
    import linear_recipe  # noqa: F401 - registers a recipe

    model = StImputeModel.load(path, spatial, reference, accelerator="cpu")
    return values(model.impute(genes=genes, progress=False))

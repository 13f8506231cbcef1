"""What `impute` returns: an AnnData that says what it holds."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
from anndata import AnnData

from stimpute.recipes import OutputOptions, Recipe


def units(*, counts: bool) -> str:
    """Of imputed values, by what the spatial data are."""
    scaled = "log1p of counts scaled to the typical total of the spatial cells"
    return scaled if counts else "the units of the normalised spatial data"


def describe_genes(
    names: pd.Index, known: pd.DataFrame, measured: pd.Index, reference: pd.DataFrame, targets: np.ndarray
) -> pd.DataFrame:
    """The result's `var`.

    Parameters
    ----------
    names
        Imputed genes, shape (n_genes,).
    known
        From the predictors, one row per gene.
    measured
        Genes that the spatial data have.
    reference
        The reference's `var`.
    targets
        Where the genes stand in it, shape (n_genes,).
    """
    has_protein = np.zeros(len(names), dtype=bool)
    if "has_protein" in reference:
        has_protein = reference["has_protein"].to_numpy(dtype=bool)[targets]
    return known.set_index(names).assign(measured=names.isin(measured), has_protein=has_protein)


def describe_method(recipe: Recipe, relations: list[str], counts: bool, options: OutputOptions) -> dict[str, Any]:
    """The result's `uns["stimpute"]`: units, method, options, version."""
    about = {
        "units": units(counts=counts),
        "recipe": recipe.name,
        "relations": relations,
        "reliability": f"predicted {recipe.reliability_of}",
        "spread": options.spread,
        "version": version("stimpute"),
    }
    return about if options.interval is None else {**about, "interval": options.interval}


def to_anndata(
    adata: AnnData, arrays: dict[str, np.ndarray], var: pd.DataFrame, about: dict[str, Any], out: str | Path | None
) -> AnnData:
    """The result in memory or, where `out` names a store, the rest of it beside the arrays that are already there.

    Parameters
    ----------
    adata
        Spatial data; `obs` and `obsm` are copied.
    arrays
        Values by layer, shape (n_cells, n_genes) each; those in a store as zarr arrays.
    var
        One row per gene.
    about
        Goes to `uns["stimpute"]`.
    out
        The store.
    """
    own = [column for column in adata.obs if not str(column).startswith("_scvi")]
    result = AnnData(obs=adata.obs[own].copy(), var=var, obsm={k: v.copy() for k, v in adata.obsm.items()})
    result.uns["stimpute"] = about
    for key in ("spatial",):  # squidpy's images and scales
        if key in adata.uns:
            result.uns[key] = adata.uns[key]
    if out is not None:
        import dask.array as da
        import zarr

        group = zarr.open_group(str(out), mode="r+")
        for key, value in {"obs": adata.obs, "var": var, "obsm": dict(result.obsm), "uns": dict(result.uns)}.items():
            anndata.io.write_elem(group, key, value)
        zarr.consolidate_metadata(group.store)
        arrays = {name: da.from_zarr(array) for name, array in arrays.items()}
    result.X = arrays["X"]
    for name in arrays.keys() - {"X"}:
        result.layers[name] = arrays[name]
    return result

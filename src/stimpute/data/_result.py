"""Make the AnnData that imputed values are put into, and read what it records."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any

import pandas as pd
from anndata import AnnData

from stimpute._messages import missing_key, name_list
from stimpute.data._annotations import check_no_missing, in_memory

SCANPY_PCA = "X_pca"
PACKAGES = ("stimpute", "scvi-tools", "torch", "anndata", "numpy")


def package_versions() -> dict[str, str]:
    """Return the installed versions of the packages that values depend on."""
    return {name: version(name) for name in PACKAGES}


def units(*, counts: bool) -> str:
    """Say in words in which units imputed values are."""
    if counts:
        return "log1p of counts scaled to the median total of the spatial cells"
    return "the units of the normalized spatial data"


def axis_label(*, counts: bool) -> str:
    """Name imputed values on an axis or a color bar."""
    return "log-normalized expression" if counts else "normalized expression"


def recorded_label(imputed: AnnData) -> str:
    """Name the values of a result on an axis or a color bar."""
    return axis_label(counts=imputed.uns.get("stimpute", {}).get("units") == units(counts=True))


def how_to_cite() -> str:
    """Say what to cite for a result."""
    return (
        f"stimpute {version('stimpute')}, https://github.com/stimpute/stimpute. The recipe 'paper', and the idea of a "
        "gene graph from proteins: Zeng et al. 2024, Communications Biology 7, 1271, "
        "https://doi.org/10.1038/s42003-024-06964-2."
    )


def log1p_record(adata: AnnData, *, counts: bool) -> dict[str, Any]:
    """Make the record of `scanpy.pp.log1p`, which warns where it finds one; another base than e is that of the data."""
    known = adata.uns.get("log1p")
    if not counts and isinstance(known, Mapping) and known.get("base") is not None:
        return dict(known)
    return {"base": math.e}  # scanpy has None or nothing, which not all versions can store or concatenate


def without_values(adata: AnnData, var: pd.DataFrame, about: dict[str, Any]) -> AnnData:
    """Make the result with everything but its values.

    Parameters
    ----------
    adata
        Spatial data, of which `obs`, `obsm`, `obsp`, the colors and images of plots, and the records of graphs in
        `obsp` are copied. `obsm["X_pca"]` is not: it is of the measured genes, and `scanpy.pp.neighbors` would use it
        in place of the imputed values.
    var
        One row per gene.
    about
        Goes to `uns["stimpute"]`.
    """
    columns = [column for column in adata.obs.columns if not str(column).startswith("_scvi")]
    result = AnnData(
        obs=in_memory(adata.obs[columns]),
        var=var,
        obsm={key: in_memory(value) for key, value in adata.obsm.items() if key != SCANPY_PCA},
        obsp={key: in_memory(value) for key, value in adata.obsp.items()},
    )
    result.uns["stimpute"] = about
    result.uns["log1p"] = log1p_record(adata, counts=about.get("units") == units(counts=True))
    for key, value in adata.uns.items():
        is_graph = isinstance(value, Mapping) and "connectivities_key" in value
        if key == "spatial" or str(key).endswith("_colors") or is_graph:
            result.uns[key] = in_memory(value)
    return result


def check_same_cells(spatial: AnnData, imputed: AnnData) -> None:
    """Check that a result is of the cells of the spatial data, in the same order.

    Raises
    ------
    ValueError
        If it is not.
    """
    if not spatial.obs_names.astype(object).equals(imputed.obs_names.astype(object)):  # pandas has two types of text
        raise ValueError("`spatial` and `imputed` have different cells; pass `imputed[spatial.obs_names]`.")


def check_imputed_genes(imputed: AnnData, genes: Iterable[str]) -> None:
    """Check that a result has some genes.

    Raises
    ------
    KeyError
        If it lacks one.
    """
    missing = [gene for gene in genes if gene not in imputed.var_names]
    if missing:
        raise KeyError(
            f"`genes`: {name_list(missing)} not in `imputed`. Call `model.impute(genes=...)` for them first."
        )


def setup_record(setup: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `setup_anndata` that are not None, which files can store."""
    return {name: value for name, value in setup.items() if value is not None}


def recorded_setup(imputed: AnnData) -> dict[str, Any]:
    """Read from a result how the spatial data were set up; empty if it was not recorded."""
    return dict(imputed.uns.get("stimpute", {}).get("spatial_setup", {}))


def position_keys(
    spatial: AnnData, imputed: AnnData, spatial_key: str | None, library_key: str | None
) -> tuple[str, str | None]:
    """Return the keys of the positions and of the sections, None for one section.

    Those that are None are taken from how the spatial data were set up, which a result records.

    Raises
    ------
    KeyError
        If the spatial data lack one of them.
    ValueError
        If a cell has no section.
    """
    setup = recorded_setup(imputed)
    spatial_key = spatial_key or str(setup.get("spatial_key", "spatial"))
    if spatial_key not in spatial.obsm:
        raise missing_key(spatial_key, "spatial.obsm", spatial.obsm.keys(), "Name the positions by `spatial_key=`.")
    if not library_key:
        recorded = setup.get("batch_key")
        library_key = recorded if recorded in spatial.obs else None
    if library_key is not None and library_key not in spatial.obs:
        raise missing_key(library_key, "spatial.obs", spatial.obs.columns)
    if library_key is not None:
        check_no_missing(spatial.obs, library_key, "spatial.obs")
    return spatial_key, library_key

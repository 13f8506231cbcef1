"""Read cells × genes from SpatialData stores and from the output folders of platforms, by spatialdata-io."""

from __future__ import annotations

import warnings
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata as ad
import pandas as pd

from stimpute._messages import missing_extra
from stimpute._screen import quiet

if TYPE_CHECKING:
    from spatialdata import SpatialData

COSMX_CONTROLS = ("NegPrb", "Negative", "SystemControl", "FalseCode")  # beginnings of the names of CosMx's controls


def read_spatialdata(path: Path) -> ad.AnnData:
    """Read the table of a SpatialData store."""
    spatialdata = _import("spatialdata", "spatialdata.read_zarr", "spatialdata", path)
    return _only_table(spatialdata.read_zarr(path), path)


def read_xenium(path: Path) -> ad.AnnData:
    """Read cells × genes of a Xenium output."""
    elements = ("boundaries", "labels")
    skipped = {f"{part}_{element}": False for part in ("cells", "nucleus") for element in elements}
    skipped |= dict.fromkeys(("transcripts", "morphology_mip", "morphology_focus", "aligned_images"), False)
    return _only_table(_read_platform("xenium", path, **skipped), path)


def read_merscope(path: Path) -> ad.AnnData:
    """Read cells × genes of a MERSCOPE output."""
    skipped = dict.fromkeys(("transcripts", "cells_boundaries", "mosaic_images"), False)
    return _only_table(_read_platform("merscope", path, **skipped), path)


def read_cosmx(path: Path) -> ad.AnnData:
    """Read cells × genes of a CosMx output; controls go to `obsm`."""
    adata = _only_table(_read_platform("cosmx", path, transcripts=False), path)
    adata.obsm["spatial"] = adata.obsm["global"].astype(float)  # spatialdata-io has the position in each field of view
    is_control = adata.var_names.str.startswith(COSMX_CONTROLS)
    genes = adata[:, ~is_control].copy()
    genes.obsm["control"] = adata[:, is_control].to_df()
    return genes


def read_seqfish(path: Path) -> ad.AnnData:
    """Read cells × genes of a seqFISH output, all regions as sections."""
    skipped = dict.fromkeys(("load_images", "load_labels", "load_points", "load_shapes"), False)
    regions = _read_platform("seqfish", path, **skipped).tables
    sections = {name.removeprefix("table_"): table for name, table in regions.items()}
    return ad.concat(sections, label="section", index_unique="_", merge="same")


def _read_platform(function: str, path: Path, **options: Any) -> SpatialData:
    """Read an output folder by a function of spatialdata-io."""
    module = _import("spatialdata_io", f"spatialdata_io.{function}", "platforms", path)
    reader = getattr(module, function)  # its import sets the level of the logger
    with warnings.catch_warnings(), quiet("spatialdata._logging"):
        warnings.filterwarnings("ignore", "The table is annotating")  # outlines, which are not read
        warnings.filterwarnings("ignore", category=ad.ImplicitModificationWarning)
        try:
            return reader(path, **options)
        except FileNotFoundError as error:
            missing = error.filename or error
            raise FileNotFoundError(f"{path} is not complete: it has no {missing}. Copy the whole folder.") from error
        except TypeError as error:
            if "dtype" not in str(error):
                raise
            raise ImportError(
                f"{path}: `spatialdata_io.{function}` does not work with AnnData {version('anndata')}. Install AnnData "
                '0.12, `pip install "anndata<0.13"`, or a newer spatialdata-io.'
            ) from error


def _import(module: str, function: str, extra: str, path: Path) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise missing_extra(f"{path} is read by `{function}`", extra) from error


def _only_table(sdata: SpatialData, path: Path) -> ad.AnnData:
    """Return the table of a SpatialData, with the positions of its cells."""
    if len(sdata.tables) != 1:
        raise ValueError(
            f"{path} has the tables {sorted(sdata.tables)}; expected one. Write the one that you mean to a file: "
            '`spatialdata.read_zarr(path).tables["name"].write_h5ad("cells.h5ad")`.'
        )
    (table,) = sdata.tables.values()
    if "spatial" not in table.obsm:
        positions = _centroids(sdata, table)
        if positions is not None:
            table.obsm["spatial"] = positions
    return table


def _centroids(sdata: SpatialData, table: ad.AnnData) -> Any:
    """Compute the centers of what a table annotates, shape (n_cells, 2); None if that is missing."""
    from spatialdata import get_centroids
    from spatialdata.models import get_table_keys

    regions, region_key, instance_key = get_table_keys(table)
    names = [regions] if isinstance(regions, str) else list(regions)
    if not all(name in sdata for name in names):
        return None
    positions = pd.DataFrame(index=table.obs_names, columns=["x", "y"], dtype=float)
    for name in names:
        is_inside = (table.obs[region_key] == name).to_numpy()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The index of the dataframe is not monotonic")  # rows are found by name
            centers = get_centroids(sdata[name]).compute()
        positions[is_inside] = centers.loc[table.obs[instance_key][is_inside], ["x", "y"]].to_numpy()
    return positions.to_numpy()

"""Read cells × genes from SpatialData stores, and from Xenium outputs by spatialdata-io."""

from __future__ import annotations

import warnings
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd

from stimpute._messages import missing_extra
from stimpute._screen import quiet
from stimpute.datasets._platform_tables import without_cosmx_controls
from stimpute.datasets._tenx import only_genes

if TYPE_CHECKING:
    from spatialdata import SpatialData

GLOBAL = "global"  # the coordinate system of SpatialData, and the array of spatialdata-io, of the whole slide
ATTRIBUTES = "spatialdata_attrs"  # in `uns`: what a table annotates


def read_spatialdata(path: Path) -> ad.AnnData:
    """Read the table of a SpatialData store; controls of CosMx go to `obsm`, other features are left out."""
    spatialdata = _import("spatialdata", "spatialdata.read_zarr", "spatialdata", path)
    table = only_genes(_only_table(spatialdata.read_zarr(path), path))
    if GLOBAL in table.obsm and "fov" in table.obs:  # of CosMx, where `spatial` is the position in a field of view
        table.obsm["spatial"] = np.asarray(table.obsm[GLOBAL], float)
        return without_cosmx_controls(table)
    return table


def read_xenium(path: Path) -> ad.AnnData:
    """Read cells × genes of a Xenium output."""
    elements = ("boundaries", "labels")
    skipped = {f"{part}_{element}": False for part in ("cells", "nucleus") for element in elements}
    skipped |= dict.fromkeys(("transcripts", "morphology_mip", "morphology_focus", "aligned_images"), False)
    reader = _import("spatialdata_io", "spatialdata_io.xenium", "platforms", path).xenium
    with warnings.catch_warnings(), quiet("spatialdata._logging"):
        warnings.filterwarnings("ignore", "The table is annotating")  # outlines, which are not read
        warnings.filterwarnings("ignore", category=ad.ImplicitModificationWarning)
        try:
            return _only_table(reader(path, **skipped), path)
        except FileNotFoundError as error:
            missing = error.filename or error
            raise FileNotFoundError(f"{path} is not complete: it has no {missing}. Copy the whole folder.") from error
        except AssertionError as error:  # spatialdata-io compares the names of cells in the files
            raise ValueError(
                f"{path} does not fit together: cells.parquet, cells.zarr.zip and cell_feature_matrix.h5 do not have "
                "the same cells in the same order. Copy the whole folder again, and leave out cells after reading."
            ) from error


def _import(module: str, function: str, extra: str, path: Path) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise missing_extra(f"{path} is read by `{function}`", extra) from error


def _only_table(sdata: SpatialData, path: Path) -> ad.AnnData:
    """Return the table of a SpatialData, with the positions of its cells."""
    if not sdata.tables:
        raise ValueError(f"{path} has no table; expected one with cells × genes beside images and outlines.")
    if len(sdata.tables) != 1:
        raise ValueError(
            f"{path} has the tables {sorted(sdata.tables)}; expected one. Write the one that you mean to a file: "
            '`spatialdata.read_zarr(path).tables["name"].write_h5ad("cells.h5ad")`.'
        )
    (table,) = sdata.tables.values()
    if "spatial" not in table.obsm and ATTRIBUTES in table.uns:
        positions = _centroids(sdata, table, path)
        if positions is not None:
            table.obsm["spatial"] = positions
    return table


def _centroids(sdata: SpatialData, table: ad.AnnData, path: Path) -> np.ndarray | None:
    """Compute the centers of what a table annotates, shape (n_cells, 2); None if that is missing.

    They are those of the system "global", or else of the only one. A cell whose outline is missing has no position.
    """
    from spatialdata import get_centroids
    from spatialdata.models import get_table_keys
    from spatialdata.transformations import get_transformation

    regions, region_key, instance_key = get_table_keys(table)
    names = [regions] if isinstance(regions, str) else list(regions)
    if not all(name in sdata for name in names):
        return None
    systems = set.intersection(*(set(get_transformation(sdata[name], get_all=True)) for name in names))
    if GLOBAL not in systems and len(systems) != 1:
        raise ValueError(
            f"{path}: {names} have the coordinate systems {sorted(systems)} in common; expected {GLOBAL!r}, or one. "
            'Put the positions that you mean in `obsm["spatial"]` of the table, and write it to a file.'
        )
    system = GLOBAL if GLOBAL in systems else systems.pop()
    positions = pd.DataFrame(index=table.obs_names, columns=["x", "y"], dtype=float)
    for name in names:
        is_inside = (table.obs[region_key] == name).to_numpy()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The index of the dataframe is not monotonic")  # rows are found by name
            centers = get_centroids(sdata[name], coordinate_system=system).compute()
        positions[is_inside] = centers.reindex(table.obs[instance_key][is_inside])[["x", "y"]].to_numpy()
    return positions.to_numpy()

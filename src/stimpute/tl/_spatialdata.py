"""Add imputed expression to a SpatialData object."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
from scipy.spatial import KDTree

from stimpute._arguments import check_arguments
from stimpute._messages import missing_extra, missing_key
from stimpute._names import safe_names
from stimpute.data._annotations import unbacked
from stimpute.data._result import recorded_setup

if TYPE_CHECKING:
    from spatialdata import SpatialData

ATTRS = "spatialdata_attrs"
REGION_KEY, INSTANCE_KEY = "spatialdata_region", "spatialdata_instance"  # columns that are added to a section


def to_spatialdata(
    spatial: SpatialData | ad.AnnData, imputed: ad.AnnData, table_name: str = "imputed", source: str = "table"
) -> SpatialData:
    """Add imputed expression as a new table that annotates the same regions as the measured table.

    The tables of a SpatialData are AnnData, so they can be set up and imputed directly.

    Parameters
    ----------
    spatial
        SpatialData that gets the new table; nothing else in it changes. Or the spatial cells as AnnData, of which a
        SpatialData is made: circles at the positions, as shapes `cells`, or as shapes of each section where the model
        was set up with a `batch_key`. Their diameter is the median distance to the nearest cell.
    imputed
        Result of `model.impute` for the cells of the table `source`, or for some of them, in any order.
    table_name
        Name of the new table.
    source
        Name of the table with the measured expression.

    Returns
    -------
    `spatial` itself, or the new SpatialData. If it is backed by a store, `sdata.write_element(table_name)` writes the
    table; `sdata.write("section.zarr")` writes all of it.

    Raises
    ------
    ImportError
        If spatialdata is not installed.
    KeyError
        If there is no table `source`, or an AnnData has no positions.
    ValueError
        If the name is taken, the table `source` annotates no region, or it lacks some of the cells.

    Examples
    --------
    >>> StImputeModel.setup_anndata(sdata.tables["table"])
    >>> model = StImputeModel(sdata.tables["table"], reference)
    >>> model.train()
    >>> stimpute.tl.to_spatialdata(sdata, model.impute(genes=["Rorb"]))
    """
    check_arguments(to_spatialdata, locals())
    try:
        from spatialdata.models import TableModel
    except ImportError as error:
        raise missing_extra("This needs spatialdata", "spatialdata") from error
    if not imputed.obs_names.is_unique:
        raise ValueError("Names of cells repeat. Call `adata.obs_names_make_unique()` before the model is made.")
    sdata = _with_circles(spatial, imputed, source) if isinstance(spatial, ad.AnnData) else spatial
    measured = _source_table(sdata, source)
    if table_name in sdata:
        raise ValueError(
            f"{table_name!r} is taken in this SpatialData. Pass another `table_name=`, or delete it first."
        )
    unknown = imputed.obs_names.difference(measured.obs_names)
    if len(unknown):
        raise ValueError(
            f"{len(unknown)} of {imputed.n_obs} imputed cells are not in the table {source!r}, for example "
            f"{unknown[0]!r}. Pass the result of `model.impute` for this table, or another `source=`."
        )
    region_key = measured.uns[ATTRS]["region_key"]
    instance_key = measured.uns[ATTRS]["instance_key"]
    table = unbacked(imputed).copy()
    table.uns.pop(ATTRS, None)
    table.obs[[region_key, instance_key]] = measured.obs.loc[table.obs_names, [region_key, instance_key]]
    regions = table.obs[region_key].astype("category").cat.remove_unused_categories()
    table.obs[region_key] = regions
    sdata.tables[table_name] = TableModel.parse(
        table, region=list(regions.cat.categories), region_key=region_key, instance_key=instance_key
    )
    return sdata


def _source_table(sdata: SpatialData, source: str) -> ad.AnnData:
    if source not in sdata.tables:
        raise missing_key(source, "sdata.tables", sdata.tables.keys(), "Name the measured table by `source=`.")
    measured = sdata.tables[source]
    if not measured.uns.get(ATTRS, {}).get("region_key"):
        raise ValueError(
            f"The table {source!r} annotates no region. Create it with `spatialdata.models.TableModel.parse(adata, "
            "region=..., region_key=..., instance_key=...)`."
        )
    return measured


def _with_circles(section: ad.AnnData, imputed: ad.AnnData, source: str) -> SpatialData:
    """Make a SpatialData of spatial cells: a table, and circles at their positions, by section."""
    from spatialdata import SpatialData
    from spatialdata.models import ShapesModel, TableModel

    setup = recorded_setup(imputed)
    spatial_key = setup.get("spatial_key", "spatial")
    if spatial_key not in section.obsm:
        raise missing_key(spatial_key, "obsm", section.obsm, "A SpatialData needs the positions of the cells.")
    table = section.to_memory()
    table.obs[REGION_KEY] = "cells"
    if setup.get("batch_key") in section.obs:
        names = table.obs[setup["batch_key"]].astype(str)
        table.obs[REGION_KEY] = names.map(safe_names(names.unique(), "cells_", re.ASCII))
    table.obs[REGION_KEY] = table.obs[REGION_KEY].astype("category")
    table.obs[INSTANCE_KEY] = table.obs_names
    regions = list(table.obs[REGION_KEY].cat.categories)
    shapes = {}
    for region in regions:
        inside = np.asarray(table.obs[REGION_KEY] == region)
        xy = np.asarray(table.obsm[spatial_key])[inside, :2]
        shapes[region] = ShapesModel.parse(xy, geometry=0, radius=_radius(xy), index=table.obs_names[inside])
    table = TableModel.parse(table, region=regions, region_key=REGION_KEY, instance_key=INSTANCE_KEY)
    return SpatialData(shapes=shapes, tables={source: table})


def _radius(xy: np.ndarray) -> np.ndarray:
    """Return the radius of each cell with which neighbors touch, at the median; shape (n_cells,)."""
    distance = KDTree(xy).query(xy, k=2)[0][:, 1]
    known = distance[np.isfinite(distance) & (distance > 0)]
    return np.full(len(xy), np.median(known) / 2 if len(known) else 1.0)

"""Add imputed expression to a SpatialData object."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anndata as ad

from stimpute._messages import missing_extra, missing_key

if TYPE_CHECKING:
    from spatialdata import SpatialData

ATTRS = "spatialdata_attrs"


def to_spatialdata(
    sdata: SpatialData, imputed: ad.AnnData, table_name: str = "imputed", source: str = "table"
) -> SpatialData:
    """Add imputed expression as a new table that annotates the same regions as the measured table.

    The tables of a SpatialData are AnnData, so they can be set up and imputed directly.

    Parameters
    ----------
    sdata
        SpatialData that gets the new table; nothing else in it changes.
    imputed
        Result of `model.impute` for the cells of the table `source`, or for some of them, in any order.
    table_name
        Name of the new table.
    source
        Name of the table with the measured expression.

    Returns
    -------
    `sdata` itself. If it is backed by a store, `sdata.write_element(table_name)` writes the table.

    Raises
    ------
    ImportError
        If spatialdata is not installed.
    KeyError
        If there is no table `source`.
    ValueError
        If the name is taken, the table `source` annotates no region, or it lacks some of the cells.

    Examples
    --------
    >>> StImputeModel.setup_anndata(sdata.tables["table"])
    >>> model = StImputeModel(sdata.tables["table"], reference)
    >>> model.train()
    >>> stimpute.tl.to_spatialdata(sdata, model.impute(genes=["Rorb"]))
    """
    try:
        from spatialdata.models import TableModel
    except ImportError as error:
        raise missing_extra("This needs spatialdata", "spatialdata") from error
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
    table = imputed.copy()
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

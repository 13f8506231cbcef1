"""Imputed expression as one more table of a SpatialData object."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anndata as ad

if TYPE_CHECKING:
    from spatialdata import SpatialData

ATTRS = "spatialdata_attrs"


def to_spatialdata(
    sdata: SpatialData, imputed: ad.AnnData, table_name: str = "imputed", source: str = "table"
) -> SpatialData:
    """Add imputed expression as a table that annotates the same regions as the measured one.

    Tables of a SpatialData are AnnData, so that they can be set up and imputed as they are.

    Parameters
    ----------
    sdata
        Gets the new table; nothing else of it is changed.
    imputed
        What `model.impute` returns for the cells of the table `source`, or for some of them, in any order.
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
        If the name is taken, the source annotates no region, or cells are not in the source.

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
        raise ImportError("This needs spatialdata: `pip install 'stimpute[spatialdata]'`.") from error
    measured = _source(sdata, source)
    if table_name in sdata:
        raise ValueError(
            f"{table_name!r} is taken in this SpatialData. Name another `table_name=`, or delete it first."
        )
    unknown = imputed.obs_names.difference(measured.obs_names)
    if len(unknown):
        raise ValueError(
            f"{len(unknown)} of {imputed.n_obs} imputed cells are not in the table {source!r}, for example "
            f"{unknown[0]!r}. Pass what `model.impute` returned for this table, or name another `source=`."
        )
    attrs = measured.uns[ATTRS]
    table = imputed.copy()
    keys = [attrs["region_key"], attrs["instance_key"]]
    table.obs[keys] = measured.obs.loc[table.obs_names, keys]
    table.uns.pop(ATTRS, None)
    annotated = table.obs[attrs["region_key"]].astype("category").cat.remove_unused_categories()
    table.obs[attrs["region_key"]] = annotated
    sdata.tables[table_name] = TableModel.parse(
        table, region=list(annotated.cat.categories), region_key=keys[0], instance_key=keys[1]
    )
    return sdata


def _source(sdata: SpatialData, source: str) -> ad.AnnData:
    if source not in sdata.tables:
        raise KeyError(f"{source!r} is not a table of this SpatialData, which has {sorted(sdata.tables)}.")
    measured = sdata.tables[source]
    if not measured.uns.get(ATTRS, {}).get("region_key"):
        raise ValueError(
            f"The table {source!r} annotates no region. Make it with `spatialdata.models.TableModel.parse(adata, "
            "region=..., region_key=..., instance_key=...)`."
        )
    return measured

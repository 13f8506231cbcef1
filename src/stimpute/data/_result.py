"""Make the AnnData that imputed values are put into."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pandas as pd
from anndata import AnnData


def units(*, counts: bool) -> str:
    """Say in words in which units imputed values are."""
    if counts:
        return "log1p of counts scaled to the median total of the spatial cells"
    return "the units of the normalized spatial data"


def without_values(adata: AnnData, var: pd.DataFrame, about: dict[str, Any]) -> AnnData:
    """Make the result with everything but its values.

    Parameters
    ----------
    adata
        Spatial data, of which `obs`, `obsm`, the colors and images of plots are copied.
    var
        One row per gene.
    about
        Goes to `uns["stimpute"]`.
    """
    columns = [column for column in adata.obs if not str(column).startswith("_scvi")]
    result = AnnData(
        obs=adata.obs[columns].copy(),
        var=var,
        obsm={key: value.copy() for key, value in adata.obsm.items()},
    )
    result.uns["stimpute"] = about
    for key, value in adata.uns.items():
        if key == "spatial" or str(key).endswith("_colors"):
            result.uns[key] = deepcopy(value)
    return result

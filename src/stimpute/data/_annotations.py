"""Read what an AnnData holds beside expression, which is not in memory either if it was read lazily."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import dask.array as da
import pandas as pd
from anndata import AnnData

from stimpute.data._checksums import readable_data


def read_column(frame: Any, name: str) -> pd.Series:
    """Read a column of `obs` or `var`, which is not a DataFrame in an AnnData that was read lazily."""
    if isinstance(frame, pd.DataFrame):
        return frame[name]
    with readable_data():
        return in_memory(frame[[name]])[name]


def in_memory(value: Any) -> Any:
    """Copy a value, into memory if it is not there."""
    if hasattr(value, "to_memory"):
        value = value.to_memory()
        return value.rename_axis(index=None) if isinstance(value, pd.DataFrame) else value
    if isinstance(value, Mapping):
        return {key: in_memory(part) for key, part in value.items()}
    if isinstance(value, da.Array):
        return value.compute()
    return value.copy() if hasattr(value, "shape") else deepcopy(value)


def layers_by_name(adata: AnnData) -> dict[str, Any]:
    """Return the layers without `X`, which is a layer named None from AnnData 0.13 on."""
    return {name: values for name, values in adata.layers.items() if name is not None}


def has_lazy_annotations(adata: AnnData) -> bool:
    """Tell whether an AnnData was read lazily, with its annotations."""
    return not isinstance(adata.obs, pd.DataFrame)


def with_annotations(adata: AnnData, matrix: Any = None) -> AnnData:
    """Make an AnnData of a matrix and the annotations of another one, which are read if they are not in memory."""
    parts = ("obs", "var", "uns", "obsm", "varm", "obsp", "varp")
    return AnnData(matrix, **{part: in_memory(getattr(adata, part)) for part in parts})

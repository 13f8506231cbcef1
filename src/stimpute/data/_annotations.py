"""Read what an AnnData holds beside expression, which is not in memory either if it was read lazily."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import dask.array as da
import h5py
import pandas as pd
from anndata import AnnData
from anndata.experimental import read_elem_lazy

from stimpute.data._reading import Reading, with_clear_errors
from stimpute.data._sources import Source, sources_of


def read_column(frame: Any, name: str) -> pd.Series:
    """Read a column of `obs` or `var`, which is not a DataFrame in an AnnData that was read lazily."""
    return frame[name] if isinstance(frame, pd.DataFrame) else in_memory(frame[[name]])[name]


def check_no_missing(frame: Any, name: str, where: str) -> None:
    """Check that every cell has a value in a column of `obs`; `where` names the table in the message.

    Raises
    ------
    ValueError
        If a cell has none.
    """
    n_missing = int(read_column(frame, name).isna().sum())
    if n_missing:
        raise ValueError(f"`{where}[{name!r}]` has no value for {n_missing} cell(s). Fill it in, or drop the cells.")


def in_memory(value: Any) -> Any:
    """Copy a value, into memory if it is not there.

    Raises
    ------
    ChangedDataError
        If its file cannot be read.
    """
    if hasattr(value, "to_memory"):
        return Reading(value.to_memory, tuple(_sources_of(value)))()
    if isinstance(value, Mapping):
        return {key: in_memory(part) for key, part in value.items()}
    if isinstance(value, da.Array):
        return with_clear_errors(value).compute()
    return value.copy() if hasattr(value, "shape") else deepcopy(value)


def _sources_of(value: Any) -> list[Source]:
    """Find the files of a matrix, or of the columns of a frame, that was opened lazily."""
    if not isinstance(value, Mapping):
        return sources_of(value)
    found = []
    for name in value:
        column = value[name]
        known = column.attrs.get("base_path_or_zarr_group")  # of columns that are no Dask arrays
        if isinstance(known, Path):
            found.append(Source(known, name))
        elif known is not None or column.chunks is not None:
            found += sources_of(column.data if known is None else known)
    return found


def layers_by_name(adata: AnnData) -> dict[str, Any]:
    """Return the layers without `X`, which is a layer named None from AnnData 0.13 on."""
    return {name: values for name, values in adata.layers.items() if name is not None}


def has_lazy_annotations(adata: AnnData) -> bool:
    """Tell whether an AnnData was read lazily, with its annotations."""
    return not isinstance(adata.obs, pd.DataFrame)


def read_annotations(adata: AnnData) -> AnnData:
    """Return an AnnData whose annotations are in memory; its values stay where they are."""
    return _with_layers(adata, adata.X) if has_lazy_annotations(adata) else adata


def unbacked(adata: AnnData) -> AnnData:
    """Return an AnnData that is neither backed nor lazily annotated; values in a file are Dask arrays."""
    if not adata.isbacked:
        return read_annotations(adata)
    matrix = adata.X
    if isinstance(matrix, h5py.Dataset):
        matrix = with_clear_errors(read_elem_lazy(matrix))
    elif hasattr(matrix, "group"):  # sparse, in the file
        matrix = with_clear_errors(read_elem_lazy(matrix.group))
    return _with_layers(adata, matrix)


def _with_layers(adata: AnnData, matrix: Any) -> AnnData:
    result = with_annotations(adata, matrix)
    result.layers.update(layers_by_name(adata))
    return result


def with_annotations(adata: AnnData, matrix: Any = None) -> AnnData:
    """Make an AnnData of a matrix and the annotations of another one, which are read if they are not in memory."""
    parts = ("obs", "var", "uns", "obsm", "varm", "obsp", "varp")
    return AnnData(matrix, **{part: in_memory(getattr(adata, part)) for part in parts})

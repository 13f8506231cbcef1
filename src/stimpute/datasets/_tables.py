"""Read text tables of cells, with the names of cells as they are written, and many cells at a time."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import anndata as ad
import pandas as pd
from anndata.utils import make_index_unique
from scipy import sparse

from stimpute._messages import name_list, warn
from stimpute._reading import readable

TEXT_ENDINGS = (".csv", ".csv.gz", ".tsv", ".tsv.gz")
POSITIONS = ("x", "y")  # columns of a text table that hold the positions of cells
VALUES_AT_ONCE = 2**24  # that are dense while a table of counts is read
DAMAGED = "Copy or write it again."


def read_text(path: Path) -> ad.AnnData:
    """Read one table of cells: genes, positions in columns `x` and `y`, and annotation."""
    table = read_annotation(path)
    obsm = {}
    if set(POSITIONS) <= set(table):
        obsm["spatial"] = table[list(POSITIONS)].to_numpy(float)
        table = table.drop(columns=list(POSITIONS))
    genes = table.select_dtypes("number")
    if genes.empty:
        raise ValueError(f"{path} has no column of numbers; expected one row per cell and one column per gene.")
    var = pd.DataFrame(index=genes.columns.astype(str))
    values = sparse.csr_matrix(genes.to_numpy("float32"))
    return ad.AnnData(values, obs=table.drop(columns=genes.columns), var=var, obsm=obsm)


def read_counts(path: Path, keys: Sequence[str] | None = None) -> ad.AnnData:
    """Read a table of counts, of which few rows are dense at once; columns that are not numbers are left out.

    Parameters
    ----------
    path
        The table.
    keys
        Columns that make the name of a cell, joined by `_`; the first column if None.
    """
    columns = _read_header(path)
    keys = _check_columns(path, columns, keys)
    genes: pd.Index | None = None
    names, blocks = [], []
    for rows in _read_rows(path, columns, keys, max(1, VALUES_AT_ONCE // len(columns))):
        named = _named(rows, keys, path)
        if genes is None:
            genes = named.select_dtypes("number").columns
        names.append(named.index)
        with readable(path, DAMAGED):
            blocks.append(sparse.csr_matrix(named[genes].to_numpy("float32")))
    obs = pd.DataFrame(index=names[0].append(names[1:]))
    _check_unique(obs.index, path, keys)
    return ad.AnnData(sparse.vstack(blocks, format="csr"), obs=obs, var=pd.DataFrame(index=genes))


def read_annotation(path: Path, keys: Sequence[str] | None = None, needed: Sequence[str] = ()) -> pd.DataFrame:
    """Read a table with one row per cell; see :func:`read_counts`. Needed columns must be there."""
    columns = _read_header(path)
    keys = _check_columns(path, columns, keys)
    _check_columns(path, columns, needed)
    (table,) = _read_rows(path, columns, keys, None)
    return _named(table, keys, path)


def with_annotation(counts: ad.AnnData, annotation: pd.DataFrame, positions: Sequence[str], path: Path) -> ad.AnnData:
    """Join counts and annotation by the names of cells, in the order of the counts.

    Warns
    -----
    UserWarning
        If cells are left out because they have no row in the annotation.
    """
    is_known = counts.obs_names.isin(annotation.index)
    unknown = list(counts.obs_names[~is_known])
    if not is_known.any():
        raise ValueError(
            f"{path}: no cell of the counts is among the annotated cells. Counts have {name_list(unknown)}, the "
            f"annotation has {name_list(list(annotation.index))}. Expected two files of the same cells."
        )
    if unknown:
        warn(f"{path}: {len(unknown):,} of {len(is_known):,} cells have no position, and are left out.")
        counts = counts[is_known].copy()
    counts.obs = annotation.loc[counts.obs_names]
    counts.obsm["spatial"] = counts.obs[list(positions)].to_numpy(float)
    return counts


def _read_header(path: Path) -> list[str]:
    """Read the names of the columns; repeated ones get a number, and that of the names of cells may be missing."""
    with readable(path, DAMAGED), _open(path) as file:
        rows = csv.reader(file, delimiter=_separator(path))
        header = next(rows, [])
        first = next(rows, [])
    if not first:
        raise ValueError(f"{path} has no row of a cell; expected one below the names of the columns.")
    if len(first) == len(header) + 1:  # as R writes tables
        header = ["", *header]
    return list(make_index_unique(pd.Index(header)))


def _open(path: Path) -> Any:
    options: dict[str, Any] = {"mode": "rt", "encoding": "utf-8-sig", "newline": ""}
    return gzip.open(path, **options) if path.suffix == ".gz" else path.open(**options)


def _separator(path: Path) -> str:
    return "\t" if ".tsv" in path.suffixes else ","


def _read_rows(path: Path, columns: list[str], keys: Sequence[str], n_rows: int | None) -> Iterator[pd.DataFrame]:
    """Yield so many rows of a table at a time, or all; keys are text, as it is written."""
    converters = {columns.index(key): str.strip for key in keys}
    options: dict[str, Any] = {"names": columns, "header": 0, "index_col": False, "encoding": "utf-8-sig"}
    with readable(path, DAMAGED):
        rows = pd.read_csv(path, sep=_separator(path), converters=converters, chunksize=n_rows, **options)
        yield from [rows] if n_rows is None else rows


def _check_columns(path: Path, columns: list[str], needed: Sequence[str] | None) -> list[str]:
    """Return the needed columns, the first one if None, and check that the table has them."""
    if needed is None:
        return columns[:1]
    missing = [name for name in needed if name not in columns]
    if missing:
        raise ValueError(f"{path} has no column {name_list(missing)}; it has {name_list(columns)}.")
    return list(needed)


def _named(table: pd.DataFrame, keys: Sequence[str], path: Path) -> pd.DataFrame:
    """Name the rows by the keys."""
    names = table[keys[0]]
    for key in keys[1:]:
        names = names + "_" + table[key]
    if (names == "").any():
        raise ValueError(
            f"{path} has {(names == '').sum():,} rows without a name in the column {name_list(map(repr, keys))}; "
            "expected the name of the cell there."
        )
    index = pd.Index(names.to_numpy(object))  # without a name, which AnnData would store as a column
    _check_unique(index, path, keys)
    return table.drop(columns=list(keys)).set_axis(index)


def _check_unique(names: pd.Index, path: Path, keys: Sequence[str]) -> None:
    if names.has_duplicates:
        where = "its first column" if len(keys) == 1 else "its columns"
        raise ValueError(
            f"{path} has {str(names[names.duplicated()][0])!r} more than once in {where}, "
            f"{name_list(map(repr, keys))}; expected the name of the cell there."
        )

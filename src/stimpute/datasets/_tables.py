"""Read text tables of cells: genes and annotation in one, or counts and annotation in two."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse

from stimpute._messages import name_list, warn
from stimpute._reading import readable
from stimpute.datasets._text_rows import DAMAGED, TextTable

TEXT_ENDINGS = (".csv", ".csv.gz", ".tsv", ".tsv.gz")
POSITIONS = ("x", "y")  # columns of a text table that hold the positions of cells


def read_text(path: Path) -> ad.AnnData:
    """Read one table of cells: genes, positions in columns `x` and `y`, and annotation."""
    table = TextTable.open(path, from_r=True)
    numbers, texts = table.find_types()
    positions = POSITIONS if set(POSITIONS) <= set(table.columns) else ()
    genes = [name for name in numbers if name not in positions]
    if not genes:
        raise ValueError(f"{path} has no column of numbers; expected one row per cell and one column per gene.")
    adata = _read_values(table, genes, texts)
    if positions:
        adata.obsm["spatial"] = _numbers(adata.obs, positions, path).to_numpy()
        adata.obs = adata.obs.drop(columns=list(positions))
    return adata


def read_counts(path: Path, keys: Sequence[str] | None = None) -> ad.AnnData:
    """Read a table of counts; columns that are not numbers go to `obs`.

    Parameters
    ----------
    path
        The table.
    keys
        Columns that make the name of a cell, joined by `_`; the first column if None.
    """
    return _read_values(TextTable.open(path, keys))


def read_annotation(path: Path, positions: Sequence[str], keys: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a table with one row per cell, see :func:`read_counts`, without the cells that have no position."""
    table = TextTable.open(path, keys)
    table.check_columns(positions)
    _, texts = table.find_types()
    annotation = pd.concat(table.rows(texts))
    table.check_unique(annotation.index)
    annotation[list(positions)] = _numbers(annotation, positions, path)
    has_position = np.isfinite(annotation[list(positions)]).all(axis=1)
    if not has_position.any():
        raise ValueError(f"{path} has no cell with numbers in the columns {name_list(positions)}. {DAMAGED}")
    return annotation[has_position]


def with_annotation(counts: ad.AnnData, annotation: pd.DataFrame, positions: Sequence[str], path: Path) -> ad.AnnData:
    """Join counts and annotation by the names of cells, in the order of the counts.

    Warns
    -----
    UserWarning
        If cells are left out because they have no row in the annotation, or no counts.
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
    n_lost = len(annotation) - counts.n_obs
    if n_lost:
        warn(
            f"{path}: {n_lost:,} of {len(annotation):,} annotated cells have no row of counts, and are left out. Copy "
            "the folder again if the table of counts is cut off."
        )
    counts.obs = annotation.loc[counts.obs_names]
    counts.obsm["spatial"] = counts.obs[list(positions)].to_numpy(float)
    return counts


def _read_values(table: TextTable, genes: Sequence[str] | None = None, texts: Sequence[str] = ()) -> ad.AnnData:
    """Read genes, all columns of numbers if None, into a sparse matrix, and the other columns into `obs`."""
    annotation, blocks = [], []
    for rows in table.rows(texts):
        genes = list(rows.select_dtypes("number")) if genes is None else list(genes)
        annotation.append(rows.drop(columns=genes))
        blocks.append(_sparse(rows[genes], table.path))
    obs = pd.concat(annotation)
    table.check_unique(obs.index)
    return ad.AnnData(sparse.vstack(blocks, format="csr"), obs=obs, var=pd.DataFrame(index=pd.Index(genes, dtype=str)))


def _sparse(rows: pd.DataFrame, path: Path) -> sparse.csr_matrix:
    """Make a sparse matrix of rows in which no number is missing."""
    with readable(path, DAMAGED):
        values = rows.to_numpy("float32")
    is_missing = np.isnan(values)
    if is_missing.any():
        cell, gene = np.argwhere(is_missing)[0]
        raise ValueError(
            f"{path} has no number for the cell {rows.index[cell]!r} in the column {rows.columns[gene]!r}; expected "
            "one for each cell and gene. Copy the file again if it is cut off; otherwise fill in or remove the column."
        )
    return sparse.csr_matrix(values)


def _numbers(table: pd.DataFrame, columns: Sequence[str], path: Path) -> pd.DataFrame:
    """Return columns of positions, in which numbers may be missing."""
    found = table[list(columns)]
    numbers = found.apply(pd.to_numeric, errors="coerce").astype(float)
    for column in columns:
        is_text = numbers[column].isna() & found[column].notna()
        if is_text.any():
            raise ValueError(
                f"{path} has {found.loc[is_text, column].iloc[0]!r} in the column {column!r} of the cell "
                f"{is_text.idxmax()!r}; expected a position, a number. Correct it, or leave it empty."
            )
    return numbers

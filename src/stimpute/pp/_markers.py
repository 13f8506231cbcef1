"""Make a reference from a table of marker genes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from stimpute._arguments import check_arguments
from stimpute._messages import missing_key


def marker_reference(
    markers: pd.DataFrame | str | Path,
    *,
    cell_type: str = "cell_type",
    gene: str = "gene",
    score: str | None = None,
) -> AnnData:
    """Make a small reference from a table of marker genes: one row per cell type.

    Use it as a further reference, after one of cells: it adds cell types that these lack.

    Parameters
    ----------
    markers
        One row per cell type and gene, as CellMarker and PanglaoDB have it, or a CSV file of such rows.
    cell_type, gene, score
        Names of the columns. Without scores, every marker counts the same.

    Returns
    -------
    Cell types × genes: log(1 + score), and 0 where a gene is no marker. Set it up as
    `StImputeModel.setup_anndata(result, expression="normalized")`.

    Raises
    ------
    KeyError
        If a column does not exist.
    ValueError
        If there are fewer than two cell types, or a score is negative or not a number.

    Examples
    --------
    >>> markers = stimpute.pp.marker_reference("PanglaoDB.csv", cell_type="cell type", gene="official gene symbol")
    >>> StImputeModel.setup_anndata(markers, expression="normalized")
    >>> model = StImputeModel(spatial, {"cells": reference, "markers": markers})
    """
    check_arguments(marker_reference, locals())
    table = markers if isinstance(markers, pd.DataFrame) else pd.read_csv(markers)
    for column in (cell_type, gene, score):
        if column is not None and column not in table:
            raise missing_key(column, "markers", table.columns, "Name the columns by `cell_type=`, `gene=`, `score=`.")
    table = table.dropna(subset=[cell_type, gene])
    scores = pd.Series(1.0, table.index) if score is None else pd.to_numeric(table[score], errors="coerce")
    n_bad = int((~(scores >= 0)).sum())
    if n_bad:
        raise ValueError(
            f"{n_bad} of {len(table)} scores in {score!r} are negative or not a number; expected scores >= 0."
        )
    scores = scores.groupby([table[cell_type].astype(str), table[gene].astype(str)]).max()
    wide = scores.unstack(fill_value=0.0)
    if len(wide) < 2:
        raise ValueError(f"The table has {len(wide)} cell type(s) in {cell_type!r}; expected at least two.")
    obs = pd.DataFrame({"cell_type": pd.Categorical(wide.index)}, index=wide.index.to_numpy())
    values = sparse.csr_matrix(np.log1p(wide.to_numpy(np.float32)))
    return AnnData(values, obs=obs, var=pd.DataFrame(index=wide.columns.to_numpy()))

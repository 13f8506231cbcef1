"""Check what users hand over as expression, once, where it enters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import sparse

Expression = Literal["counts", "normalized"]
ROWS_PER_BLOCK = 4096


def check_expression(x: np.ndarray | sparse.spmatrix, expression: Expression, cells: pd.Index, genes: pd.Index) -> None:
    """Check that a matrix is what its owner says it is.

    Parameters
    ----------
    x
        Expression, shape (n_cells, n_genes), dense or sparse.
    expression
        `"counts"`: non-negative integers. `"normalized"`: non-negative and finite.
    cells, genes
        Names, for the messages.

    Raises
    ------
    ValueError
        If a value is not finite, negative, or, for counts, not an integer.
    """
    if expression not in ("counts", "normalized"):
        raise ValueError(f'`expression` is {expression!r}; expected "counts" or "normalized".')
    if 0 in x.shape:
        raise ValueError(f"The expression matrix has shape {x.shape}: there is nothing to work on.")
    for start in range(0, x.shape[0], ROWS_PER_BLOCK):
        block = x[start : start + ROWS_PER_BLOCK]
        values = np.asarray(block.data if sparse.issparse(block) else block)
        if not np.isfinite(values).all():
            cell, gene = _first(block, lambda v: ~np.isfinite(v), start, cells, genes)
            raise ValueError(
                f"Expression has a value that is not finite (NaN or infinite), the first for cell {cell!r} and gene "
                f"{gene!r}. Remove such cells or genes, or set the values to 0 if they mean `not detected`."
            )
        if values.size and values.min() < 0:
            cell, gene = _first(block, lambda v: v < 0, start, cells, genes)
            raise ValueError(
                f"Expression has a negative value, the first for cell {cell!r} and gene {gene!r}. Expected counts, or "
                "log-normalised values before any scaling to unit variance: pass them by `layer=`."
            )
        if expression == "counts" and not np.array_equal(values, np.round(values)):
            cell, gene = _first(block, lambda v: v != np.round(v), start, cells, genes)
            raise ValueError(
                f"Expected raw counts, but found a value that is not an integer, the first for cell {cell!r} and gene "
                f"{gene!r}. Name the layer of raw counts by `layer=`, or, if the values are log-normalised already, "
                'say so: `setup_anndata(adata, expression="normalized")`.'
            )


def _first(block: Any, bad: Callable, start: int, cells: pd.Index, genes: pd.Index) -> tuple[str, str]:
    dense = block.toarray() if sparse.issparse(block) else np.asarray(block)
    row, column = np.argwhere(bad(dense))[0]
    return str(cells[start + row]), str(genes[column])

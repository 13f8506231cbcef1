"""Check counts and normalized values: the one place where it is decided what expression may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import sparse

from stimpute._messages import warn

Expression = Literal["counts", "normalized"]
ROWS_PER_BLOCK = 4096
MAX_COUNT = 2**24  # larger integers are not exact in float32
NOT_FINITE = (
    "Expression has a value that is not finite (NaN or infinite), the first for cell {cell!r} and gene {gene!r}. "
    "Remove such cells or genes, or set the values to 0 if they mean `not detected`."
)
NEGATIVE = (
    "Expression has a negative value, the first for cell {cell!r} and gene {gene!r}. Expected counts, or "
    "log-normalized values before any scaling to unit variance: pass them by `layer=`."
)
NOT_INTEGER = (
    "Expected raw counts, but found a value that is not an integer, the first for cell {cell!r} and gene {gene!r}. "
    "Name the layer of raw counts by `layer=`, or, if the values are log-normalized already, say so: "
    '`expression="normalized"`.'
)
TOO_LARGE = (
    f"Expected raw counts, but found one above {MAX_COUNT:,}, the first for cell {{cell!r}} and gene {{gene!r}}. "
    "Remove such cells or genes, or name the layer of raw counts by `layer=`."
)


def check_expression(x: np.ndarray | sparse.spmatrix, expression: Expression, cells: pd.Index, genes: pd.Index) -> None:
    """Check that a matrix holds counts or normalized values, as declared.

    Parameters
    ----------
    x
        Expression, shape (n_cells, n_genes), dense or sparse.
    expression
        `"counts"` or `"normalized"`, see :func:`read_expression`.
    cells, genes
        Names, for the messages.

    Raises
    ------
    ValueError
        If values are not real numbers, or one is not finite, negative, or, for counts, not an integer or too large.
    """
    check_kind(expression)
    check_form(x)
    all_integers = True
    for start in range(0, x.shape[0], ROWS_PER_BLOCK):
        found = check_block(x[start : start + ROWS_PER_BLOCK], expression)
        found.raise_problem(cells[start : start + ROWS_PER_BLOCK], genes)
        all_integers = all_integers and found.all_integers
    if expression == "normalized" and all_integers:
        warn_of_integers()


def check_kind(expression: str) -> None:
    """Check that a kind of expression is known.

    Raises
    ------
    ValueError
        If it is not.
    """
    if expression not in ("counts", "normalized"):
        raise ValueError(f'`expression` is {expression!r}; expected "counts" or "normalized".')


def check_form(x: Any) -> None:
    """Check type and shape of an expression matrix, which need not be in memory.

    Raises
    ------
    ValueError
        If values are not real numbers of at least four bytes, or there are none.
    """
    if x.dtype.kind not in "fiub":
        raise ValueError(f"The expression holds values of type {x.dtype}; expected real numbers.")
    if x.dtype == np.float16:  # not exact for counts above 2048, and unknown to SciPy
        raise ValueError(
            "The expression holds values of type float16; expected float32, float64 or integers. Convert it: "
            '`adata.X = adata.X.astype("float32")`.'
        )
    if 0 in x.shape:
        raise ValueError(f"The expression matrix has shape {x.shape}: there is nothing to work on.")


def warn_of_integers() -> None:
    """Warn that values which are declared as normalized are integers."""
    warn(
        "All values are integers, but the expression is declared as normalized and will not be log-normalized. "
        'If these are counts, say so: `expression="counts"`.',
    )


@dataclass(frozen=True)
class BlockCheck:
    """What a check found in some rows of an expression matrix.

    Attributes
    ----------
    all_integers
        Whether all values are integers.
    problem
        Message about the first bad value, with places for the names of its cell and its gene; None if there is none.
    row, column
        Position of that value.
    """

    all_integers: bool
    problem: str | None = None
    row: int = -1
    column: int = -1

    def raise_problem(self, cells: pd.Index, genes: pd.Index) -> None:
        """Raise ValueError with the names of cell and gene, if there is a problem."""
        if self.problem is not None:
            raise ValueError(self.problem.format(cell=str(cells[self.row]), gene=str(genes[self.column])))


def check_block(block: Any, expression: Expression) -> BlockCheck:
    """Check some rows of an expression matrix, dense or sparse."""
    values = np.asarray(block.data if sparse.issparse(block) else block)
    all_integers = np.array_equal(values, np.round(values))
    if not np.isfinite(values).all():
        return BlockCheck(all_integers, NOT_FINITE, *_first(~np.isfinite(_dense(block))))
    if values.size and values.min() < 0:
        return BlockCheck(all_integers, NEGATIVE, *_first(_dense(block) < 0))
    if expression == "counts" and not all_integers:
        dense = _dense(block)
        return BlockCheck(all_integers, NOT_INTEGER, *_first(dense != np.round(dense)))
    if expression == "counts" and values.size and values.max() > MAX_COUNT:
        return BlockCheck(all_integers, TOO_LARGE, *_first(_dense(block) > MAX_COUNT))
    return BlockCheck(all_integers)


def _dense(block: Any) -> np.ndarray:
    return block.toarray() if sparse.issparse(block) else np.asarray(block)


def _first(is_bad: np.ndarray) -> tuple[int, int]:
    row, column = np.argwhere(is_bad)[0]
    return int(row), int(column)

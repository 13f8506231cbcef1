"""Check counts and normalized values: the one place where it is decided what expression may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import sparse

from stimpute._messages import warn
from stimpute.data._normalize import LARGEST_LOGARITHM

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
    checks = []
    for start in range(0, x.shape[0], ROWS_PER_BLOCK):
        found = check_block(x[start : start + ROWS_PER_BLOCK], expression)
        found.raise_problem(cells[start : start + ROWS_PER_BLOCK], genes)
        checks.append(found)
    if expression == "normalized":
        warn_of_scale(checks)


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


def warn_of_scale(checks: Sequence[BlockCheck]) -> None:
    """Warn if values that are declared as normalized are all integers, or too large to be logarithms."""
    largest = max(check.largest for check in checks)
    if all(check.all_integers for check in checks):
        warn(
            "All values are integers, but the expression is declared as normalized and will not be log-normalized. "
            'If these are counts, say so: `expression="counts"`.',
        )
    elif largest > LARGEST_LOGARITHM:
        warn(
            f"The expression is declared as normalized and has values up to {largest:.3g}, too large for logarithms. "
            "Take the logarithm, for example with `scanpy.pp.log1p`.",
        )


@dataclass(frozen=True)
class BlockCheck:
    """What a check found in some rows of an expression matrix.

    Attributes
    ----------
    all_integers
        Whether all values are integers.
    largest
        Largest value.
    problem
        Message about the first bad value, with places for the names of its cell and its gene; None if there is none.
    row, column
        Position of that value.
    """

    all_integers: bool
    largest: float = 0.0
    problem: str | None = None
    row: int = -1
    column: int = -1

    def with_problem(self, message: str, is_bad: np.ndarray) -> BlockCheck:
        """Add a problem with its first bad value."""
        row, column = np.argwhere(is_bad)[0]
        return replace(self, problem=message, row=int(row), column=int(column))

    def raise_problem(self, cells: pd.Index, genes: pd.Index) -> None:
        """Raise ValueError with the names of cell and gene, if there is a problem."""
        if self.problem is not None:
            raise ValueError(self.problem.format(cell=str(cells[self.row]), gene=str(genes[self.column])))


def check_block(block: Any, expression: Expression) -> BlockCheck:
    """Check some rows of an expression matrix, dense or sparse."""
    values = np.asarray(block.data if sparse.issparse(block) else block)
    found = BlockCheck(np.array_equal(values, np.round(values)), float(values.max(initial=0)))
    if not np.isfinite(values).all():
        return found.with_problem(NOT_FINITE, ~np.isfinite(_dense(block)))
    if values.size and values.min() < 0:
        return found.with_problem(NEGATIVE, _dense(block) < 0)
    if expression == "counts" and not found.all_integers:
        dense = _dense(block)
        return found.with_problem(NOT_INTEGER, dense != np.round(dense))
    if expression == "counts" and found.largest > MAX_COUNT:
        return found.with_problem(TOO_LARGE, _dense(block) > MAX_COUNT)
    return found


def _dense(block: Any) -> np.ndarray:
    return block.toarray() if sparse.issparse(block) else np.asarray(block)

"""Read expression from an AnnData: the one place where counts and normalized values are checked."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from stimpute._messages import missing_key, name_list
from stimpute.data._annotations import read_column
from stimpute.data._normalize import cell_totals, log_normalize_sparse, median_total
from stimpute.data._rows import is_lazy, read_all

Expression = Literal["counts", "normalized"]
EXPRESSION_ARGUMENTS = ("layer", "expression", "gene_symbols")  # of `setup_anndata` and `read_expression`
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


def expression_arguments(setup: Mapping[str, Any]) -> dict[str, Any]:
    """Choose the arguments of `setup_anndata` that say where expression is and what it means."""
    return {name: setup[name] for name in EXPRESSION_ARGUMENTS if name in setup}


@dataclass(frozen=True)
class ExpressionMatrix:
    """Checked expression of an AnnData, and the names of its genes.

    Attributes
    ----------
    values
        Counts or normalized values as given, CSR, shape (n_cells, n_genes).
    genes
        Names by which genes are matched, shape (n_genes,).
    is_counts
        Whether the values are counts.
    """

    values: sparse.csr_matrix
    genes: pd.Index
    is_counts: bool

    def __getitem__(self, rows: np.ndarray) -> ExpressionMatrix:
        return ExpressionMatrix(self.values[rows], self.genes, self.is_counts)

    def gene_sums(self) -> np.ndarray:
        """Sum the values of every gene, shape (n_genes,)."""
        return np.asarray(self.values.sum(0)).ravel()

    def median_total(self) -> float:
        """Return the median total count of the cells over all genes; 1 for normalized values."""
        return median_total(cell_totals(self.values)) if self.is_counts else 1.0

    def log_normalized(self, target_sum: float | None = None) -> sparse.csr_matrix:
        """Scale counts by totals over all genes and take log1p; return normalized values as they are.

        Parameters
        ----------
        target_sum
            Total that every cell is scaled to; :meth:`median_total` if None.

        Returns
        -------
        CSR, float32, shape (n_cells, n_genes).
        """
        if not self.is_counts:
            return self.values.astype(np.float32)
        if target_sum is None:
            target_sum = self.median_total()
        return log_normalize_sparse(self.values, cell_totals(self.values), target_sum)


def read_expression(
    adata: AnnData,
    *,
    layer: str | None = None,
    expression: Expression = "counts",
    gene_symbols: str | None = None,
) -> ExpressionMatrix:
    """Read and check the expression of an AnnData, which may be a view, backed by a file, or lazy.

    Parameters
    ----------
    adata
        Cells × genes. What is not in memory is read once.
    layer
        Layer to read; `X` if None.
    expression
        `"counts"`: non-negative integers. `"normalized"`: non-negative and finite.
    gene_symbols
        Column of `var` with the gene names; `var_names` if None.

    Raises
    ------
    KeyError
        If the layer or the column does not exist.
    ValueError
        If gene names are not unique, or a value is not what it is declared to be.
    """
    matrix = find_matrix(adata, layer)
    genes = read_gene_names(adata, gene_symbols)
    return checked_matrix(read_all(matrix), adata, genes, expression)


def checked_matrix(matrix: Any, adata: AnnData, genes: pd.Index, expression: Expression) -> ExpressionMatrix:
    """Check a matrix in memory, and put it into one form."""
    check_expression(matrix, expression, adata.obs_names, genes)
    return ExpressionMatrix(sparse.csr_matrix(matrix), genes, expression == "counts")


def find_matrix(adata: AnnData, layer: str | None) -> Any:
    """Return `X` or a layer of an AnnData: an array, a sparse matrix, or one of them that is not in memory.

    Raises
    ------
    KeyError
        If the layer does not exist.
    ValueError
        If there is no `X`, or the matrix is of an unknown type.
    """
    if layer is not None and layer not in adata.layers:
        raise missing_key(layer, "adata.layers", adata.layers.keys())
    matrix = adata.X if layer is None else adata.layers[layer]
    if matrix is None:
        raise ValueError("This AnnData has no `X`. Name the layer that holds the expression by `layer=`.")
    if not isinstance(matrix, np.ndarray) and not sparse.issparse(matrix) and not is_lazy(matrix):
        raise ValueError(
            f"The expression is a {type(matrix).__name__}; expected a NumPy array, a SciPy sparse matrix, a Dask array "
            "or a file that AnnData opened. Convert it, or read it by `adata = adata.to_memory()`."
        )
    return matrix


def read_gene_names(adata: AnnData, gene_symbols: str | None = None) -> pd.Index:
    """Read the gene names of an AnnData, from `var_names` or a column of `var`.

    Raises
    ------
    KeyError
        If the column does not exist.
    ValueError
        If a name occurs more than once.
    """
    if gene_symbols is not None and gene_symbols not in adata.var:
        raise missing_key(gene_symbols, "adata.var", adata.var.columns)
    names = adata.var_names if gene_symbols is None else read_column(adata.var, gene_symbols)
    names = pd.Index(names.astype(str))
    if names.name == "_index":  # what AnnData calls an index without a name that was read lazily
        names = names.rename(None)
    repeated = names[names.duplicated()].unique()
    if len(repeated):
        raise ValueError(
            f"The data set has {len(repeated)} duplicated gene name(s), among them {name_list(repeated)}. Gene names "
            "must be unique: merge or drop the duplicates, or call `adata.var_names_make_unique()`."
        )
    return names


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
    if x.dtype.kind not in "fiub":
        raise ValueError(f"The expression holds values of type {x.dtype}; expected real numbers.")
    if 0 in x.shape:
        raise ValueError(f"The expression matrix has shape {x.shape}: there is nothing to work on.")
    all_integers = True
    for start in range(0, x.shape[0], ROWS_PER_BLOCK):
        found = check_block(x[start : start + ROWS_PER_BLOCK], expression)
        found.raise_problem(cells[start : start + ROWS_PER_BLOCK], genes)
        all_integers = all_integers and found.all_integers
    if expression == "normalized" and all_integers:
        warn_of_integers(stacklevel=3)


def check_kind(expression: str) -> None:
    """Check that a kind of expression is known.

    Raises
    ------
    ValueError
        If it is not.
    """
    if expression not in ("counts", "normalized"):
        raise ValueError(f'`expression` is {expression!r}; expected "counts" or "normalized".')


def warn_of_integers(stacklevel: int) -> None:
    """Warn that values which are declared as normalized are integers."""
    warnings.warn(
        "All values are integers, but the expression is declared as normalized and will not be log-normalized. "
        'If these are counts, say so: `expression="counts"`.',
        UserWarning,
        stacklevel=stacklevel,
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

"""Read expression from an AnnData: the one place where counts and normalized values are checked."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from stimpute._messages import missing_key, name_list
from stimpute.data._normalize import cell_totals, log_normalize_sparse, median_total

Expression = Literal["counts", "normalized"]
ROWS_PER_BLOCK = 4096
MAX_COUNT = 2**24  # larger integers are not exact in float32


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
    """Read and check the expression of an AnnData, which may be a view.

    Parameters
    ----------
    adata
        Cells × genes.
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
        If the AnnData is on disk, gene names are not unique, or a value is not what it is declared to be.
    """
    if layer is not None and layer not in adata.layers:
        raise missing_key(layer, "adata.layers", adata.layers.keys())
    if adata.isbacked:
        raise ValueError("This AnnData is backed by a file. Call `adata = adata.to_memory()` first.")
    genes = read_gene_names(adata, gene_symbols)
    matrix = adata.X if layer is None else adata.layers[layer]
    if matrix is None:
        raise ValueError("This AnnData has no `X`. Name the layer that holds the expression by `layer=`.")
    if not isinstance(matrix, np.ndarray) and not sparse.issparse(matrix):
        raise ValueError(
            f"The expression is a {type(matrix).__name__}, which is not in memory. Call `adata = adata.to_memory()`."
        )
    check_expression(matrix, expression, adata.obs_names, genes)
    return ExpressionMatrix(sparse.csr_matrix(matrix), genes, expression == "counts")


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
    names = adata.var_names if gene_symbols is None else adata.var[gene_symbols]
    names = pd.Index(names.astype(str))
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
    if expression not in ("counts", "normalized"):
        raise ValueError(f'`expression` is {expression!r}; expected "counts" or "normalized".')
    if x.dtype.kind not in "fiub":
        raise ValueError(f"The expression holds values of type {x.dtype}; expected real numbers.")
    if 0 in x.shape:
        raise ValueError(f"The expression matrix has shape {x.shape}: there is nothing to work on.")
    all_integers = True
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
                "log-normalized values before any scaling to unit variance: pass them by `layer=`."
            )
        all_integers = all_integers and np.array_equal(values, np.round(values))
        if expression == "counts" and not all_integers:
            cell, gene = _first(block, lambda v: v != np.round(v), start, cells, genes)
            raise ValueError(
                f"Expected raw counts, but found a value that is not an integer, the first for cell {cell!r} and gene "
                f"{gene!r}. Name the layer of raw counts by `layer=`, or, if the values are log-normalized already, "
                'say so: `expression="normalized"`.'
            )
        if expression == "counts" and values.size and values.max() > MAX_COUNT:
            cell, gene = _first(block, lambda v: v > MAX_COUNT, start, cells, genes)
            raise ValueError(
                f"Expected raw counts, but found one above {MAX_COUNT:,}, the first for cell {cell!r} and gene "
                f"{gene!r}. Remove such cells or genes, or name the layer of raw counts by `layer=`."
            )
    if expression == "normalized" and all_integers:
        warnings.warn(
            "All values are integers, but the expression is declared as normalized and will not be log-normalized. "
            'If these are counts, say so: `expression="counts"`.',
            UserWarning,
            stacklevel=2,
        )


def _first(block: Any, is_bad: Callable, start: int, cells: pd.Index, genes: pd.Index) -> tuple[str, str]:
    """Name the cell and the gene of the first bad value of a block of rows."""
    dense = block.toarray() if sparse.issparse(block) else np.asarray(block)
    row, column = np.argwhere(is_bad(dense))[0]
    return str(cells[start + row]), str(genes[column])

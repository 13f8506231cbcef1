"""Read expression from an AnnData."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from stimpute._messages import missing_key, name_list
from stimpute.data._annotations import read_column
from stimpute.data._checksums import cell_checksums, gene_weights
from stimpute.data._expression_checks import Expression, check_expression, check_form
from stimpute.data._normalize import cell_totals, log_normalize_sparse, median_total, weighted_totals
from stimpute.data._rows import as_csr, is_lazy, read_all

FROM_RAW = (
    'If you mean `adata.raw`, make a layer of it: `adata.layers["counts"] = adata.raw[:, adata.var_names].X.copy()`.'
)
EXPRESSION_ARGUMENTS = ("layer", "expression", "gene_symbols")  # of `setup_anndata` and `read_expression`


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

    @cached_property
    def checksums(self) -> np.ndarray:
        """Return the checksum of every cell, see :func:`stimpute.data._checksums.cell_checksums`, shape (n_cells,)."""
        return cell_checksums(self.values, gene_weights(self.genes))

    def gene_sums(self) -> np.ndarray:
        """Sum the values of every gene, shape (n_genes,)."""
        return np.asarray(self.values.sum(0)).ravel()

    def median_total(self) -> float:
        """Return the median total count of the cells over all genes; 1 for normalized values."""
        return median_total(cell_totals(self.values)) if self.is_counts else 1.0

    def log_normalized(
        self, target_sum: float | None = None, input_genes: Collection[str] | None = None
    ) -> sparse.csr_matrix:
        """Scale counts by totals and take log1p; return normalized values as they are.

        Parameters
        ----------
        target_sum
            Total that every cell is scaled to; the median of the totals if None.
        input_genes
            Genes that totals count; all if None.

        Returns
        -------
        CSR, float32, shape (n_cells, n_genes).
        """
        if not self.is_counts:
            return self.values.astype(np.float32)
        is_counted = np.ones(len(self.genes)) if input_genes is None else self.genes.isin(input_genes)
        totals = weighted_totals(self.values, is_counted.astype(float))
        if target_sum is None:
            target_sum = median_total(totals)
        return log_normalize_sparse(self.values, totals, target_sum)


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
    check_form(matrix)
    if sparse.issparse(matrix):
        matrix = as_csr(matrix)  # cells are checked in blocks, each of which would read all of a CSC matrix
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
        advice = "" if adata.raw is None else FROM_RAW
        raise missing_key(layer, "adata.layers", adata.layers.keys(), advice)
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
        If a gene has no name, or a name occurs more than once.
    """
    if gene_symbols is not None and gene_symbols not in adata.var:
        raise missing_key(gene_symbols, "adata.var", adata.var.columns)
    names = adata.var_names if gene_symbols is None else read_column(adata.var, gene_symbols)
    n_missing = int(pd.isna(names).sum())
    if n_missing:
        where = "adata.var_names" if gene_symbols is None else f"adata.var[{gene_symbols!r}]"
        raise ValueError(f"`{where}` has no name for {n_missing} gene(s). Fill the names in, or drop these genes.")
    names = pd.Index(names.astype(str))
    if gene_symbols is not None:
        names = names.rename(None)  # a table with this index may have a column of the same name
    if names.name == "_index":  # what AnnData calls an index without a name that was read lazily
        names = names.rename(None)
    repeated = names[names.duplicated()].unique()
    if len(repeated):
        where = "" if gene_symbols is None else f" in `adata.var[{gene_symbols!r}]`"
        advice = ", or call `adata.var_names_make_unique()`" if gene_symbols is None else ""
        raise ValueError(
            f"The data set has {len(repeated)} duplicated gene name(s){where}, among them {name_list(repeated)}. Gene "
            f"names must be unique: merge or drop the duplicates{advice}."
        )
    return names

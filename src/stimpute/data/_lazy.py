"""Expression that is not in memory: checked and summed in one pass, and read by rows."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import dask
import dask.array as da
import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from stimpute.data._expression import ExpressionMatrix, checked_matrix, find_matrix, read_gene_names
from stimpute.data._expression_checks import (
    BlockCheck,
    Expression,
    check_block,
    check_form,
    check_kind,
    warn_of_integers,
)
from stimpute.data._normalize import cell_totals
from stimpute.data._rows import LazyRows, blocks_of, by_rows, is_lazy, version_of


@dataclass(frozen=True)
class ExpressionScan:
    """What is needed of all cells at once, from one pass over their expression.

    Attributes
    ----------
    genes
        Names of the genes, shape (n_genes,).
    sums
        Sum of every gene, shape (n_genes,).
    total_counts
        Sum of every cell over the genes that its total counts, shape (n_cells,).
    n_empty
        Number of cells without any count of a shared gene.
    """

    genes: pd.Index
    sums: np.ndarray
    total_counts: np.ndarray
    n_empty: int

    def gene_sums(self) -> np.ndarray:
        """Return the sum of every gene, shape (n_genes,)."""
        return self.sums


Scans = dict[Hashable, ExpressionScan]
MAX_SCANS = 4  # that a model keeps


@dataclass(frozen=True)
class LazyExpression:
    """Expression of an AnnData that is not in memory.

    Attributes
    ----------
    array
        Counts or normalized values, dense or sparse, shape (n_cells, n_genes), in chunks of whole rows.
    genes
        Names by which genes are matched, shape (n_genes,).
    cells
        Names of the cells, shape (n_cells,).
    expression
        `"counts"` or `"normalized"`.
    version
        Changes when the file is written again.
    """

    array: da.Array
    genes: pd.Index
    cells: pd.Index
    expression: Expression
    version: tuple[str, int]

    @property
    def is_counts(self) -> bool:
        """Whether the values are counts."""
        return self.expression == "counts"

    def check_start(self) -> None:
        """Check the first block of cells; :meth:`scan` checks all.

        Raises
        ------
        ValueError
            If a value is not finite, negative, or, for counts, not an integer.
        """
        check_kind(self.expression)
        check_form(self.array)
        check_block(self.array.blocks[0].compute(), self.expression).raise_problem(self.cells, self.genes)

    def scan(self, counted: pd.Index, shared: pd.Index, known: Scans) -> ExpressionScan:
        """Check all values and sum them, in one pass.

        Parameters
        ----------
        counted
            Genes that a cell's total counts.
        shared
            Genes of which a cell should have a count.
        known
            Earlier scans. One of the same data is returned as it is; a new one is added.

        Raises
        ------
        ValueError
            As :meth:`check_start`.
        """
        key = self._key(counted)
        if key not in known:
            self.remember(self._scan(self.genes.isin(counted), self.genes.isin(shared)), counted, known)
        return known[key]

    def remember(self, scan: ExpressionScan, counted: pd.Index, known: Scans) -> None:
        """Add a scan to the earlier ones, of which some are kept."""
        while len(known) >= MAX_SCANS:
            known.pop(next(iter(known)))
        known[self._key(counted)] = scan

    def _key(self, counted: pd.Index) -> Hashable:
        in_total = self.genes.isin(counted).tobytes()
        return self.array.name, self.version, self.expression, tuple(self.genes), in_total

    def _scan(self, in_total: np.ndarray, is_shared: np.ndarray) -> ExpressionScan:
        summarize = dask.delayed(_summarize, pure=False)
        blocks = [summarize(block, self.expression, in_total, is_shared) for block in blocks_of(self.array)]
        parts = dask.compute(*blocks)
        start = 0
        for part in parts:
            part.check.raise_problem(self.cells[start:], self.genes)
            start += len(part.total_counts)
        if not self.is_counts and all(part.check.all_integers for part in parts):
            warn_of_integers(stacklevel=2)
        return ExpressionScan(
            genes=self.genes,
            sums=np.sum([part.sums for part in parts], axis=0),
            total_counts=np.concatenate([part.total_counts for part in parts]),
            n_empty=sum(part.n_empty for part in parts),
        )

    def rows(self, genes: pd.Index) -> LazyRows:
        """Return some genes, of which rows are read when they are asked for, shape (n_cells, n_chosen)."""
        return LazyRows(self.array, self.genes.get_indexer(genes))


@dataclass(frozen=True)
class _BlockSummary:
    check: BlockCheck
    sums: np.ndarray
    total_counts: np.ndarray
    n_empty: int


def _summarize(block: Any, expression: Expression, in_total: np.ndarray, is_shared: np.ndarray) -> _BlockSummary:
    """Check a block of cells, and sum it by gene and by cell."""
    check = check_block(block, expression)
    values = sparse.csr_matrix(block)
    n_empty = int((values[:, is_shared].max(1).toarray() == 0).sum())
    sums = np.asarray(values.sum(0), dtype=np.float64).ravel()
    return _BlockSummary(check, sums, cell_totals(values[:, in_total]), n_empty)


def open_expression(
    adata: AnnData,
    *,
    layer: str | None = None,
    expression: Expression = "counts",
    gene_symbols: str | None = None,
) -> ExpressionMatrix | LazyExpression:
    """Open the expression of an AnnData: read and checked if it is in memory, else checked in part.

    Parameters
    ----------
    adata, layer, expression, gene_symbols
        See :func:`stimpute.data._expression.read_expression`.

    Raises
    ------
    KeyError, ValueError
        See there.
    """
    matrix = find_matrix(adata, layer)
    genes = read_gene_names(adata, gene_symbols)
    if is_lazy(matrix):
        rows = by_rows(matrix)
        if isinstance(rows, da.Array):
            lazy = LazyExpression(rows, genes, adata.obs_names, expression, version_of(matrix))
            lazy.check_start()
            return lazy
        matrix = rows  # stored by column, and read
    return checked_matrix(matrix, adata, genes, expression)

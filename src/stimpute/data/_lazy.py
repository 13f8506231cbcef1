"""Expression that is not in memory: checked and summed in one pass, and read by rows."""

from __future__ import annotations

import weakref
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import dask
import dask.array as da
import numpy as np
import pandas as pd
from anndata import AnnData

from stimpute.data._checksums import RowChecksums, cell_checksums, gene_weights
from stimpute.data._expression import ExpressionMatrix, checked_matrix, find_matrix, read_gene_names
from stimpute.data._expression_checks import (
    BlockCheck,
    Expression,
    check_block,
    check_form,
    check_kind,
    warn_of_scale,
)
from stimpute.data._normalize import cell_totals
from stimpute.data._rows import LazyRows, as_csr, blocks_of, by_rows, is_lazy, version_of
from stimpute.data._stored import Stored, check_stored


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
    checksums
        Of every cell, see :func:`stimpute.data._checksums.cell_checksums`, shape (n_cells,).
    """

    genes: pd.Index
    sums: np.ndarray
    total_counts: np.ndarray
    n_empty: int
    checksums: np.ndarray

    def gene_sums(self) -> np.ndarray:
        """Return the sum of every gene, shape (n_genes,)."""
        return self.sums


class Scans:
    """The last few passes over expression that is not in memory, as long as somebody keeps its AnnData."""

    def __init__(self) -> None:
        self._known: list[tuple[weakref.ref[AnnData], Hashable, ExpressionScan]] = []
        self._stored: list[tuple[weakref.ref[AnnData], Stored]] = []

    def __reduce__(self) -> tuple[type[Scans], tuple[()]]:
        """Let a model be sent to another process, where nothing was read before."""
        return Scans, ()

    def find(self, adata: AnnData, key: Hashable) -> ExpressionScan | None:
        """Return the pass over an AnnData, None if there was none.

        Files that are opened again, which may have changed, are another AnnData.
        """
        for known, known_key, scan in self._known:
            if known() is adata and known_key == key:
                return scan
        return None

    def add(self, adata: AnnData, key: Hashable, scan: ExpressionScan) -> None:
        """Remember a pass, and forget the oldest."""
        living = [known for known in self._known if known[0]() is not None]
        self._known = [*living[1 - MAX_SCANS :], (weakref.ref(adata), key, scan)]

    def check_stored(self, adata: AnnData, stored: Stored) -> None:
        """Compare what the files of an AnnData hold beside expression with what they held the first time.

        Raises
        ------
        ChangedDataError
            If it differs.
        """
        self._stored = [known for known in self._stored if known[0]() is not None]
        for known, expected in self._stored:
            if known() is adata:
                check_stored(stored, expected)
                return
        self._stored.append((weakref.ref(adata), stored))


MAX_SCANS = 4  # that a model keeps


@dataclass(frozen=True)
class LazyExpression:
    """Expression of an AnnData that is not in memory.

    Attributes
    ----------
    adata
        The AnnData.
    array
        Counts or normalized values, dense or sparse, shape (n_cells, n_genes), in chunks of whole rows.
    genes
        Names by which genes are matched, shape (n_genes,).
    expression
        `"counts"` or `"normalized"`.
    version
        Changes when the file is written again.
    checksums
        Of the first cells, which were read, see :func:`stimpute.data._checksums.cell_checksums`, shape (n_first,).
    """

    adata: AnnData
    array: da.Array
    genes: pd.Index
    expression: Expression
    version: tuple[str, int]
    checksums: np.ndarray

    @property
    def is_counts(self) -> bool:
        """Whether the values are counts."""
        return self.expression == "counts"

    def row_checksums(self, scan: ExpressionScan) -> RowChecksums:
        """Return what rows must be when they are read after a scan."""
        return RowChecksums(gene_weights(self.genes), scan.checksums)

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
            If a value is not finite, negative, or, for counts, not an integer; nothing can be read; or the first cells
            are not what they were in an earlier scan.
        """
        scan = known.find(self.adata, self._key(counted))
        if scan is None:
            scan = self._scan(self.genes.isin(counted), self.genes.isin(shared))
            self.remember(scan, counted, known)
        self.row_checksums(scan)[: len(self.checksums)].compare(self.checksums)
        return scan

    def remember(self, scan: ExpressionScan, counted: pd.Index, known: Scans) -> None:
        """Add a scan to the earlier ones, of which some are kept."""
        known.add(self.adata, self._key(counted), scan)

    def _key(self, counted: pd.Index) -> Hashable:
        in_total = self.genes.isin(counted).tobytes()
        return self.array.name, self.version, self.expression, tuple(self.genes), in_total

    def _scan(self, in_total: np.ndarray, is_shared: np.ndarray) -> ExpressionScan:
        summarize = dask.delayed(_summarize, pure=False)
        arguments = (self.expression, in_total, is_shared, gene_weights(self.genes))
        parts = dask.compute(*(summarize(block, *arguments) for block in blocks_of(self.array)))
        start = 0
        for part in parts:
            part.check.raise_problem(self.adata.obs_names[start:], self.genes)
            start += len(part.total_counts)
        if not self.is_counts:
            warn_of_scale([part.check for part in parts])
        return ExpressionScan(
            genes=self.genes,
            sums=np.sum([part.sums for part in parts], axis=0),
            total_counts=np.concatenate([part.total_counts for part in parts]),
            n_empty=sum(part.n_empty for part in parts),
            checksums=np.concatenate([part.checksums for part in parts]),
        )

    def rows(self, genes: pd.Index, scan: ExpressionScan) -> LazyRows:
        """Return some genes, of which rows are read when they are asked for, shape (n_cells, n_chosen)."""
        return LazyRows(self.array, self.genes.get_indexer(genes), self.row_checksums(scan))


@dataclass(frozen=True)
class _BlockSummary:
    check: BlockCheck
    sums: np.ndarray
    total_counts: np.ndarray
    n_empty: int
    checksums: np.ndarray


def _summarize(
    block: Any, expression: Expression, in_total: np.ndarray, is_shared: np.ndarray, weights: np.ndarray
) -> _BlockSummary:
    """Check a block of cells, and sum it by gene and by cell."""
    values = as_csr(block)
    check = check_block(values, expression)
    n_empty = int((values[:, is_shared].max(1).toarray() == 0).sum()) if is_shared.any() else block.shape[0]
    sums = np.asarray(values.sum(0), dtype=np.float64).ravel()
    checksums = cell_checksums(values, weights)
    return _BlockSummary(check, sums, cell_totals(values[:, in_total]), n_empty, checksums)


def _check_start(array: da.Array, expression: Expression, cells: pd.Index, genes: pd.Index) -> np.ndarray:
    """Check the first block of cells, and return their checksums."""
    check_kind(expression)
    check_form(array)
    block = as_csr(array.blocks[0].compute())
    check_block(block, expression).raise_problem(cells, genes)
    return cell_checksums(block, gene_weights(genes))


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
            first = _check_start(rows, expression, adata.obs_names, genes)
            return LazyExpression(adata, rows, genes, expression, version_of(matrix), first)
        matrix = rows  # stored by column, and read
    return checked_matrix(matrix, adata, genes, expression)

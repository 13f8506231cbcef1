"""Hold the spatial cells: expression of the shared genes, totals, positions and sections."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

import numpy as np
import pandas as pd
from scipy import sparse

from stimpute.data._arrays import Shape
from stimpute.data._expression import ExpressionMatrix
from stimpute.data._folds import GeneSplit
from stimpute.data._normalize import cell_totals, log_normalize, log_normalize_sparse, median_total
from stimpute.data._rows import LazyRows
from stimpute.data._space import NeighborSearch, spatial_order


@dataclass(frozen=True)
class SpatialCells:
    """Expression of the shared genes, and where the cells are.

    Attributes
    ----------
    expression
        Counts, or normalized values, of the shared genes, shape (n_cells, n_shared): CSR, or rows that are read when
        they are asked for. Some cells, `cells[rows]`, are always in memory; what computes expects that.
    total_counts
        Total count of each cell over its input genes, shape (n_cells,); None for normalized values.
    coords
        Positions, shape (n_cells, 2 or 3), or None.
    section
        Section of every cell, shape (n_cells,).
    """

    expression: sparse.csr_matrix
    total_counts: np.ndarray | None
    coords: np.ndarray | None
    section: np.ndarray

    @classmethod
    def from_matrix(
        cls,
        matrix: ExpressionMatrix,
        inputs: pd.Index,
        shared: pd.Index,
        coords: np.ndarray | None = None,
        section: np.ndarray | None = None,
    ) -> SpatialCells:
        """Take the shared genes of a section.

        Parameters
        ----------
        matrix
            Expression of the section.
        inputs
            Genes that totals are computed over; all must be there.
        shared
            Genes to keep, a part of `inputs`.
        coords, section
            See the attributes; one section if None.
        """
        values = matrix.values[:, matrix.genes.get_indexer(inputs)]
        values.sum_duplicates()  # a copy; logarithms are taken of stored values
        values.eliminate_zeros()
        expression = values[:, inputs.get_indexer(shared)].astype(np.float32)
        return cls.from_rows(expression, cell_totals(values) if matrix.is_counts else None, coords, section)

    @classmethod
    def from_rows(
        cls,
        expression: sparse.csr_matrix | LazyRows,
        total_counts: np.ndarray | None,
        coords: np.ndarray | None = None,
        section: np.ndarray | None = None,
    ) -> SpatialCells:
        """Take cells as they are; one section if `section` is None."""
        if section is None:
            section = np.zeros(expression.shape[0], dtype=np.int8)
        return cls(expression, total_counts, coords, section)

    @classmethod
    def join(cls, parts: Sequence[SpatialCells]) -> SpatialCells:
        """Put parts that are in memory below each other."""
        if len(parts) == 1:
            return parts[0]
        first = parts[0]
        return cls(
            sparse.vstack([part.expression for part in parts], "csr"),
            None if first.total_counts is None else np.concatenate([part.total_counts for part in parts]),
            None if first.coords is None else np.concatenate([part.coords for part in parts]),
            np.concatenate([part.section for part in parts]),
        )

    def __len__(self) -> int:
        return self.expression.shape[0]

    def __getitem__(self, rows: np.ndarray) -> SpatialCells:
        return SpatialCells(
            self.expression[rows],
            None if self.total_counts is None else self.total_counts[rows],
            None if self.coords is None else self.coords[rows],
            self.section[rows],
        )

    @cached_property
    def order(self) -> np.ndarray:
        """Order of the cells that keeps spatial neighbors together, shape (n_cells,)."""
        if self.coords is None:
            return np.arange(len(self))
        return spatial_order(self.coords, self.section)

    def parts(self, n_cells: int) -> Iterator[SpatialCells]:
        """Yield the cells in memory, some at a time."""
        for start in range(0, len(self), n_cells):
            yield self[np.arange(start, min(start + n_cells, len(self)))]

    def neighbor_search(self) -> NeighborSearch:
        """Return what finds the nearest cells of the same section.

        Raises
        ------
        ValueError
            If the cells have no positions.
        """
        if self.coords is None:
            raise ValueError(
                "The model reads the spatial neighbors of a cell, and these cells have no positions: put them where "
                'the `spatial_key` of `setup_anndata` says (`obsm["spatial"]`), or train a model on data without '
                "positions."
            )
        return NeighborSearch(self.coords, self.section)

    def neighbors(self, k: int) -> np.ndarray:
        """Find the k nearest cells of the same section for all cells, shape (n_cells, k)."""
        return self.neighbor_search().find(k, np.arange(len(self)))

    def chunk(self, rows: np.ndarray, neighbors: np.ndarray | None = None) -> CellChunk:
        """Take some cells together with their spatial neighbors, as a self-contained piece of work.

        Parameters
        ----------
        rows
            Positions of the cells, shape (n_rows,).
        neighbors
            From :meth:`neighbors`, for all cells; None for a method that does not read them.
        """
        if neighbors is None:
            return CellChunk(self[rows], np.arange(len(rows)), None)
        wanted = np.concatenate([rows[:, None], neighbors[rows]], axis=1)
        needed, position = np.unique(wanted, return_inverse=True)
        position = position.reshape(wanted.shape)
        return CellChunk(self[needed], position[:, 0], position[:, 1:])

    def input_totals(self, split: GeneSplit) -> np.ndarray | None:
        """Sum the counts of the genes that are not held out, shape (n_cells,); None for normalized values."""
        if self.total_counts is None or not len(split.held_out):
            return self.total_counts
        return self.total_counts - cell_totals(self.expression[:, split.held_out])

    def target_sum(self, split: GeneSplit) -> float:
        """Return the median of :meth:`input_totals`, the total that cells are scaled to; 1 for normalized values."""
        totals = self.input_totals(split)
        return 1.0 if totals is None else median_total(totals)

    def log_normalized(self, split: GeneSplit, target_sum: float) -> np.ndarray:
        """Log-normalize the shared genes by totals over the input genes alone.

        Parameters
        ----------
        split
            Input and held-out genes. The values of held-out genes are scaled as well: they are the truth to predict,
            and must be masked before anything reads them as input.
        target_sum
            Total that every cell is scaled to, see :meth:`target_sum`.

        Returns
        -------
        float32, shape (n_cells, n_shared).
        """
        dense = self.expression.toarray()
        totals = self.input_totals(split)
        return dense if totals is None else log_normalize(dense, totals, target_sum)

    def log_normalized_sparse(self, split: GeneSplit, target_sum: float) -> sparse.csr_matrix:
        """Do what :meth:`log_normalized` does, and keep the values sparse."""
        totals = self.input_totals(split)
        return self.expression if totals is None else log_normalize_sparse(self.expression, totals, target_sum)


@dataclass(frozen=True)
class CellChunk:
    """Cells of one piece of work, with the further cells that they need.

    Attributes
    ----------
    cells
        The chunk's own cells and their spatial neighbors.
    rows
        Positions of the chunk's own cells among these, shape (n_rows,).
    neighbors
        Positions of their spatial neighbors, shape (n_rows, n_neighbors), or None.
    """

    cells: SpatialCells
    rows: np.ndarray
    neighbors: np.ndarray | None

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class ProbeCells:
    """Cells that stay with a fitted method, on which the prediction of any gene is examined."""

    expression: Annotated[
        np.ndarray,
        Shape("n_probe", "n_shared", about="counts (or normalized values) of the shared genes in some training cells"),
    ]
    total_counts: Annotated[np.ndarray | None, Shape("n_probe", about="total counts of the same cells")]

    @classmethod
    def take(cls, cells: SpatialCells, rows: np.ndarray) -> ProbeCells:
        """Copy some cells, without names, positions and sections."""
        chosen = cells[rows]
        return cls(chosen.expression.toarray(), chosen.total_counts)

    def cells(self) -> SpatialCells:
        """Return the probe cells as spatial cells without positions."""
        section = np.zeros(len(self.expression), dtype=int)
        return SpatialCells(sparse.csr_matrix(self.expression), self.total_counts, None, section)

"""Order, sample and connect cells in space."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree

CELLS_PER_QUERY = 65_536
LEAF_SIZE = 32  # cells in a leaf of a tree; smaller leaves take more time and memory
BITS_PER_AXIS = 16  # resolution of the space-filling curve
MAX_DENSE = 5_000_000  # values that are made dense to average neighbors: about as many as caches hold


def spatial_order(coords: np.ndarray, section: np.ndarray | None = None) -> np.ndarray:
    """Order cells along a Z-shaped space-filling curve, section after section.

    Parameters
    ----------
    coords
        Positions, shape (n_cells, 2 or 3).
    section
        Section of every cell, shape (n_cells,).

    Returns
    -------
    A permutation of the cells, shape (n_cells,).
    """
    coords = np.asarray(coords, dtype=np.float64)
    n_axes = coords.shape[1]
    span = np.ptp(coords, axis=0)
    scaled = (coords - coords.min(0)) / np.where(span > 0, span, 1)
    grid = (scaled * (2**BITS_PER_AXIS - 1)).astype(np.uint64)
    code = np.zeros(len(coords), dtype=np.uint64)
    for bit in range(BITS_PER_AXIS):
        for axis in range(n_axes):
            code |= ((grid[:, axis] >> np.uint64(bit)) & np.uint64(1)) << np.uint64(bit * n_axes + axis)
    if section is None:
        section = np.zeros(len(code))
    return np.lexsort((code, section))


def spatial_neighbors(coords: np.ndarray, section: np.ndarray, k: int, rows: np.ndarray | None = None) -> np.ndarray:
    """Find the k nearest other cells of the same section.

    In a section with fewer other cells these are repeated; a single cell is its own neighbor.

    Parameters
    ----------
    coords
        Positions, shape (n_cells, 2 or 3).
    section
        Section of every cell, shape (n_cells,).
    k
        Number of neighbors.
    rows
        Positions of the cells whose neighbors to find; all if None.

    Returns
    -------
    Positions of cells, int32, shape (n_rows, k).
    """
    return NeighborSearch(coords, section).find(k, np.arange(len(coords)) if rows is None else rows)


class NeighborSearch:
    """Search the nearest other cells of the same section, for some cells at a time.

    Parameters
    ----------
    coords
        Positions, shape (n_cells, 2 or 3).
    section
        Section of every cell, shape (n_cells,).
    """

    def __init__(self, coords: np.ndarray, section: np.ndarray) -> None:
        self.coords = coords
        self.section = section
        self._trees: dict[Any, tuple[np.ndarray | None, cKDTree]] = {}

    def find(self, k: int, rows: np.ndarray) -> np.ndarray:
        """Find the k nearest cells of some cells; see :func:`spatial_neighbors`."""
        neighbors = np.empty((len(rows), k), dtype=np.int32)
        section = self.section[rows]
        for name in np.unique(section):
            cells, tree = self._tree(name)
            wanted = np.flatnonzero(section == name)
            for start in range(0, len(wanted), CELLS_PER_QUERY):
                part = wanted[start : start + CELLS_PER_QUERY]
                if cells is None:
                    neighbors[part] = _nearest(tree, rows[part], k)
                else:
                    neighbors[part] = cells[_nearest(tree, np.searchsorted(cells, rows[part]), k)]
        return neighbors

    def _tree(self, name: Any) -> tuple[np.ndarray | None, cKDTree]:
        """Return the cells of a section, None for all of them, and their tree, which is made once."""
        if name not in self._trees:
            cells = np.flatnonzero(self.section == name)
            if len(cells) == len(self.section):
                self._trees[name] = None, cKDTree(self.coords, LEAF_SIZE)
            else:
                self._trees[name] = cells, cKDTree(self.coords[cells], LEAF_SIZE)
        return self._trees[name]


def _nearest(tree: cKDTree, rows: np.ndarray, k: int) -> np.ndarray:
    """Find the nearest other points of some points of a tree, shape (n_rows, k)."""
    _, found = tree.query(tree.data[rows], k=min(k + 1, tree.n))
    found = np.asarray(found).reshape(len(rows), -1)
    # The cell itself comes first, unless others have the same position.
    itself_first = np.argsort(found != rows[:, None], axis=1, kind="stable")
    found = np.take_along_axis(found, itself_first, axis=1)
    others = found[:, 1:] if found.shape[1] > 1 else found
    return np.take(others, np.arange(k) % others.shape[1], axis=1)


def dense_if_small(expression: sparse.csr_matrix) -> sparse.csr_matrix | np.ndarray:
    """Return a small matrix as a dense array, which cells and neighbors are taken from several times faster."""
    return expression.toarray() if np.prod(expression.shape) <= MAX_DENSE else expression


def neighbor_mean(expression: sparse.csr_matrix | np.ndarray, neighbors: np.ndarray) -> np.ndarray:
    """Average the expression of neighbors, shape (n_cells, n_genes).

    Parameters
    ----------
    expression
        Shape (n_all_cells, n_genes); from :func:`dense_if_small`, to the same result to the bit.
    neighbors
        Positions of the neighbors of each cell among all cells, shape (n_cells, n_neighbors).
    """
    n_cells, k = neighbors.shape
    share = np.float32(1 / k)
    if sparse.issparse(expression):
        rows = expression[neighbors.ravel()]
        # The neighbors of a cell become one row, in which genes occur several times: they are added up.
        shape = (n_cells, expression.shape[1])
        return sparse.csr_matrix((rows.data * share, rows.indices, rows.indptr[::k]), shape=shape).toarray()
    starts = np.arange(0, n_cells * k + 1, k)
    shares = np.full(n_cells * k, share)
    average = sparse.csr_matrix((shares, neighbors.ravel(), starts), shape=(n_cells, expression.shape[0]))
    return average @ expression


def sample_cells(order: np.ndarray, n: int, run: int = 1) -> np.ndarray:
    """Take evenly spaced cells along an order, so that the sample covers space and sections.

    Parameters
    ----------
    order
        A permutation of the cells, shape (n_cells,).
    n
        Number of cells to take.
    run
        Length of the contiguous runs that are taken in place of single cells.

    Returns
    -------
    Sorted positions, at most `n`; exactly `min(n, n_cells)` with single cells.
    """
    if n >= len(order):
        return np.arange(len(order))
    blocks = np.split(order, np.arange(run, len(order), run))
    chosen = np.linspace(0, len(blocks) - 1, max(1, n // run)).round().astype(int)
    return np.sort(np.concatenate([blocks[block] for block in chosen])[:n])

"""Cells in space: an order that keeps neighbours together, and a sample that covers the tissue."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

BITS = 16


def spatial_order(coords: np.ndarray, batch: np.ndarray | None = None) -> np.ndarray:
    """Order of cells along a Z-shaped space-filling curve, batch after batch.

    Parameters
    ----------
    coords
        Positions, shape (n_cells, 2 or 3).
    batch
        Section of every cell, shape (n_cells,).

    Returns
    -------
    A permutation of the cells, shape (n_cells,).
    """
    coords = np.asarray(coords, dtype=np.float64)
    low, span = coords.min(0), np.ptp(coords, axis=0)
    bits = min(BITS, 63 // coords.shape[1])
    grid = ((coords - low) / np.where(span > 0, span, 1) * (2**bits - 1)).astype(np.uint64)
    code = np.zeros(len(coords), dtype=np.uint64)
    for bit in range(bits):
        for axis in range(coords.shape[1]):
            code |= ((grid[:, axis] >> np.uint64(bit)) & np.uint64(1)) << np.uint64(bit * coords.shape[1] + axis)
    return np.lexsort((code, np.zeros(len(code)) if batch is None else batch))


def nearest_around(coords: np.ndarray, batch: np.ndarray, k: int) -> np.ndarray:
    """The k nearest other cells of the same section.

    Parameters
    ----------
    coords
        Positions, shape (n_cells, 2 or 3).
    batch
        Section of every cell, shape (n_cells,).
    k
        Cells wanted; a cell of a smaller section has its section's other cells repeated, a lone cell itself.

    Returns
    -------
    Positions of cells, int32, shape (n_cells, k).
    """
    around = np.empty((len(coords), k), dtype=np.int32)
    for section in np.unique(batch):
        cells = np.flatnonzero(batch == section)
        tree = cKDTree(coords[cells])
        found = np.asarray(tree.query(coords[cells], k=min(k + 1, len(cells)))[1]).reshape(len(cells), -1)
        itself_first = np.argsort(found != np.arange(len(cells))[:, None], axis=1, kind="stable")
        found = np.take_along_axis(found, itself_first, axis=1)  # where cells share a place, it need not be
        others = found[:, 1:] if found.shape[1] > 1 else found
        around[cells] = cells[np.take(others, np.arange(k) % others.shape[1], axis=1)]
    return around


def sample_cells(order: np.ndarray, n: int, run: int = 1) -> np.ndarray:
    """Take evenly spaced cells along an order, so that the sample covers space and batches.

    Parameters
    ----------
    order
        A permutation of the cells, shape (n_cells,).
    n
        Cells wanted.
    run
        Take runs of so many neighbours along the order in place of single cells.

    Returns
    -------
    Sorted positions, at most `n`; exactly `min(n, n_cells)` with single cells.
    """
    if n >= len(order):
        return np.arange(len(order))
    blocks = np.split(order, np.arange(run, len(order), run))
    chosen = np.linspace(0, len(blocks) - 1, max(1, n // run)).round().astype(int)
    return np.sort(np.concatenate([blocks[block] for block in chosen])[:n])

"""The one place where genes are compared with genes: blocked similarity, top neighbours, CSR."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy.sparse import csr_matrix

BLOCK_BYTES = 128 * 2**20  # of one block of features in float32; two blocks and one tile live at a time


def similarity_graph(
    block: Callable[[int, int], torch.Tensor], n_rows: int, n_features: int, n_neighbors: int
) -> csr_matrix:
    """Link every row to the rows it is most similar to.

    The n x n similarity is visited tile by tile. A tile serves its rows and, transposed, its columns, so that only
    half of the tiles are computed; what stays is `n_neighbors` values a row.

    Parameters
    ----------
    block
        `block(start, stop)` gives these rows as float32 [stop - start, n_features], each of length one (or zero: no
        neighbours).
    n_rows, n_features
        Shape of what `block` serves.
    n_neighbors
        Most neighbours a row may have.

    Returns
    -------
    [n_rows, n_rows] float32, rows listen to columns: cosines above zero, no diagonal, sorted indices.

    Raises
    ------
    ValueError
        If `n_neighbors` is below one.
    """
    if n_neighbors < 1:
        raise ValueError(f"n_neighbors is {n_neighbors}, expected at least 1; pass for example n_neighbors=15.")
    k = min(n_neighbors, n_rows)
    size = int(np.clip(BLOCK_BYTES // (4 * max(n_features, 1)), 32, 2048))
    cosine = torch.zeros(n_rows, k)  # zero is "no edge": a negative cosine never displaces it
    neighbor = torch.zeros(n_rows, k, dtype=torch.int64)
    for top in range(0, n_rows, size):
        rows = slice(top, min(top + size, n_rows))
        left = block(rows.start, rows.stop)
        for start in range(top, n_rows, size):
            columns = slice(start, min(start + size, n_rows))
            if start == top:
                _keep_best(cosine[rows], neighbor[rows], (left @ left.T).fill_diagonal_(0), start)
            else:
                tile = left @ block(columns.start, columns.stop).T
                _keep_best(cosine[rows], neighbor[rows], tile, start)
                _keep_best(cosine[columns], neighbor[columns], tile.T, top)
    return _to_csr(cosine.clamp_(max=1).numpy(), neighbor.numpy())


def unit_rows(matrix: torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
    """Take the mean away and scale rows to length one; rows that equal the mean up to rounding become zero."""
    centred = matrix - mean
    norm = centred.norm(dim=1, keepdim=True)
    rounding = 10 * torch.finfo(matrix.dtype).eps * matrix.norm(dim=1, keepdim=True)
    return torch.where(norm > rounding, centred / norm, 0.0)


def spread(graph: csr_matrix, index: np.ndarray, n: int) -> csr_matrix:
    """Place the graph of the genes at `index` into the graph of all `n` genes."""
    coo = graph.tocoo()
    return csr_matrix((coo.data, (index[coo.row], index[coo.col])), shape=(n, n))


def _keep_best(cosine: torch.Tensor, neighbor: torch.Tensor, tile: torch.Tensor, offset: int) -> None:
    """Merge a tile [rows, columns], whose first column is row `offset`, into the best so far [rows, k], in place."""
    k = cosine.shape[1]
    values, columns = tile.topk(min(k, tile.shape[1]), dim=1)
    merged, place = torch.cat([cosine, values], dim=1).topk(k, dim=1)
    neighbor.copy_(torch.cat([neighbor, columns + offset], dim=1).gather(1, place))
    cosine.copy_(merged)


def _to_csr(cosine: np.ndarray, neighbor: np.ndarray) -> csr_matrix:
    n = len(cosine)
    kept = cosine > 0
    rows = np.repeat(np.arange(n), kept.sum(axis=1))
    graph = csr_matrix((cosine[kept].astype(np.float32), (rows, neighbor[kept])), shape=(n, n))
    graph.sort_indices()
    return graph

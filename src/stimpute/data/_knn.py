"""Find the most similar cells exactly: a blocked matrix product and a top-k."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK_ELEMENTS = 2**23  # similarities held at once: 64 MB


@torch.inference_mode()
def nearest_by_cosine(query: Tensor, base: Tensor, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the k rows of `base` with the highest cosine to each row of `query`, on the device of the data.

    Products of matrices are rounded in other ways if they have other numbers of rows. Double precision keeps that from
    deciding which of two rows with almost the same cosine is found, so that a cell has the same neighbors in every
    batch. Cosines that differ by less than single precision count as equal.

    Cost is n_query × n_base × n_features; memory is one block of similarities.

    Parameters
    ----------
    query
        Shape (n_query, n_features).
    base
        Shape (n_base, n_features).
    k
        Number of neighbors per row.

    Returns
    -------
    Positions, int64, and cosines, float32, each of shape (n_query, k), the most similar first.
    """
    if not len(query):
        return np.empty((0, k), np.int64), np.empty((0, k), np.float32)
    base = F.normalize(in_double_precision(base), dim=1).T.contiguous()
    query = F.normalize(in_double_precision(query), dim=1)
    rows_per_block = max(1, BLOCK_ELEMENTS // base.shape[1])
    found = [torch.topk((block @ base).float(), k, dim=1) for block in query.split(rows_per_block)]
    cosine = torch.cat([values for values, _ in found])
    index = torch.cat([positions for _, positions in found])
    return index.cpu().numpy(), cosine.cpu().numpy()


def in_double_precision(values: Tensor) -> Tensor:
    """Convert values to float64, on the CPU if their device does not have it, as Apple's."""
    return values.to("cpu" if values.device.type == "mps" else values.device).double()

"""Measured expression on the scale of imputed values."""

from __future__ import annotations

from typing import Literal

import anndata as ad
import numpy as np
from scipy import sparse

from stimpute.data._normalize import cell_totals, log_normalise_sparse, typical_total

Expression = Literal["counts", "normalized"]


def measured_expression(
    spatial: ad.AnnData, *, layer: str | None = None, expression: Expression = "counts"
) -> ad.AnnData:
    """Log-normalise counts by the totals over the measured genes, as imputed values are.

    Parameters
    ----------
    spatial
        Spatial data [cells, measured genes].
    layer
        Layer to read instead of ``X``.
    expression
        ``"counts"``: divide by a cell's total, times the median total, ``log1p``; ``"normalized"``: take as it is.

    Returns
    -------
    A new AnnData with float32 ``X`` [cells, measured genes] and the ``obs`` and ``obsm`` of ``spatial``.

    Raises
    ------
    KeyError
        If there is no such layer.
    ValueError
        If ``expression`` is unknown, or counts are not counts.
    """
    if layer is not None and layer not in spatial.layers:
        raise KeyError(f"layer={layer!r} is not in spatial.layers, found {list(spatial.layers)}.")
    if expression not in ("counts", "normalized"):
        raise ValueError(f"expression={expression!r}: expected 'counts' or 'normalized'.")
    x = sparse.csr_array(spatial.X if layer is None else spatial.layers[layer], dtype=np.float32)
    if expression == "counts":
        x = _log_normalise(x)
    return ad.AnnData(sparse.csr_matrix(x), obs=spatial.obs.copy(), var=spatial.var[[]], obsm=dict(spatial.obsm))


def _log_normalise(counts: sparse.csr_array) -> sparse.csr_matrix:
    if (counts.data < 0).any() or (counts.data != np.round(counts.data)).any():
        raise ValueError("Found values that are not counts: pass expression='normalized', or layer= with the counts.")
    matrix = sparse.csr_matrix(counts)
    totals = cell_totals(matrix)
    return log_normalise_sparse(matrix, totals, typical_total(totals))

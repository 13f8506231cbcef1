"""Relate genes by how they vary together across the reference's cells."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from anndata import AnnData
from scipy import sparse

from ._graph import similarity_graph, unit_rows
from ._relations import record


def coexpression_graph(
    reference: AnnData,
    *,
    n_neighbors: int = 15,
    layer: str | None = None,
    key_added: str = "coexpression",
    expression: Literal["counts", "normalized"] = "counts",
) -> None:
    """Relate genes by the correlation of their log-normalised expression across the reference's cells.

    A centred cosine between genes: the mean over cells is taken away from each gene. Columns are densified a block
    at a time, so that a sparse reference stays sparse and memory does not grow with the square of the genes. Each
    gene keeps its `n_neighbors` largest correlations above zero; a gene that does not vary has none.

    Parameters
    ----------
    reference
        Reference cells x genes. Annotated in place, see below; expression is not touched.
    n_neighbors
        Most neighbours of a gene.
    layer
        Layer with the expression; default `X`.
    key_added
        Name of the relation.
    expression
        `"counts"`: divided by the cell's total, times the median total, log1p. `"normalized"`: used as it is.

    Returns
    -------
    Nothing; writes

    - `varp[key_added]`: the graph, CSR float32 [genes, genes], rows listen to columns;
    - `uns["stimpute"]["relations"][key_added]`: parameters and coverage, the share of genes with a neighbour.

    Raises
    ------
    ValueError
        If values are missing, infinite, negative, or, as counts, not whole numbers; if the layer does not exist; if
        there are fewer than two cells.
    """
    if expression not in ("counts", "normalized"):
        raise ValueError(f"Found expression={expression!r}, expected 'counts' or 'normalized'.")
    if layer is not None and layer not in reference.layers:
        raise ValueError(
            f"No layer {layer!r} (layers: {sorted(reference.layers)}); pass one of these, or layer=None for X."
        )
    if reference.n_obs < 2:
        raise ValueError(f"Found {reference.n_obs} cells, expected at least 2: a correlation needs cells that differ.")
    values = reference.X if layer is None else reference.layers[layer]
    columns = _log_normalized(values, expression)

    def block(start: int, stop: int) -> torch.Tensor:
        part = columns[:, start:stop]
        genes = torch.from_numpy(np.ascontiguousarray((part.toarray() if sparse.issparse(part) else part).T))
        return unit_rows(genes, genes.mean(dim=1, keepdim=True))

    graph = similarity_graph(block, reference.n_vars, reference.n_obs, n_neighbors)
    reference.varp[key_added] = graph
    coverage = float(np.mean(np.diff(graph.indptr) > 0))
    settings: dict[str, Any] = {
        "n_neighbors": n_neighbors,
        "centred": True,
        "expression": expression,
        "layer": layer or "X",
    }
    record(reference, key_added, kind="coexpression", coverage=coverage, **settings)


def _log_normalized(values: Any, expression: str) -> Any:
    """Copy expression [cells, genes] as float32, by columns if sparse, log-normalised if it is counts."""
    if not sparse.issparse(values) and not isinstance(values, np.ndarray):
        raise ValueError(f"Expression is a {type(values).__name__} on disk; call reference.to_memory() first.")
    matrix = values.tocsc().astype(np.float32) if sparse.issparse(values) else values.astype(np.float32)
    data = matrix.data if sparse.issparse(matrix) else matrix
    if not np.isfinite(data).all():
        raise ValueError("Expression holds NaN or infinite values, expected finite ones; drop or replace them first.")
    if expression == "normalized":
        return matrix
    if (data < 0).any() or (data != np.round(data)).any():
        raise ValueError(
            "Expression holds negative values or fractions, expected counts; pass layer= with the counts, or "
            "expression='normalized' if it is log-normalised already."
        )
    totals = np.asarray(matrix.sum(axis=1), dtype=np.float64).ravel()
    scale = np.divide(np.median(totals), totals, out=np.zeros_like(totals), where=totals > 0).astype(np.float32)
    if sparse.issparse(matrix):
        data = data * scale[matrix.indices]
        return sparse.csc_matrix((np.log1p(data), matrix.indices, matrix.indptr), shape=matrix.shape)
    return np.log1p(matrix * scale[:, None])

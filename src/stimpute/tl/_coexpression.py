"""Modules of genes that are imputed alike."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse

from .metrics._profiles import Matrix

BLOCK = 1024  # genes of one block of the similarity matrix


def coexpression_modules(
    imputed: ad.AnnData, *, n_neighbors: int = 10, resolution: float = 1.0, seed: int = 0
) -> pd.DataFrame:
    """Group genes by their nearest genes in expression, as the paper does for its co-expression analysis.

    Every gene is joined to its ``n_neighbors`` most correlated genes over the cells; Leiden finds the modules of this
    graph. A constant gene has no neighbours and is a module of its own.

    Parameters
    ----------
    imputed
        Expression [cells, genes], log-normalised.
    n_neighbors
        Genes that a gene is joined to; only positive correlations count.
    resolution
        Resolution of Leiden: higher for more and smaller modules.
    seed
        Seed of Leiden.

    Returns
    -------
    Genes in rows; ``module`` (0 is the largest), ``nearest`` (the most correlated gene, or None), ``correlation``
    with it, and ``cohesion``: mean correlation with its neighbours, those outside the module counting 0.

    Raises
    ------
    ValueError
        If there are fewer than 3 genes.
    """
    if imputed.n_vars < 3:
        raise ValueError(f"imputed has {imputed.n_vars} genes: expected at least 3 to find modules.")
    graph = _nearest_genes(imputed.X, min(n_neighbors, imputed.n_vars - 1))
    module = _leiden(graph, resolution, seed)
    edges = graph.tocoo()
    inside = np.where(module[edges.row] == module[edges.col], edges.data, 0)
    n_edges = np.maximum(np.bincount(edges.row, minlength=len(module)), 1)
    best = graph.max(axis=1).toarray().ravel()
    nearest = np.asarray(graph.argmax(axis=1)).ravel()
    return pd.DataFrame(
        {
            "module": module,
            "nearest": np.where(best > 0, imputed.var_names.to_numpy(object)[nearest], None),
            "correlation": best,
            "cohesion": np.bincount(edges.row, inside, minlength=len(module)) / n_edges,
        },
        index=imputed.var_names,
    )


def _nearest_genes(expression: Matrix, k: int) -> sparse.csr_matrix:
    """[genes, genes], in each row the correlation with the k most correlated genes, where it is positive."""
    dense = sparse.csr_array(expression).toarray() if sparse.issparse(expression) else expression
    x = np.array(dense, dtype=np.float32)
    x -= x.mean(axis=0)
    norm = np.linalg.norm(x, axis=0)
    x /= np.where(norm > 1e-4, norm, np.inf)
    rows, columns, values = [], [], []
    for start in range(0, x.shape[1], BLOCK):
        similarity = x[:, start : start + BLOCK].T @ x
        similarity[np.arange(len(similarity)), start + np.arange(len(similarity))] = -1
        top = np.argpartition(-similarity, k - 1, axis=1)[:, :k]
        rows.append(np.repeat(start + np.arange(len(top)), k))
        columns.append(top.ravel())
        values.append(np.take_along_axis(similarity, top, axis=1).ravel())
    row, column, value = (np.concatenate(parts) for parts in (rows, columns, values))
    kept = value > 1e-6
    return sparse.csr_matrix((value[kept], (row[kept], column[kept])), shape=(x.shape[1],) * 2)


def _leiden(graph: sparse.csr_matrix, resolution: float, seed: int) -> np.ndarray:
    """Module of every gene, numbered by size."""
    import scanpy as sc

    genes = ad.AnnData(obs=pd.DataFrame(index=[str(i) for i in range(graph.shape[0])]))
    options = {"flavor": "igraph", "n_iterations": -1, "directed": False, "random_state": seed}
    sc.tl.leiden(genes, resolution, adjacency=graph.maximum(graph.T), key_added="module", **options)
    by_size = genes.obs["module"].value_counts().index
    return genes.obs["module"].map({name: i for i, name in enumerate(by_size)}).to_numpy(int)

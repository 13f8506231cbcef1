"""Find modules of co-expressed genes."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse

from stimpute._arguments import check_arguments
from stimpute._messages import check_count
from stimpute.tl.metrics._profiles import Matrix

GENES_PER_BLOCK = 1024  # rows of the gene by gene correlation matrix that are in memory at once
CONSTANT = 1e-6  # a gene whose range is a smaller share of its values is constant
MIN_NORM = 1e-4  # centered genes with a smaller norm are constant
MIN_CORRELATION = 1e-6  # smaller ones are rounding errors


def coexpression_modules(
    imputed: ad.AnnData, *, n_neighbors: int = 10, resolution: float = 1.0, seed: int = 0
) -> pd.DataFrame:
    """Group genes into modules of similar expression, as the paper does for its co-expression analysis.

    Every gene is connected to the genes that correlate most with it over the cells, and Leiden finds the modules of
    this graph. A constant gene has no neighbors and is a module of its own.

    Parameters
    ----------
    imputed
        Log-normalized expression, shape (n_cells, n_genes).
    n_neighbors
        Number of genes that each gene is connected to. Only positive correlations count.
    resolution
        Resolution of Leiden; higher values give more and smaller modules.
    seed
        Seed of Leiden.

    Returns
    -------
    Genes in rows; columns `module` (0 is the largest), `nearest` (the gene with the highest correlation, or None),
    `correlation` with that gene, and `cohesion`, the mean correlation with the neighbors, where neighbors outside of
    the module count 0.

    Raises
    ------
    ValueError
        If there are fewer than 3 genes, or `n_neighbors` is below 1.

    Examples
    --------
    >>> stimpute.tl.coexpression_modules(model.impute())
    """
    check_arguments(coexpression_modules, locals())
    check_count(1, n_neighbors=n_neighbors)
    if imputed.n_vars < 3:
        raise ValueError(f"`imputed` has {imputed.n_vars} genes; expected at least 3 to find modules.")
    graph = _correlated_genes(imputed.X, min(n_neighbors, imputed.n_vars - 1))
    module = _leiden(graph, resolution, seed)

    n_genes = len(module)
    edges = graph.tocoo()
    in_module = np.where(module[edges.row] == module[edges.col], edges.data, 0)
    n_edges = np.maximum(np.bincount(edges.row, minlength=n_genes), 1)
    correlation = graph.max(axis=1).toarray().ravel()
    nearest = imputed.var_names.to_numpy(object)[np.asarray(graph.argmax(axis=1)).ravel()]
    return pd.DataFrame(
        {
            "module": module,
            "nearest": np.where(correlation > 0, nearest, None),
            "correlation": correlation,
            "cohesion": np.bincount(edges.row, in_module, minlength=n_genes) / n_edges,
        },
        index=imputed.var_names,
    )


def _correlated_genes(expression: Matrix, n_neighbors: int) -> sparse.csr_matrix:
    """Correlate every gene with its nearest genes, shape (n_genes, n_genes); only positive values are stored."""
    dense = sparse.csr_array(expression).toarray() if sparse.issparse(expression) else expression
    x = np.array(dense, dtype=np.float32)
    is_constant = np.ptp(x, axis=0) <= CONSTANT * np.abs(x).max(axis=0)
    x -= x.mean(axis=0, dtype=np.float64).astype(np.float32)
    x[:, is_constant] = 0  # and not what rounding leaves
    norm = np.linalg.norm(x, axis=0)
    x /= np.where(norm > MIN_NORM, norm, np.inf)

    rows, columns, values = [], [], []
    for start in range(0, x.shape[1], GENES_PER_BLOCK):
        correlation = x[:, start : start + GENES_PER_BLOCK].T @ x
        genes = start + np.arange(len(correlation))
        correlation[np.arange(len(genes)), genes] = -1  # a gene is not its own neighbor
        nearest = np.argpartition(-correlation, n_neighbors - 1, axis=1)[:, :n_neighbors]
        rows.append(np.repeat(genes, n_neighbors))
        columns.append(nearest.ravel())
        values.append(np.take_along_axis(correlation, nearest, axis=1).ravel())
    row, column, value = (np.concatenate(parts) for parts in (rows, columns, values))
    kept = value > MIN_CORRELATION
    return sparse.csr_matrix((value[kept], (row[kept], column[kept])), shape=(x.shape[1], x.shape[1]))


def _leiden(graph: sparse.csr_matrix, resolution: float, seed: int) -> np.ndarray:
    """Assign every gene to a module; modules are numbered by decreasing size."""
    import scanpy as sc

    genes = ad.AnnData(obs=pd.DataFrame(index=[str(i) for i in range(graph.shape[0])]))
    options = {"flavor": "igraph", "n_iterations": -1, "directed": False, "random_state": seed}
    sc.tl.leiden(genes, resolution, adjacency=graph.maximum(graph.T), key_added="module", **options)
    modules_by_size = genes.obs["module"].value_counts().index
    number = {name: i for i, name in enumerate(modules_by_size)}
    return genes.obs["module"].map(number).to_numpy(int)

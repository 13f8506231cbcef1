"""Do clusters of measured and of imputed expression find known cell types?"""

from __future__ import annotations

from collections.abc import Sequence

import anndata as ad
import numpy as np
import pandas as pd
from sklearn.metrics import (
    adjusted_mutual_info_score,
    adjusted_rand_score,
    completeness_score,
    fowlkes_mallows_score,
)

from ._measured import Expression, measured_expression

AGREEMENT = {
    "ari": adjusted_rand_score,
    "fmi": fowlkes_mallows_score,
    "completeness": completeness_score,
    "ami": adjusted_mutual_info_score,
}


def clustering_scores(
    spatial: ad.AnnData,
    imputed: ad.AnnData,
    labels: str = "cell_type",
    *,
    layer: str | None = None,
    expression: Expression = "counts",
    resolutions: Sequence[float] = (0.5, 1.0, 1.5),
    n_top_genes: int = 50,
    n_pcs: int = 50,
    n_neighbors: int = 15,
    seed: int = 0,
) -> pd.DataFrame:
    """Cluster cells on measured, imputed and most variable imputed genes, and compare with known labels.

    As in the paper: principal components, Leiden, and agreement with the labels. Measured genes within ``imputed``
    (``var["measured"]``) are left out of it wherever unmeasured ones remain.

    Parameters
    ----------
    spatial
        Spatial data [cells, measured genes] with ``obs[labels]``; cells without a label are left out.
    imputed
        What ``model.impute`` returns for the same cells.
    labels
        Column of ``spatial.obs``.
    layer, expression
        Where the measured values are and what they are: see ``StImputeModel.setup_anndata``.
    resolutions
        Resolutions of Leiden.
    n_top_genes
        How many of the most variable imputed genes make the third matrix.
    n_pcs
        Principal components, where a matrix has more genes.
    n_neighbors
        Neighbours of a cell in the graph that is clustered.
    seed
        Seed of PCA, the neighbour graph and Leiden.

    Returns
    -------
    Columns ``matrix`` (``"measured"``, ``"imputed"``, ``"imputed top <n>"``), ``resolution``, ``n_clusters``,
    ``metric`` (``"ari"``, ``"fmi"``, ``"completeness"``, ``"ami"``) and ``value``; higher is better.

    Raises
    ------
    KeyError
        If ``labels`` is missing.
    ValueError
        If the two have different cells.
    """
    if labels not in spatial.obs:
        raise KeyError(f"labels={labels!r} is not in spatial.obs, found {list(spatial.obs)}.")
    if not spatial.obs_names.equals(imputed.obs_names):
        raise ValueError("spatial and imputed have different cells: pass imputed[spatial.obs_names].")
    known = spatial.obs[labels].notna().to_numpy()
    truth = spatial.obs[labels][known].astype(str)
    measured = measured_expression(spatial[known], layer=layer, expression=expression)
    new = _unmeasured(imputed[known])
    matrices = {"measured": measured, "imputed": new, f"imputed top {n_top_genes}": _most_variable(new, n_top_genes)}
    rows = [
        {"matrix": name, "resolution": resolution, "n_clusters": found.nunique(), "metric": metric, "value": value}
        for name, matrix in matrices.items()
        for resolution, found in _leiden(matrix, resolutions, n_pcs, n_neighbors, seed).items()
        for metric, value in ((m, agree(truth, found)) for m, agree in AGREEMENT.items())
    ]
    return pd.DataFrame(rows)


def _unmeasured(imputed: ad.AnnData) -> ad.AnnData:
    new = ~imputed.var["measured"].to_numpy(bool) if "measured" in imputed.var else np.ones(imputed.n_vars, bool)
    chosen = imputed[:, new] if new.any() else imputed
    return ad.AnnData(chosen.X.copy(), obs=chosen.obs[[]], var=chosen.var[[]])


def _most_variable(adata: ad.AnnData, n: int) -> ad.AnnData:
    import scanpy as sc

    if adata.n_vars <= n:
        return adata
    found = sc.pp.highly_variable_genes(adata, n_top_genes=n, inplace=False)
    return adata[:, found["highly_variable"].to_numpy()].copy()


def _leiden(
    matrix: ad.AnnData, resolutions: Sequence[float], n_pcs: int, n_neighbors: int, seed: int
) -> dict[float, pd.Series]:
    """Clusters of the cells at every resolution."""
    import scanpy as sc

    adata = ad.AnnData(matrix.X, obs=matrix.obs[[]])
    components = min(n_pcs, min(adata.shape) - 1)
    if components > 1:
        sc.pp.pca(adata, n_comps=components, random_state=seed)
    representation = "X_pca" if components > 1 else "X"
    sc.pp.neighbors(adata, n_neighbors=n_neighbors, use_rep=representation, random_state=seed)
    for resolution in resolutions:
        options = {"flavor": "igraph", "n_iterations": 2, "directed": False, "random_state": seed}
        sc.tl.leiden(adata, resolution=resolution, key_added=str(resolution), **options)
    return {resolution: adata.obs[str(resolution)] for resolution in resolutions}

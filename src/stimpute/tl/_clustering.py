"""Compare clusters of measured and of imputed expression with known labels."""

from __future__ import annotations

from collections.abc import Sequence

import anndata as ad
import pandas as pd
from sklearn.metrics import (
    adjusted_mutual_info_score,
    adjusted_rand_score,
    completeness_score,
    fowlkes_mallows_score,
)

from stimpute._arguments import check_arguments
from stimpute._messages import missing_key
from stimpute.data._annotations import in_memory, unbacked
from stimpute.data._expression import Expression
from stimpute.data._result import check_same_cells
from stimpute.tl._measured import read_measured

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
    expression: Expression | None = None,
    resolutions: Sequence[float] = (0.5, 1.0, 1.5),
    n_top_genes: int = 50,
    n_pcs: int = 50,
    n_neighbors: int = 15,
    seed: int = 0,
) -> pd.DataFrame:
    """Cluster cells by measured, imputed and highly variable imputed genes, and compare the clusters with labels.

    As in the paper: principal components, Leiden clusters, and their agreement with the labels. Imputed genes that were
    also measured (`imputed.var["measured"]`) are left out, unless there are no others.

    Parameters
    ----------
    spatial
        Spatial data, shape (n_cells, n_measured_genes), with `obs[labels]`. Cells without a label are left out.
    imputed
        Result of `model.impute` for the same cells.
    labels
        Column of `spatial.obs`.
    layer, expression
        Layer with the measured expression, and whether it is `"counts"` or `"normalized"`. If both are None, as the
        model was set up, which the result records.
    resolutions
        Resolutions of Leiden.
    n_top_genes
        Number of highly variable imputed genes in the third matrix.
    n_pcs
        Maximum number of principal components.
    n_neighbors
        Number of neighbors of each cell in the graph that is clustered.
    seed
        Seed of PCA, of the neighbor graph and of Leiden.

    Returns
    -------
    Tidy table with columns `matrix` (`"measured"`, `"imputed"`, `"imputed top <n>"`), `resolution`, `n_clusters`,
    `metric` (`"ari"`, `"fmi"`, `"completeness"`, `"ami"`) and `value`; higher is better.

    Raises
    ------
    KeyError
        If the labels or the layer are missing.
    ValueError
        If the two AnnData have different cells.

    Examples
    --------
    >>> stimpute.tl.clustering_scores(spatial, model.impute(), labels="cell_type")
    """
    check_arguments(clustering_scores, locals())
    spatial, imputed = unbacked(spatial), unbacked(imputed)
    if labels not in spatial.obs:
        raise missing_key(labels, "spatial.obs", spatial.obs.columns, "Name the column of cell types by `labels=`.")
    check_same_cells(spatial, imputed)
    column = spatial.obs[labels]
    is_labeled = column.notna().to_numpy()
    truth = column[is_labeled].astype(str)
    unmeasured = _unmeasured_genes(imputed[is_labeled])
    matrices = {
        "measured": read_measured(spatial[is_labeled], imputed, layer, expression),
        "imputed": unmeasured,
        f"imputed top {n_top_genes}": _highly_variable_genes(unmeasured, n_top_genes),
    }
    rows = []
    for name, matrix in matrices.items():
        clusters = _leiden(matrix, resolutions, n_pcs, n_neighbors, seed)
        for resolution, cluster in clusters.items():
            row = {"matrix": name, "resolution": resolution, "n_clusters": cluster.nunique()}
            for metric, agreement in AGREEMENT.items():
                rows.append({**row, "metric": metric, "value": agreement(truth, cluster)})
    return pd.DataFrame(rows)


def _unmeasured_genes(imputed: ad.AnnData) -> ad.AnnData:
    """Select the genes that were not measured; all genes if none are left."""
    selected = imputed
    if "measured" in imputed.var:
        is_new = ~imputed.var["measured"].to_numpy(bool)
        if is_new.any():
            selected = imputed[:, is_new]
    return ad.AnnData(in_memory(selected.X), obs=selected.obs[[]], var=selected.var[[]])


def _highly_variable_genes(adata: ad.AnnData, n: int) -> ad.AnnData:
    import scanpy as sc

    if adata.n_vars <= n:
        return adata
    table = sc.pp.highly_variable_genes(adata, n_top_genes=n, inplace=False)
    return adata[:, table["highly_variable"].to_numpy()].copy()


def _leiden(
    matrix: ad.AnnData, resolutions: Sequence[float], n_pcs: int, n_neighbors: int, seed: int
) -> dict[float, pd.Series]:
    """Cluster the cells at every resolution."""
    import scanpy as sc

    adata = ad.AnnData(matrix.X, obs=matrix.obs[[]])
    n_components = min(n_pcs, min(adata.shape) - 1)
    representation = "X"
    if n_components > 1:
        sc.pp.pca(adata, n_comps=n_components, random_state=seed)
        representation = "X_pca"
    # By default scanpy asks pynndescent for large data, and cannot read what versions from 0.6 return.
    options = {"use_rep": representation, "transformer": "sklearn", "random_state": seed}
    sc.pp.neighbors(adata, n_neighbors=n_neighbors, **options)
    clusters = {}
    for resolution in resolutions:
        options = {"flavor": "igraph", "n_iterations": 2, "directed": False, "random_state": seed}
        sc.tl.leiden(adata, resolution=resolution, key_added="cluster", **options)
        clusters[resolution] = adata.obs["cluster"].copy()
    return clusters

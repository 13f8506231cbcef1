"""Is imputed expression more even over the tissue than measured expression?"""

from __future__ import annotations

from collections.abc import Sequence

import anndata as ad
import numpy as np
import pandas as pd

from ._measured import Expression, measured_expression


def spatial_coherence(
    spatial: ad.AnnData,
    imputed: ad.AnnData,
    genes: Sequence[str] | None = None,
    *,
    layer: str | None = None,
    expression: Expression = "counts",
    spatial_key: str = "spatial",
    library_key: str | None = None,
    n_neighbors: int = 6,
) -> pd.DataFrame:
    """Moran's I of imputed genes beside that of the measured ones.

    Imputation averages over cells, which removes counting noise: imputed genes are smoother than measured ones, and a
    test for spatially variable genes on imputed values finds too many. The difference is the inflation.

    Parameters
    ----------
    spatial
        Spatial data [cells, measured genes] with ``obsm[spatial_key]``.
    imputed
        What ``model.impute`` returns for the same cells. To see the inflation, ask it for measured genes by name:
        they are predicted as if they were hidden.
    genes
        Which imputed genes; all by default.
    layer, expression
        Where the measured values are and what they are: see ``StImputeModel.setup_anndata``.
    spatial_key
        Where the coordinates are.
    library_key
        Column of ``spatial.obs`` with the section of a cell; neighbours are within a section.
    n_neighbors
        Spatial neighbours of a cell.

    Returns
    -------
    Genes in rows; ``measured`` and ``imputed`` Moran's I (``measured`` is NaN for genes that are not in the panel,
    constant genes have 0), and ``inflation``, imputed minus measured.

    Raises
    ------
    KeyError
        If the coordinates or a gene are missing.
    ValueError
        If the two have different cells.
    """
    if spatial_key not in spatial.obsm:
        raise KeyError(f"spatial_key={spatial_key!r} is not in spatial.obsm, found {list(spatial.obsm)}.")
    if not spatial.obs_names.equals(imputed.obs_names):
        raise ValueError("spatial and imputed have different cells: pass imputed[spatial.obs_names].")
    chosen = pd.Index(imputed.var_names if genes is None else genes)
    missing = chosen.difference(imputed.var_names)
    if len(missing):
        raise KeyError(f"genes: {list(missing[:5])} are not in imputed; ask model.impute for them first.")
    graph = _neighbors(spatial, spatial_key, library_key, n_neighbors)
    measured = measured_expression(spatial, layer=layer, expression=expression)
    both = chosen[chosen.isin(measured.var_names)]
    table = pd.DataFrame(index=chosen)
    table["measured"] = _moran(measured[:, both], graph).reindex(chosen)
    table["imputed"] = _moran(imputed[:, chosen], graph)
    return table.assign(inflation=table["imputed"] - table["measured"])


def _neighbors(spatial: ad.AnnData, spatial_key: str, library_key: str | None, n_neighbors: int) -> ad.AnnData:
    """The cells alone, with squidpy's graph of spatial neighbours."""
    import squidpy as sq

    graph = ad.AnnData(obs=spatial.obs, obsm={spatial_key: spatial.obsm[spatial_key]})
    options = {"spatial_key": spatial_key, "library_key": library_key, "n_neighs": n_neighbors}
    if hasattr(sq.gr, "spatial_neighbors_knn"):  # squidpy >= 1.8
        sq.gr.spatial_neighbors_knn(graph, **options)
    else:
        sq.gr.spatial_neighbors(graph, coord_type="generic", **options)
    return graph


def _moran(adata: ad.AnnData, graph: ad.AnnData) -> pd.Series:
    """Moran's I of every gene, 0 where it is constant."""
    import squidpy as sq

    varies = np.ptp(adata.X.toarray() if hasattr(adata.X, "toarray") else adata.X, axis=0) > 0
    if not varies.any():
        return pd.Series(0.0, index=adata.var_names)
    placed = ad.AnnData(adata.X[:, varies], var=adata.var.loc[varies, []], obsp=dict(graph.obsp))
    genes = list(placed.var_names)
    found = sq.gr.spatial_autocorr(placed, mode="moran", genes=genes, copy=True, show_progress_bar=False)
    return found["I"].reindex(adata.var_names, fill_value=0.0)

"""Compare Moran's I of measured and imputed expression."""

from __future__ import annotations

from collections.abc import Sequence

import anndata as ad
import numpy as np
import pandas as pd

from stimpute._arguments import check_arguments
from stimpute.data._annotations import in_memory, unbacked
from stimpute.data._expression import Expression
from stimpute.data._result import check_imputed_genes, check_same_cells, position_keys
from stimpute.tl._measured import read_measured


def morans_i(
    spatial: ad.AnnData,
    imputed: ad.AnnData,
    genes: Sequence[str] | None = None,
    *,
    layer: str | None = None,
    expression: Expression | None = None,
    spatial_key: str | None = None,
    library_key: str | None = None,
    n_neighbors: int = 6,
) -> pd.DataFrame:
    """Compute Moran's I of imputed and measured genes, to see by how much imputation smooths expression.

    Imputation averages over cells, which removes counting noise. Imputed genes are therefore smoother than measured
    ones, and a test for spatially variable genes finds too many of them.

    Parameters
    ----------
    spatial
        Spatial data, shape (n_cells, n_measured_genes), with positions in `obsm`.
    imputed
        Result of `model.impute` for the same cells. Impute measured genes by name to compare them with their
        measurement: the model predicts them as held-out genes.
    genes
        Imputed genes to compare; all if None.
    layer, expression
        Layer with the measured expression, and whether it is `"counts"` or `"normalized"`. If both are None, as the
        model was set up, which the result records.
    spatial_key
        Key of the positions; if None, as the model was set up.
    library_key
        Column of `spatial.obs` with the section of each cell, within which neighbors are searched; if None, the
        `batch_key` that the model was set up with.
    n_neighbors
        Number of spatial neighbors of each cell.

    Returns
    -------
    Genes in rows; columns `measured` (NaN for genes that were not measured), `imputed`, and `difference`, imputed minus
    measured. Constant genes have 0.

    Raises
    ------
    KeyError
        If the positions, the sections, the layer or a gene are missing.
    ValueError
        If the two AnnData have different cells, or a section has no more than `n_neighbors` cells.

    Examples
    --------
    >>> stimpute.tl.morans_i(spatial, model.impute(genes=["Gad1", "Rorb"]))
    """
    check_arguments(morans_i, locals())
    spatial, imputed = unbacked(spatial), unbacked(imputed)
    spatial_key, library_key = position_keys(spatial, imputed, spatial_key, library_key)
    check_same_cells(spatial, imputed)
    compared = pd.Index(imputed.var_names if genes is None else genes)
    check_imputed_genes(imputed, compared)

    graph = _spatial_neighbors(spatial, spatial_key, library_key, n_neighbors)
    measured = read_measured(spatial, imputed, layer, expression)
    in_both = compared[compared.isin(measured.var_names)]
    table = pd.DataFrame(index=compared)
    table["measured"] = _compute(measured[:, in_both], graph).reindex(compared)
    table["imputed"] = _compute(imputed[:, compared], graph)
    table["difference"] = table["imputed"] - table["measured"]
    return table


def _spatial_neighbors(spatial: ad.AnnData, spatial_key: str, library_key: str | None, n_neighbors: int) -> ad.AnnData:
    """Return an AnnData of the cells without genes, with squidpy's graph of spatial neighbors."""
    import squidpy as sq

    sections = [] if library_key is None else [library_key]
    obs = spatial.obs[sections].astype("category")
    obs = obs.apply(lambda column: column.cat.remove_unused_categories())  # squidpy looks for their cells, too
    n_cells = obs[library_key].value_counts() if sections else pd.Series([len(obs)])
    if n_cells.min() <= n_neighbors:
        where = f"Section {n_cells.idxmin()!r}" if sections else "The section"
        raise ValueError(
            f"{where} has {n_cells.min()} cells, too few for n_neighbors={n_neighbors}. Pass a smaller "
            "`n_neighbors=`, or leave these cells out of both `spatial` and `imputed`."
        )
    cells = ad.AnnData(obs=obs, obsm={spatial_key: spatial.obsm[spatial_key]})
    options = {"spatial_key": spatial_key, "library_key": library_key, "n_neighs": n_neighbors}
    if hasattr(sq.gr, "spatial_neighbors_knn"):  # squidpy 1.8 and later
        sq.gr.spatial_neighbors_knn(cells, **options)
    else:
        sq.gr.spatial_neighbors(cells, coord_type="generic", **options)
    return cells


def _compute(adata: ad.AnnData, graph: ad.AnnData) -> pd.Series:
    """Compute Moran's I of every gene; 0 for constant genes, which squidpy does not accept."""
    import squidpy as sq

    matrix = in_memory(adata.X)
    values = matrix.toarray() if hasattr(matrix, "toarray") else matrix
    varies = np.ptp(values, axis=0) > 0
    if not varies.any():
        return pd.Series(0.0, index=adata.var_names)
    variable = ad.AnnData(matrix[:, varies], var=adata.var.loc[varies, []], obsp=dict(graph.obsp))
    genes = list(variable.var_names)
    table = sq.gr.spatial_autocorr(variable, mode="moran", genes=genes, copy=True, show_progress_bar=False)
    return table["I"].reindex(adata.var_names, fill_value=0.0)

"""TISSUE (Sun et al. 2024), tissue-sc: intervals around SpaGE, as in its tutorial.

Ten folds of the training genes for calibration, a graph of the 15 nearest cells, stratified grouping by genes and cells
with its own choice of their numbers, and intervals of 90 %. Deviation: the section is log-normalized too, because its
residuals are differences of measured and predicted values, which the tutorial takes of raw counts.
"""

import contextlib
import io

import anndata as ad
from tissue import main as tissue

from peers._normalize import normalized_pair
from peers.spage import n_vectors

NAME = "TISSUE (SpaGE)"
PACKAGES = ("tissue-sc",)
N_FOLDS, N_NEIGHBORS, LEVEL = 10, 15, 0.9
KEY = "spage_predicted_expression"


def predict(fold, seed=0):
    """Expression alone."""
    return predict_intervals(fold, seed)["expression"]


def predict_intervals(fold, seed=0):
    """Expression and symmetric intervals; TISSUE lowers the case of gene names."""
    spatial, reference = normalized_pair(fold)
    reference = ad.AnnData(reference.X, obs=reference.obs, var=reference.var)
    spatial.obsm["spatial"] = fold.spatial.obsm["spatial"]
    n_pv = n_vectors(int(spatial.n_vars * (1 - 1 / N_FOLDS)))  # its own folds leave out a tenth of the genes
    with contextlib.redirect_stdout(io.StringIO()):
        tissue.predict_gene_expression(
            spatial, reference, fold.targets, method="spage", n_folds=N_FOLDS, n_pv=n_pv, random_seed=seed
        )
        tissue.build_spatial_graph(spatial, method="fixed_radius", n_neighbors=N_NEIGHBORS)
        genes = spatial.var_names
        tissue.conformalize_spatial_uncertainty(spatial, KEY, calib_genes=genes, grouping_method="kmeans_gene_cell")
        tissue.conformalize_prediction_interval(spatial, KEY, calib_genes=genes, alpha_level=1 - LEVEL)
    targets = [gene.lower() for gene in fold.targets]
    keys = {"expression": KEY, "lower": f"{KEY}_lo", "upper": f"{KEY}_hi"}
    return {name: spatial.obsm[key][targets].to_numpy() for name, key in keys.items()}

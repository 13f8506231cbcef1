"""Tangram (Biancalani et al. 2021), tangram-sc: cells mode, its default 1000 epochs and learning rate."""

import numpy as np
import scanpy as sc
import tangram as tg

from peers._device import device

NAME = "Tangram"
PACKAGES = ("tangram-sc",)


def predict(fold, seed=0):
    """Project the reference's log-normalized genes onto the spatial cells."""
    spatial, reference = fold.spatial.copy(), fold.reference.copy()
    for adata in (spatial, reference):
        sc.pp.normalize_total(adata)
        sc.pp.log1p(adata)
    targets = reference[:, fold.targets].X.toarray()  # pp_adatas drops genes that no cell has
    tg.pp_adatas(reference, spatial, genes=list(spatial.var_names), gene_to_lowercase=False)
    mapping = tg.map_cells_to_space(reference, spatial, mode="cells", device=device(), random_state=seed, verbose=False)
    return np.asarray(mapping.X).T @ targets  # as tg.project_genes does

"""gimVI (Lopez et al. 2019), from scvi-tools: raw counts of both datasets, its default 200 epochs.

Cells of the reference without counts of these genes are left out: gimVI divides by the total. Genes that neither the
section measured nor has to be predicted are left out, as in its tutorial.
"""

import anndata as ad
import numpy as np
import scvi
from scvi.external import GIMVI

from peers._device import device

NAME = "gimVI (200 epochs)"
PACKAGES = ("scvi-tools",)
N_EPOCHS = 200


def predict(fold, seed=0, n_epochs=N_EPOCHS):
    """Imputed values are normalized frequencies; they are brought to the spatial scale by the cells' median total."""
    scvi.settings.seed = seed
    genes = fold.spatial.var_names
    reference = fold.reference[:, [*genes, *fold.targets]]
    spatial = ad.AnnData(fold.spatial.X.copy(), obs=fold.spatial.obs[[]], var=fold.spatial.var[[]])
    counted = np.asarray(reference.X.sum(1)).ravel() > 0
    reference = ad.AnnData(reference.X[counted], obs=reference.obs[[]][counted], var=reference.var[[]])
    GIMVI.setup_anndata(spatial)
    GIMVI.setup_anndata(reference)
    model = GIMVI(reference, spatial)
    accelerator = "gpu" if device() == "cuda" else "cpu"
    model.train(max_epochs=n_epochs, accelerator=accelerator, enable_progress_bar=False)
    _, imputed = model.get_imputed_values(normalized=True)
    total = float(np.median(np.asarray(fold.spatial.X.sum(1)).ravel()))
    return np.log1p(imputed[:, len(genes) :] * total)

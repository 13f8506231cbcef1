"""gimVI (Lopez et al. 2019), from scvi-tools: raw counts of both datasets, 60 of its default 200 epochs, on a CPU."""

import anndata as ad
import numpy as np
from scvi.external import GIMVI

NAME = "gimVI (60 epochs)"
N_EPOCHS = 60


def predict(fold):
    """Imputed values are normalized frequencies; they are brought to the spatial scale by the cells' median total."""
    genes = fold.spatial.var_names
    spatial = ad.AnnData(fold.spatial.X.copy(), obs=fold.spatial.obs[[]], var=fold.spatial.var[[]])
    reference = fold.reference[:, [*genes, *fold.targets]].copy()
    reference = ad.AnnData(reference.X.copy(), obs=reference.obs[[]], var=reference.var[[]])
    spatial = spatial[np.asarray(spatial.X.sum(1)).ravel() >= 0].copy()
    reference = reference[np.asarray(reference.X.sum(1)).ravel() > 0].copy()
    GIMVI.setup_anndata(spatial)
    GIMVI.setup_anndata(reference)
    model = GIMVI(reference, spatial)
    model.train(max_epochs=N_EPOCHS, accelerator="cpu", enable_progress_bar=False)
    _, imputed = model.get_imputed_values(normalized=True)
    total = float(np.median(np.asarray(fold.spatial.X.sum(1)).ravel()))
    return np.log1p(imputed[:, len(genes) :] * total)

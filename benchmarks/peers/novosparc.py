"""novoSpaRc (Nitzan et al. 2019; Moriel et al. 2021), with the training genes as its atlas.

As in its tutorial with an atlas: both costs, five neighbors, `alpha_linear=0.8`, `epsilon=5e-3`. Distances
between cells of the reference are over its 2000 most variable genes, log-normalized.
"""

import anndata as ad
import numpy as np
from novosparc.common import Tissue

from peers._normalize import log_normalized, normalized_pair

NAME = "novoSpaRc"
PACKAGES = ("novosparc", "POT")
MAX_GENES, N_NEIGHBORS = 2000, 5
ALPHA, EPSILON = 0.8, 5e-3


def predict(fold, seed=0):
    """A location's expression is the mean over the cells that are moved there."""
    spatial, reference = normalized_pair(fold)
    tissue = Tissue(dataset=reference, locations=np.asarray(fold.spatial.obsm["spatial"], dtype=float))
    markers = np.arange(spatial.n_vars)
    tissue.num_markers = len(markers)
    tissue.setup_linear_cost(markers, spatial.X)
    tissue.setup_smooth_costs(_variable(fold.reference), N_NEIGHBORS, N_NEIGHBORS, verbose=False)
    tissue.reconstruct(alpha_linear=ALPHA, epsilon=EPSILON, verbose=False)
    moved = tissue.gw / np.maximum(tissue.gw.sum(0), 1e-30)
    return moved.T @ ad.AnnData(reference.X)[:, spatial.n_vars :].X


def _variable(reference):
    values = log_normalized(reference.X)
    return values[:, np.argsort(-values.var(0))[:MAX_GENES]]

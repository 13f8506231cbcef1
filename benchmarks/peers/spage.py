"""SpaGE (Abdelaal et al. 2020): its authors' code, as tissue-sc brings it; not on the registry by itself.

Number of principal vectors: 50 as in its tutorials, or half the training genes if there are fewer than 100. Genes that
no cell of the section has are left out, because SpaGE standardizes every gene.
"""

import numpy as np
import pandas as pd
from tissue.SpaGE.main import SpaGE

from peers._normalize import normalized_pair

NAME = "SpaGE"
PACKAGES = ("tissue-sc",)
MAX_VECTORS = 50


def predict(fold, seed=0):
    """Log-normalized frames in; nothing in it is drawn."""
    spatial, reference = normalized_pair(fold)
    spatial = spatial[:, np.ptp(spatial.X, 0) > 0].to_df()
    reference = pd.DataFrame(reference.X, columns=reference.var_names)
    n_vectors = min(MAX_VECTORS, spatial.shape[1] // 2)
    return SpaGE(spatial, reference, n_pv=n_vectors, genes_to_predict=list(fold.targets)).to_numpy()

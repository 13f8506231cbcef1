"""SpaGE (Abdelaal et al. 2020): its authors' code, as tissue-sc brings it; not on the registry by itself.

Number of principal vectors: 50 as in its authors' examples, or two fewer than there are training genes, as theirs for
osmFISH has (30 of 32). Genes that no cell of the section has are left out, because SpaGE standardizes every gene.
"""

import numpy as np
import pandas as pd
from tissue.SpaGE.main import SpaGE

from peers._normalize import normalized_pair

NAME = "SpaGE"
PACKAGES = ("tissue-sc",)
MAX_VECTORS = 50


def n_vectors(n_genes):
    """Return the number of principal vectors for so many training genes."""
    return min(MAX_VECTORS, n_genes - 2)


def predict(fold, seed=0):
    """Log-normalized frames in; nothing in it is drawn."""
    spatial, reference = normalized_pair(fold)
    spatial = spatial[:, np.ptp(spatial.X, 0) > 0].to_df()
    reference = pd.DataFrame(reference.X, columns=reference.var_names)
    n_pv = n_vectors(spatial.shape[1])
    return SpaGE(spatial, reference, n_pv=n_pv, genes_to_predict=list(fold.targets)).to_numpy()

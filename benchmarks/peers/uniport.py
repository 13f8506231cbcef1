"""uniPort (Cao et al. 2022): horizontal integration with the specific genes of either side, as in its MERFISH tutorial.

Values are log-normalized and divided by each gene's maximum in its dataset (`batch_scale`), `lambda_kl=5`, and the
genes of the reference are decoded from the spatial cells. Decoded values are multiplied by the gene's maximum in the
reference. Release 1.3 asks for `np.Inf`, which numpy 2 has no more: it is given back while uniPort runs.
Deviation: the reference's specific genes are its 2000 most variable ones and the targets.
"""

import tempfile
from unittest import mock

import anndata as ad
import numpy as np
import uniport as up

from peers._normalize import normalized_pair

NAME = "uniPort (30000 iterations)"
PACKAGES = ("uniport",)
MAX_GENES = 2000
N_ITERATIONS = 30000


def predict(fold, seed=0, n_iterations=N_ITERATIONS):
    """Train, then decode the spatial cells with the decoder of the reference."""
    genes = list(fold.spatial.var_names)
    spatial, reference = normalized_pair(fold, [*genes, *fold.targets, *_variable(fold)])
    largest = reference[:, fold.targets].X.max(0)
    for domain, (adata, source) in enumerate(((spatial, "spatial"), (reference, "reference"))):
        adata.obs["source"] = source
        adata.obs["domain_id"] = str(domain)
    common = ad.concat([spatial, reference[:, genes]], index_unique="-")
    common.obs["domain_id"] = common.obs["domain_id"].astype("category")
    spatial.obs["domain_id"] = spatial.obs["domain_id"].astype("category")
    for adata in (common, spatial, reference):
        up.batch_scale(adata)
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(np, "Inf", np.inf, create=True):
        options = {"outdir": folder, "seed": seed}
        up.Run(adatas=[spatial, reference], adata_cm=common, lambda_kl=5.0, iteration=n_iterations, **options)
        result = up.Run(adata_cm=spatial, out="predict", pred_id=1, **options)
    return result.obsm["predict"][:, len(genes) : len(genes) + len(fold.targets)] * largest


def _variable(fold):
    _, reference = normalized_pair(fold, fold.reference.var_names)
    known = {*fold.spatial.var_names, *fold.targets}
    ranked = reference.var_names[np.argsort(-reference.X.var(0))]
    return [gene for gene in ranked if gene not in known][:MAX_GENES]

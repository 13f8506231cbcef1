"""Log-normalize as the field does: by each cell's total, to the median total."""

import anndata as ad
import numpy as np


def log_normalized(x, total=None):
    """Return a dense array; `total` is the cells' total, of the given genes if None."""
    x = x.toarray() if hasattr(x, "toarray") else np.asarray(x)
    total = x.sum(1) if total is None else total
    return np.log1p(x * (np.median(total) / np.maximum(total, 1))[:, None]).astype(np.float32)


def normalized_pair(fold, genes=None):
    """Log-normalize the section, and the reference by its totals over all genes, cut to `genes`.

    By default those are the training genes, then the targets. Returned are two AnnData with dense values.

    Raises
    ------
    ValueError
        If the section has no counts: its values would be normalized twice.
    """
    if fold.spatial_setup["expression"] != "counts":
        raise ValueError("The section has no counts, which this system needs.")
    genes = [*fold.spatial.var_names, *fold.targets] if genes is None else list(genes)
    total = np.asarray(fold.reference.X.sum(1)).ravel()
    reference = fold.reference[:, genes]
    pair = []
    for adata, sums in ((fold.spatial, None), (reference, total)):
        pair.append(ad.AnnData(log_normalized(adata.X, sums), obs=adata.obs[[]].copy(), var=adata.var[[]].copy()))
    return pair

"""SpaGE's method (Abdelaal et al. 2020) in short: principal vectors of both datasets, then weighted neighbors.

Written from the paper: principal components of either side are aligned by a singular value decomposition of their
cosines; pairs above a similarity of 0.3 span the common space; the 50 nearest reference cells by cosine predict, with
weights 1 - d / sum(d) over positively similar neighbors.
"""

import numpy as np
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

NAME = "SpaGE (principal vectors)"
N_NEIGHBORS, MIN_SIMILARITY = 50, 0.3


def predict(fold):
    """Mean of the neighbors' log-normalized expression."""
    genes = list(fold.spatial.var_names)
    total = np.asarray(fold.reference.X.sum(1)).ravel()
    everything = _normalized(fold.reference[:, [*genes, *fold.targets]].X, total)
    x, y = _scaled(_normalized(fold.spatial.X)), _scaled(everything[:, : len(genes)])
    n = min(30, len(genes) // 2)
    spatial, reference = (PCA(n, random_state=0).fit(a).components_ for a in (x, y))
    left, similarity, _ = np.linalg.svd(reference @ spatial.T)
    axes = (left.T @ reference)[similarity > MIN_SIMILARITY]
    axes = axes if len(axes) else (left.T @ reference)[:1]
    search = NearestNeighbors(n_neighbors=min(N_NEIGHBORS, len(y)), metric="cosine").fit(y @ axes.T)
    distance, index = search.kneighbors(x @ axes.T)
    weight = np.where(distance < 1, 1 - distance / np.maximum(distance.sum(1, keepdims=True), 1e-12), 0)
    weight /= np.maximum(weight.sum(1, keepdims=True), 1e-12)
    targets = everything[:, len(genes) :]
    return sum(weight[:, [j]] * targets[index[:, j]] for j in range(index.shape[1]))


def _normalized(x, total=None):
    x = x.toarray() if hasattr(x, "toarray") else np.asarray(x)
    total = x.sum(1) if total is None else total
    return np.log1p(x * (np.median(total) / np.maximum(total, 1))[:, None])


def _scaled(x):
    return (x - x.mean(0)) / np.maximum(x.std(0), 1e-6)

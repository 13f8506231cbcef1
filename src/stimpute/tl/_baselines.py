"""Predict genes by simple methods that every other one must be compared with."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from sklearn.linear_model import LinearRegression

from stimpute.data._knn import nearest_by_cosine
from stimpute.data._normalize import standardize
from stimpute.tl._gene_fold import DenseData, GeneFold

N_NEIGHBORS = 50


def constant(fold: GeneFold) -> np.ndarray:
    """Predict one value for every cell and gene, the mean of the input genes, shape (n_cells, n_targets)."""
    spatial = fold.dense.spatial
    return np.full((len(spatial), len(fold.targets)), spatial.mean(), dtype=np.float32)


def reference_mean(fold: GeneFold) -> np.ndarray:
    """Predict a gene's reference mean, mapped by a line that was fitted to the input genes of both platforms."""
    data = fold.dense
    line = LinearRegression().fit(data.reference.mean(0)[:, None], data.spatial.mean(0))
    mean = np.maximum(line.predict(data.targets.mean(0)[:, None]), 0)
    return np.tile(mean.astype(np.float32), (len(data.spatial), 1))


def knn(fold: GeneFold) -> np.ndarray:
    """Predict the mean of the 50 reference cells with the highest cosine over the standardized input genes."""
    return neighbor_mean(fold.dense)


def neighbor_mean(data: DenseData, k: int = N_NEIGHBORS) -> np.ndarray:
    """Average the targets over the nearest reference cells, shape (n_cells, n_targets)."""
    query = standardize(data.spatial, data.spatial.mean(0), data.spatial.std(0))
    base = standardize(data.reference, data.reference.mean(0), data.reference.std(0))
    index, _ = nearest_by_cosine(torch.from_numpy(query), torch.from_numpy(base), min(k, len(base)))
    total = np.zeros((len(query), data.targets.shape[1]), np.float32)
    for column in index.T:  # one neighbor of all cells at a time: never cells × k × genes
        total += data.targets[column]
    return total / index.shape[1]


BASELINES: dict[str, Callable[[GeneFold], np.ndarray]] = {
    "constant": constant,
    "reference mean, calibrated": reference_mean,
    "kNN": knn,
}

"""What every method must be compared with: a constant, the reference's mean, and plain neighbours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.linear_model import LinearRegression

from stimpute.data._hiding import Hiding
from stimpute.data._normalize import standardise
from stimpute.model import StImputeModel
from stimpute.views._neighbours import nearest

N_NEIGHBORS = 50


@dataclass(frozen=True)
class BaselineInput:
    """Dense, log-normalised arrays: what a baseline may see.

    Attributes
    ----------
    spatial
        Visible genes of the spatial cells, shape (n_cells, n_visible).
    reference
        The same genes of the reference cells, shape (n_reference, n_visible).
    targets
        Genes to predict, in the reference cells, shape (n_reference, n_targets).
    """

    spatial: np.ndarray
    reference: np.ndarray
    targets: np.ndarray

    @classmethod
    def of(cls, model: StImputeModel, targets: np.ndarray, hiding: Hiding | None = None) -> BaselineInput:
        """What a model's data are under a hiding; `targets` are positions in the reference."""
        reference, cells = model._need_reference(), model._cells(None)
        hiding = hiding or Hiding.nothing(len(reference.panel))
        spatial = cells.normalised(hiding, cells.typical_total(hiding))[:, hiding.visible]
        dense = reference.bank.dense
        return cls(spatial, dense(reference.panel[hiding.visible]), dense(targets))


def constant(data: BaselineInput) -> np.ndarray:
    """One value for every cell and gene: the mean of the visible genes, shape (n_cells, n_targets)."""
    return np.full((len(data.spatial), data.targets.shape[1]), data.spatial.mean(), dtype=np.float32)


def reference_mean(data: BaselineInput) -> np.ndarray:
    """A gene's reference mean, on a line fitted between the platforms on the visible genes."""
    line = LinearRegression().fit(data.reference.mean(0)[:, None], data.spatial.mean(0))
    mean = np.maximum(line.predict(data.targets.mean(0)[:, None]), 0)
    return np.tile(mean.astype(np.float32), (len(data.spatial), 1))


def knn(data: BaselineInput, k: int = N_NEIGHBORS) -> np.ndarray:
    """Mean of the k reference cells with the highest cosine over the standardised visible genes."""
    query, base = (standardise(x, x.mean(0), x.std(0)) for x in (data.spatial, data.reference))
    index, _ = nearest(torch.from_numpy(query), torch.from_numpy(base), min(k, len(base)))
    total = np.zeros((len(query), data.targets.shape[1]), np.float32)
    for column in index.T:  # one neighbour of all cells at a time: never cells × k × genes
        total += data.targets[column]
    return total / index.shape[1]


BASELINES: dict[str, Callable[[BaselineInput], np.ndarray]] = {
    "constant": constant,
    "reference mean, calibrated": reference_mean,
    "kNN": knn,
}

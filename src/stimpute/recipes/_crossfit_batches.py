"""Make training batches in which some genes are masked, also in the totals of the cells."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy import sparse
from scvi import REGISTRY_KEYS
from torch import Tensor

from stimpute.data._normalize import log_normalize_sparse
from stimpute.data._space import dense_if_small, neighbor_mean
from stimpute.data._spatial import SpatialCells
from stimpute.module._attention import MASK_KEY
from stimpute.module._masked_genes import FEATURES_KEY, MASKED_KEY, NICHE_KEY, TRUTH_KEY
from stimpute.recipes._crossfit_fit import SharedGeneScaling

MAX_TARGETS = 64  # masked genes that one step learns from
MIN_TARGETS = 12  # also on a large panel
MAX_EDGES = 64_000  # of these genes to all shared genes: a step on a larger panel learns from fewer genes
MIN_MASKED = 2


class MaskedGeneBatches:
    """Turn rows into a batch: other genes are masked in every batch, and totals are over the input genes.

    Counts stay sparse until the cells of a batch are standardized.

    Parameters
    ----------
    cells
        Training cells.
    scaling
        Mean and standard deviation of the shared genes.
    neighbors
        Spatial neighbors of the cells, shape (n_cells, n_neighbors), or None.
    masked_share
        Minimum and maximum share of the shared genes to mask.
    features
        Computes the relation features of some shared genes (positions); None if genes are not related.
    seed
        Seed of the choice of masked genes.
    mask_genes
        Whether to mask at all. Without, the genes to predict stay among the inputs.
    """

    def __init__(
        self,
        cells: SpatialCells,
        scaling: SharedGeneScaling,
        neighbors: np.ndarray | None,
        masked_share: tuple[float, float],
        features: Callable[[np.ndarray], Tensor] | None,
        seed: int,
        *,
        mask_genes: bool = True,
    ) -> None:
        self.expression = cells.expression
        self.total_counts = cells.total_counts
        self.scaling = scaling
        self.neighbors = neighbors
        self.masked_share = masked_share
        self.features = features
        self.mask_genes = mask_genes
        self.generator = torch.Generator().manual_seed(seed)

    def _draw_genes(self) -> Tensor:
        """Draw the genes of a batch that are masked and predicted."""
        n_genes = self.expression.shape[1]
        low, high = self.masked_share
        share = low + (high - low) * torch.rand(1, generator=self.generator).item()
        n_masked = min(max(MIN_MASKED, int(share * n_genes)), n_genes - 1)
        return torch.randperm(n_genes, generator=self.generator)[:n_masked]

    def _log_normalized(self, cells: np.ndarray, masked: np.ndarray) -> sparse.csr_matrix:
        """Log-normalize the shared genes of some cells by totals over the input genes."""
        values = self.expression[cells]
        if self.total_counts is None:
            return values
        totals = self.total_counts[cells]
        if self.mask_genes:
            is_masked = np.zeros(values.shape[1])
            is_masked[masked] = 1
            totals = totals - values @ is_masked
        positive = totals[totals > 0]
        target_sum = np.quantile(positive, 0.5, method="lower") if len(positive) else 1.0
        return log_normalize_sparse(values, totals, target_sum)

    def _standardized(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(self.scaling.standardize_values(values))

    def __call__(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Make the batch of some rows."""
        rows = batch["rows"].numpy()
        masked = self._draw_genes()
        mask = torch.ones(self.expression.shape[1])
        if self.mask_genes:
            mask[masked] = 0
        cells = rows
        if self.neighbors is not None:
            cells = np.concatenate([rows, self.neighbors[rows].ravel()])
        values = self._log_normalized(cells, masked.numpy())
        own = self._standardized(values[: len(rows)].toarray())
        targets = masked[: n_targets(len(mask))]
        result = {REGISTRY_KEYS.X_KEY: own, MASK_KEY: mask, MASKED_KEY: targets, TRUTH_KEY: own[:, targets]}
        if self.neighbors is not None:
            position = np.arange(len(rows), len(cells)).reshape(len(rows), -1)
            result[NICHE_KEY] = self._standardized(neighbor_mean(dense_if_small(values), position))
        if self.features is not None:
            result[FEATURES_KEY] = self.features(targets.numpy())
        return result


def n_targets(n_shared: int) -> int:
    """Return the maximum number of genes that a step learns from."""
    return min(MAX_TARGETS, max(MIN_TARGETS, MAX_EDGES // n_shared))

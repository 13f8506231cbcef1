"""Make training batches in which some genes are masked, also in the totals of the cells."""

from __future__ import annotations

import numpy as np
import torch
from scvi import REGISTRY_KEYS
from torch import Tensor

from stimpute.data._spatial import SpatialCells
from stimpute.module._attention import MASK_KEY
from stimpute.module._masked_genes import MASKED_KEY, NICHE_KEY, TRUTH_KEY
from stimpute.recipes._crossfit_fit import SharedGeneScaling

MAX_TARGETS = 64  # masked genes that one step learns from
MIN_MASKED = 2


class MaskedGeneBatches:
    """Turn rows into a batch: other genes are masked in every batch, and totals are over the input genes.

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
        seed: int,
        *,
        mask_genes: bool = True,
    ) -> None:
        self.values = torch.from_numpy(cells.expression.toarray())
        self.total_counts = None
        if cells.total_counts is not None:
            self.total_counts = torch.from_numpy(cells.total_counts.astype(np.float32))
        std = np.where(scaling.std > 0, scaling.std, 1)
        self.mean = torch.from_numpy(scaling.mean.astype(np.float32))
        self.std = torch.from_numpy(std.astype(np.float32))
        self.neighbors = None if neighbors is None else torch.from_numpy(neighbors).long()
        self.masked_share = masked_share
        self.mask_genes = mask_genes
        self.generator = torch.Generator().manual_seed(seed)

    def _draw_genes(self) -> Tensor:
        """Draw the genes of a batch that are masked and predicted."""
        n_genes = self.values.shape[1]
        low, high = self.masked_share
        share = low + (high - low) * torch.rand(1, generator=self.generator).item()
        n_masked = min(max(MIN_MASKED, int(share * n_genes)), n_genes - 1)
        return torch.randperm(n_genes, generator=self.generator)[:n_masked]

    def _standardized(self, cells: Tensor, masked: Tensor) -> Tensor:
        """Standardize the shared genes of some cells, scaled by totals over the input genes."""
        values = self.values[cells]
        if self.total_counts is not None:
            totals = self.total_counts[cells]
            if self.mask_genes:
                totals = totals - values[:, masked].sum(1)
            positive = totals[totals > 0]
            target_sum = positive.median() if len(positive) else torch.tensor(1.0)
            values = torch.log1p(values * (target_sum / totals.clamp(min=1))[:, None])
        return (values - self.mean) / self.std

    def __call__(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Make the batch of some rows."""
        rows = batch["rows"]
        masked = self._draw_genes()
        mask = torch.ones(self.values.shape[1])
        if self.mask_genes:
            mask[masked] = 0
        cells = rows
        if self.neighbors is not None:
            cells = torch.cat([rows, self.neighbors[rows].flatten()])
        standardized = self._standardized(cells, masked)
        own = standardized[: len(rows)]
        targets = masked[:MAX_TARGETS]
        result = {REGISTRY_KEYS.X_KEY: own, MASK_KEY: mask, MASKED_KEY: targets, TRUTH_KEY: own[:, targets]}
        if self.neighbors is not None:
            of_neighbors = standardized[len(rows) :].view(len(rows), -1, standardized.shape[1])
            result[NICHE_KEY] = of_neighbors.mean(1)
        return result

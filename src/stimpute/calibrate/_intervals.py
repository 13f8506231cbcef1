"""Conformal intervals for every cell and gene, from genes that the prediction never saw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

N_BINS = 8
GRID = np.linspace(0.0, 1.0, 41)


@dataclass(frozen=True)
class Intervals:
    r"""Quantiles of the residual, by how high the prediction is.

    Residuals :math:`r = (x - \hat x) / \sigma_g` of hidden genes are sorted into bins of the prediction
    :math:`\hat x`; their quantiles in a bin bound the residual of an unseen gene there. How far the quantiles of one
    fold of genes reach on the others (split conformal prediction, with genes as the exchangeable units) sets the
    probability that is asked for in place of the nominal one.

    Attributes
    ----------
    edges
        Inner borders of the bins of the prediction, shape (n_bins - 1,).
    quantiles
        Residual at each probability of the grid, shape (n_bins, n_grid).
    reached
        Share covered on held-out folds when the central share `GRID` is asked for, shape (n_grid,).
    """

    edges: np.ndarray
    quantiles: np.ndarray
    reached: np.ndarray

    @classmethod
    def fit(cls, truth: np.ndarray, predicted: np.ndarray, std: np.ndarray, fold: np.ndarray) -> Intervals:
        """Learn from out-of-fold predictions.

        Parameters
        ----------
        truth, predicted
            Expression of hidden genes, shape (n_cells, n_genes).
        std
            Out-of-fold spread, shape (n_genes,).
        fold
            Fold of each gene, shape (n_genes,).
        """
        residual = (truth - predicted) / std
        edges = np.unique(np.quantile(predicted, np.linspace(0, 1, N_BINS + 1)[1:-1]))
        bins = np.digitize(predicted, edges)
        covered = np.zeros(len(GRID))
        for index in np.unique(fold):
            out = fold == index
            table = _quantiles(residual[:, ~out], bins[:, ~out], len(edges) + 1)
            for gene in np.flatnonzero(out):
                low, high = _central(table, bins[:, gene])
                x = np.maximum(truth[:, gene], 0)[:, None]
                bounds = [np.maximum(predicted[:, gene, None] + std[gene] * side, 0) for side in (low, high)]
                covered += ((x >= bounds[0]) & (x <= bounds[1])).mean(0)
        reached = np.maximum.accumulate(covered / len(fold))
        return cls(edges, _quantiles(residual, bins, len(edges) + 1), reached)

    def bounds(self, predicted: np.ndarray, std: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper bound, float32, shape (n_cells, n_genes).

        Parameters
        ----------
        predicted
            Shape (n_cells, n_genes).
        std
            Predicted spread, shape (n_genes,).
        share
            Share of the cells that should lie inside.
        """
        central, bins = np.interp(share, self.reached, GRID), np.digitize(predicted, self.edges)
        sides = []
        for p in ((1 - central) / 2, (1 + central) / 2):
            table = np.array([np.interp(p, GRID, row) for row in self.quantiles], dtype=np.float32)
            sides.append(np.maximum(predicted + std * table[bins], 0).astype(np.float32))
        return sides[0], sides[1]


def _quantiles(residual: np.ndarray, bins: np.ndarray, n_bins: int) -> np.ndarray:
    return np.stack(
        [np.quantile(residual[bins == b] if (bins == b).any() else residual.ravel(), GRID) for b in range(n_bins)]
    )


def _central(table: np.ndarray, bins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the central share of each probability of the grid, shape (n_cells, n_grid)."""
    low = np.stack([np.interp((1 - GRID) / 2, GRID, row) for row in table])
    high = np.stack([np.interp((1 + GRID) / 2, GRID, row) for row in table])
    return low[bins], high[bins]

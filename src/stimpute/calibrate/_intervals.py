"""Compute intervals for every cell and gene from residuals of held-out genes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from stimpute.data._arrays import Shape

N_BINS = 8
GRID = np.linspace(0.0, 1.0, 41)  # probabilities at which quantiles and coverage are kept


@dataclass(frozen=True)
class Intervals:
    r"""Quantiles of the residual, binned by predicted expression.

    Residuals :math:`r = (x - \hat x) / \sigma_g` of held-out genes are sorted into bins of the prediction
    :math:`\hat x`; their quantiles in a bin bound the residual of an unseen gene there. The quantiles from all folds
    but one are tested on the genes of that fold, in the manner of split conformal prediction. The coverage that was
    observed there replaces the nominal probability, on average over genes.
    """

    edges: Annotated[np.ndarray, Shape("n_borders", about="borders of the bins of predicted expression")]
    quantiles: Annotated[np.ndarray, Shape("n_bins", "n_grid", about="residual quantiles of held-out genes")]
    coverage: Annotated[np.ndarray, Shape("n_grid", about="observed coverage of the intervals")]

    @classmethod
    def fit(cls, truth: np.ndarray, predicted: np.ndarray, std: np.ndarray, fold: np.ndarray) -> Intervals:
        """Fit the quantiles to out-of-fold predictions.

        Parameters
        ----------
        truth, predicted
            Expression of held-out genes, shape (n_cells, n_genes).
        std
            Out-of-fold standard deviation, shape (n_genes,).
        fold
            Fold of each gene, shape (n_genes,).
        """
        residual = (truth - predicted) / std
        edges = np.unique(np.quantile(predicted, np.linspace(0, 1, N_BINS + 1)[1:-1]))
        bins = np.digitize(predicted, edges)
        n_bins = len(edges) + 1
        covered = np.zeros(len(GRID))
        for index in np.unique(fold):
            held_out = fold == index
            table = _quantiles_by_bin(residual[:, ~held_out], bins[:, ~held_out], n_bins)
            for gene in np.flatnonzero(held_out):
                low, high = _central_interval(table, bins[:, gene])
                x = np.maximum(truth[:, gene], 0)[:, None]
                lower = np.maximum(predicted[:, gene, None] + std[gene] * low, 0)
                upper = np.maximum(predicted[:, gene, None] + std[gene] * high, 0)
                covered += ((x >= lower) & (x <= upper)).mean(0)
        coverage = np.maximum.accumulate(covered / len(fold))
        return cls(edges, _quantiles_by_bin(residual, bins, n_bins), coverage)

    def bounds(self, predicted: np.ndarray, std: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
        """Compute lower and upper bounds, float32, shape (n_cells, n_genes).

        Parameters
        ----------
        predicted
            Shape (n_cells, n_genes).
        std
            Predicted standard deviation, shape (n_genes,).
        level
            Share of the values that should lie inside.
        """
        central = np.interp(level, self.coverage, GRID)
        bins = np.digitize(predicted, self.edges)
        bounds = []
        for probability in ((1 - central) / 2, (1 + central) / 2):
            by_bin = np.array([np.interp(probability, GRID, row) for row in self.quantiles], dtype=np.float32)
            bounds.append(np.maximum(predicted + std * by_bin[bins], 0).astype(np.float32))
        return bounds[0], bounds[1]


def _quantiles_by_bin(residual: np.ndarray, bins: np.ndarray, n_bins: int) -> np.ndarray:
    """Compute the quantiles of the residual in each bin; an empty bin gets those of all residuals."""
    rows = []
    for index in range(n_bins):
        inside = residual[bins == index]
        rows.append(np.quantile(inside if len(inside) else residual.ravel(), GRID))
    return np.stack(rows)


def _central_interval(table: np.ndarray, bins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return lower and upper quantile of the central interval at each probability of the grid.

    Each has shape (n_cells, n_grid).
    """
    low = np.stack([np.interp((1 - GRID) / 2, GRID, row) for row in table])
    high = np.stack([np.interp((1 + GRID) / 2, GRID, row) for row in table])
    return low[bins], high[bins]

"""Compute intervals for every cell and gene from residuals of held-out genes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from scipy.special import ndtr

from stimpute.data._arrays import Shape
from stimpute.data._normalize import LARGEST_LOGARITHM
from stimpute.data._space import sample_cells

N_BINS = 8
MIN_VALUES = 20  # a bin with fewer values gets the quantiles of all values
MAX_GENES = 1000  # that the quantiles are fitted to; more take longer and change them by less than sampling does
GRID = np.linspace(0.0, 1.0, 41)  # probabilities at which quantiles and coverage are kept
MIN_STD = 1e-6
MIN_SHARE = 1e-6  # of values above zero, by which shares are divided


@dataclass(frozen=True)
class Intervals:
    r"""Quantiles of the residual, binned by the expected number of molecules.

    .. math:: r_{cg} = \frac{x_{cg} - \hat x_{cg}}{\sqrt{\sigma_g u_c}}, \quad
              m_{cg} = \frac{e^{\hat x_{cg}} - 1}{e^{u_c} - 1}

    :math:`\sigma_g` is the standard deviation of a gene, and :math:`u_c` the value of one molecule in a cell: the fewer
    molecules a cell has, the more one is worth, and the wider its intervals are. Residuals :math:`r` of held-out genes
    are sorted into bins of :math:`m`; their quantiles in a bin bound the residual of an unseen gene there. There is
    nothing between zero and one molecule: a lower bound below :math:`u_c` is 0.

    The quantiles from all folds but one are tested on the genes of that fold, in the manner of split conformal
    prediction. An interval of probability :math:`p` covers the share :math:`p` of the values, and at least
    :math:`2 p - 1` of the values of the quarter of genes that is covered least. It also covers at least
    :math:`2 p - 1` of the values above zero of genes that are as rare as this one: what bounds leave out is counted in
    every bin, and a gene has the share of its cells in each bin that its mean and standard deviation imply.
    """

    edges: Annotated[np.ndarray, Shape("n_borders", about="borders of the bins of the expected number of molecules")]
    quantiles: Annotated[np.ndarray, Shape("n_bins", "n_grid", about="residual quantiles of held-out genes")]
    probability: Annotated[np.ndarray, Shape("n_grid", about="probability that the intervals reach on held-out genes")]
    above_zero: Annotated[np.ndarray, Shape("n_bins", about="share of the held-out values that are above zero")]
    missed_above_zero: Annotated[
        np.ndarray, Shape("n_bins", "n_grid", about="share of the held-out values that are above zero and not covered")
    ]
    molecule: Annotated[float, Shape(about="value of one molecule in a typical cell")]

    @classmethod
    def fit(
        cls, truth: np.ndarray, predicted: np.ndarray, std: np.ndarray, molecule: np.ndarray, fold: np.ndarray
    ) -> Intervals:
        """Fit the quantiles to out-of-fold predictions, of at most 1000 genes that are evenly spaced.

        Parameters
        ----------
        truth, predicted
            Expression of held-out genes, shape (n_cells, n_genes).
        std
            Out-of-fold standard deviation, shape (n_genes,).
        molecule
            Value of one molecule, shape (n_cells, n_genes): it depends on the fold of the gene.
        fold
            Fold of each gene, shape (n_genes,).
        """
        genes = sample_cells(np.arange(len(fold)), MAX_GENES)
        if len(genes) < len(fold):
            truth, predicted, molecule = (values[:, genes] for values in (truth, predicted, molecule))
            std = std[genes]
            fold = fold[genes]
        expected = _expected_molecules(predicted, molecule)
        edges = np.unique(np.quantile(expected, np.linspace(0, 1, N_BINS + 1)[1:-1]))
        edges = edges[edges > expected.min()]  # a bin below the smallest prediction would be empty
        bins = np.digitize(expected, edges)
        n_bins = len(edges) + 1
        scale = _scale(std, molecule)
        residual = (truth - predicted) / scale
        covered = np.zeros((len(fold), len(GRID)))
        missed = np.zeros((n_bins, len(GRID)))
        for index in np.unique(fold):
            held_out = fold == index
            table = _quantiles_by_bin(residual[:, ~held_out], bins[:, ~held_out], n_bins)
            low, high = _central_quantiles(table)
            for gene in np.flatnonzero(held_out):
                column = np.s_[:, gene, None]
                lower = _lower_bound(predicted[column] + scale[column] * low[bins[:, gene]], molecule[column])
                upper = predicted[column] + scale[column] * high[bins[:, gene]]
                inside = (truth[column] >= lower) & (truth[column] <= np.maximum(upper, 0))
                covered[gene] = inside.mean(0)
                outside = (truth[column] > 0) & ~inside
                missed += (bins[:, gene] == np.arange(n_bins)[:, None]) @ outside.astype(float)
        n_values = np.maximum(np.bincount(bins.ravel(), minlength=n_bins), 1)
        return cls(
            edges=edges,
            quantiles=_quantiles_by_bin(residual, bins, n_bins),
            probability=_reached_probability(covered),
            above_zero=np.bincount(bins[truth > 0], minlength=n_bins) / n_values,
            missed_above_zero=missed / n_values[:, None],
            molecule=float(np.median(molecule)),
        )

    @property
    def highest(self) -> float:
        """Return the highest probability that held-out genes were covered with.

        Bins lie between quantiles of the expected number of molecules: unless many of these are equal, they hold about
        as many values each, and they count the same.
        """
        missed = self.missed_above_zero[:, -1].sum() / max(self.above_zero.sum(), MIN_SHARE)
        return float(min(self.probability[-1], 1 - missed / 2))

    def central(self, level: float, mean: np.ndarray, predicted_std: np.ndarray) -> np.ndarray:
        """Compute the probability between the two quantiles of the residual that bound a gene, shape (n_genes,).

        Parameters
        ----------
        level
            Share of the values that should lie inside.
        mean, predicted_std
            Mean and standard deviation of the predictions of each gene, shape (n_genes,).
        """
        borders = np.log1p(self.edges * _molecules(self.molecule))
        below = ndtr((borders - mean[:, None]) / np.maximum(predicted_std, MIN_STD)[:, None])
        share_of_bin = np.diff(below, axis=1, prepend=0, append=1)
        missed = share_of_bin @ self.missed_above_zero / np.maximum(share_of_bin @ self.above_zero, MIN_SHARE)[:, None]
        of_gene = [np.interp(2 * level - 1, 1 - row, GRID) for row in missed]
        return np.maximum(np.interp(level, self.probability, GRID), of_gene)

    def bounds(
        self, predicted: np.ndarray, std: np.ndarray, molecule: np.ndarray, central: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Compute lower and upper bounds, float32, shape (n_cells, n_genes).

        Parameters
        ----------
        predicted
            Shape (n_cells, n_genes).
        std
            Predicted standard deviation, shape (n_genes,).
        molecule
            Value of one molecule in each cell, shape (n_cells,).
        central
            From :meth:`central`, shape (n_genes,).
        """
        molecule = molecule[:, None].astype(np.float32)
        bins = np.digitize(_expected_molecules(predicted, molecule), self.edges)
        scale = _scale(std.astype(np.float32), molecule)
        bounds = []
        for probability in ((1 - central) / 2, (1 + central) / 2):
            by_bin = np.array([np.interp(probability, GRID, row) for row in self.quantiles], dtype=np.float32)
            bounds.append(predicted + scale * by_bin[bins, np.arange(len(std))])
        lower = _lower_bound(bounds[0], molecule)
        upper = np.maximum(bounds[1], 0)
        return lower.astype(np.float32), upper.astype(np.float32)


def _expected_molecules(predicted: np.ndarray, molecule: np.ndarray) -> np.ndarray:
    return _molecules(predicted) / _molecules(molecule)


def _molecules(value: np.ndarray | float) -> np.ndarray:
    """Undo the logarithm; of values that are too large to be logarithms, all are the same, and finite."""
    return np.expm1(np.minimum(value, LARGEST_LOGARITHM))


def _scale(std: np.ndarray, molecule: np.ndarray) -> np.ndarray:
    return np.sqrt(std * molecule)


def _lower_bound(lower: np.ndarray, molecule: np.ndarray) -> np.ndarray:
    """Set lower bounds below one molecule to 0."""
    return np.where(lower < molecule, 0, lower)


def _reached_probability(covered: np.ndarray) -> np.ndarray:
    """Compute the probability that each interval of the grid may claim, shape (n_grid,).

    Parameters
    ----------
    covered
        Share of the values of each gene that is covered, shape (n_genes, n_grid).
    """
    n_quarter = -(-len(covered) // 4)  # rounded up
    least_covered = np.sort(covered, axis=0)[:n_quarter].mean(0)
    return np.maximum.accumulate(np.minimum(covered.mean(0), (1 + least_covered) / 2))


def _quantiles_by_bin(residual: np.ndarray, bins: np.ndarray, n_bins: int) -> np.ndarray:
    """Compute the quantiles of the residual in each bin, shape (n_bins, n_grid)."""
    rows = []
    for index in range(n_bins):
        inside = residual[bins == index]
        rows.append(np.quantile(inside if len(inside) >= MIN_VALUES else residual.ravel(), GRID))
    return np.stack(rows)


def _central_quantiles(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return lower and upper quantiles of the central interval of each probability, each (n_bins, n_grid)."""
    low = np.stack([np.interp((1 - GRID) / 2, GRID, row) for row in table])
    high = np.stack([np.interp((1 + GRID) / 2, GRID, row) for row in table])
    return low, high

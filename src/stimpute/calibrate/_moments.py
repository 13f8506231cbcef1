"""Predict a gene's mean and standard deviation on the spatial platform from its statistics in the reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from sklearn.linear_model import Ridge

from stimpute.data._arrays import Shape

MIN_STD = 1e-3
PENALTY = 3.0


@dataclass(frozen=True)
class Moments:
    r"""Two ridge regressions over the shared genes.

    .. math:: \mu_g = a + b \cdot t_g, \quad \log(\sigma_g + \epsilon) = c + d \cdot t_g

    :math:`t` are statistics of a gene in the reference. The level of a gene depends on the gene and the platforms, not
    on the cell.
    """

    coefficients: Annotated[
        np.ndarray, Shape(2, "n_coefficients", about="regression of a gene's level on reference statistics")
    ]

    @classmethod
    def fit(cls, statistics: np.ndarray, mean: np.ndarray, std: np.ndarray) -> Moments:
        """Fit the regressions on measured genes.

        Parameters
        ----------
        statistics
            Shape (n_genes, n_statistics).
        mean, std
            On the spatial platform, shape (n_genes,).
        """
        rows = []
        for y in (mean, np.log(std + MIN_STD)):
            model = Ridge(PENALTY).fit(statistics, y)
            rows.append([model.intercept_, *model.coef_])
        return cls(np.array(rows))

    @classmethod
    def out_of_fold(
        cls, statistics: np.ndarray, mean: np.ndarray, std: np.ndarray, fold: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Predict mean and standard deviation of each gene from the genes of the other folds; see :meth:`predict`."""
        means = np.empty(len(fold))
        stds = np.empty(len(fold))
        for index in np.unique(fold):
            held_out = fold == index
            model = cls.fit(statistics[~held_out], mean[~held_out], std[~held_out])
            means[held_out], stds[held_out] = model.predict(statistics[held_out])
        return means, stds

    def predict(self, statistics: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Predict the mean, at least 0, and the standard deviation, each of shape (n_genes,)."""
        design = np.column_stack([np.ones(len(statistics)), statistics])
        mean, log_std = self.coefficients @ design.T
        return np.maximum(mean, 0), np.maximum(np.exp(log_std) - MIN_STD, MIN_STD)

"""A gene's mean and spread on the spatial platform, from what the reference knows of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import Ridge

MIN_STD = 1e-3
PENALTY = 3.0


@dataclass(frozen=True)
class Moments:
    r"""Two ridge regressions over the genes of the panel.

    .. math:: \mu_g = a + b \cdot t_g, \quad \log(\sigma_g + \epsilon) = c + d \cdot t_g

    :math:`t` are statistics of a gene in the reference. How much a platform sees of a gene is a question about genes,
    not about cells.

    Attributes
    ----------
    coefficients
        Rows for the mean and for the log spread; the intercept, then a coefficient per statistic.
    """

    coefficients: np.ndarray

    @classmethod
    def fit(cls, statistics: np.ndarray, mean: np.ndarray, std: np.ndarray) -> Moments:
        """Learn from measured genes.

        Parameters
        ----------
        statistics
            Shape (n_genes, n_statistics).
        mean, std
            On the spatial platform, shape (n_genes,).
        """
        models = [Ridge(PENALTY).fit(statistics, y) for y in (mean, np.log(std + MIN_STD))]
        return cls(np.array([[m.intercept_, *m.coef_] for m in models]))

    @classmethod
    def out_of_fold(
        cls, statistics: np.ndarray, mean: np.ndarray, std: np.ndarray, fold: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean and spread of each gene from the genes of the other folds; see :meth:`predict`."""
        means, stds = np.empty(len(fold)), np.empty(len(fold))
        for index in np.unique(fold):
            out = fold == index
            model = cls.fit(statistics[~out], mean[~out], std[~out])
            means[out], stds[out] = model.predict(statistics[out])
        return means, stds

    def predict(self, statistics: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean, at least 0, and spread, each of shape (n_genes,)."""
        design = np.c_[np.ones(len(statistics)), statistics]
        mean, log_std = self.coefficients @ design.T
        return np.maximum(mean, 0), np.maximum(np.exp(log_std) - MIN_STD, MIN_STD)

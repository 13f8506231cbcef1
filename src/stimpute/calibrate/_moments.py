"""Predict a gene's mean and standard deviation on the spatial platform from its statistics in the reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from stimpute.data._arrays import Shape

MIN_STD = 1e-3
MIN_GENES = 3  # that vary; with fewer all are used
PENALTY = 1.0  # of the regressions on standardized statistics
MIN_PENALTY = 1e-6  # of the intercept
MAX_STATISTIC = 3.0  # standardized statistics are clipped here
MATCHED_MEAN = 3  # column of the statistics, see `Moments.fit`
MATCHED_STD = 4


@dataclass(frozen=True)
class Moments:
    r"""Two regressions over the shared genes.

    .. math:: \mu_g = \alpha_0 + \alpha^\top t_g, \quad \log(\sigma_g + \epsilon) = \beta_0 + \beta^\top t_g

    :math:`t` are statistics of a gene in the reference, some of them over the cell types of the section. Each
    regression is a mixture of a line in one statistic and a ridge regression on all. A small panel can support little
    more than the line; the share of the ridge regression is the one with the least error over left-out genes.
    """

    center: Annotated[np.ndarray, Shape("n_level_statistics", about="mean of the statistics that levels depend on")]
    scale: Annotated[np.ndarray, Shape("n_level_statistics", about="standard deviation of the same statistics")]
    coefficients: Annotated[
        np.ndarray, Shape(2, "n_coefficients", about="regression of a gene's level on reference statistics")
    ]

    @classmethod
    def fit(cls, statistics: np.ndarray, mean: np.ndarray, std: np.ndarray) -> Moments:
        """Fit the regressions on measured genes.

        Parameters
        ----------
        statistics
            Mean, standard deviation and detection rate in the reference, then the same over reference cells that are
            weighted to resemble the section, shape (n_genes, 6).
        mean, std
            On the spatial platform, shape (n_genes,).
        """
        center = statistics.mean(0)
        scale = statistics.std(0) + 1e-6
        x = _standardize(statistics, center, scale)
        varies = std > 0  # the logarithm would make an outlier of a gene that is constant
        varies |= varies.sum() < MIN_GENES
        rows = [
            _fit_mixture(x, mean, MATCHED_MEAN),
            _fit_mixture(x[varies], np.log(std[varies] + MIN_STD), MATCHED_STD),
        ]
        return cls(center, scale, np.array(rows))

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
        x = _standardize(statistics, self.center, self.scale)
        design = np.column_stack([np.ones(len(x)), x])
        mean, log_std = self.coefficients @ design.T
        return np.maximum(mean, 0), np.maximum(np.exp(log_std) - MIN_STD, MIN_STD)


def _standardize(statistics: np.ndarray, center: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return np.clip((statistics - center) / scale, -MAX_STATISTIC, MAX_STATISTIC)


def _fit_mixture(x: np.ndarray, y: np.ndarray, column: int) -> np.ndarray:
    r"""Fit a line in one column and a ridge regression on all, and mix them.

    .. math:: w = \frac{\sum_i d_i e_i}{\sum_i d_i^2 + k \, \overline{e^2}}

    :math:`w` is the share of the ridge regression, :math:`e` the error of the line on left-out genes, :math:`d` by how
    much the ridge regression differs from the line on them, and :math:`k` the number of its further coefficients, so
    that with few genes the line prevails.

    Returns
    -------
    Intercept and coefficients, shape (1 + n_statistics,).
    """
    line, line_left_out = _ridge(x[:, [column]], y)
    full, full_left_out = _ridge(x, y)
    difference = full_left_out - line_left_out
    error = y - line_left_out
    noise = (x.shape[1] - 1) * (error**2).mean()
    share = (difference * error).sum() / max((difference**2).sum() + noise, 1e-12)
    share = float(np.clip(share, 0, 1))
    mixture = share * full
    mixture[[0, 1 + column]] += (1 - share) * line
    return mixture


def _ridge(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    r"""Fit a ridge regression, and predict each value with this value left out.

    The prediction of a left-out value, :math:`y_i - (y_i - \hat y_i) / (1 - h_{ii})` with the leverage
    :math:`h_{ii}`, is exact and needs no further fit.

    Returns
    -------
    Intercept and coefficients, and the predictions, shape (n_genes,).
    """
    design = np.column_stack([np.ones(len(x)), x])
    penalty = np.full(design.shape[1], PENALTY)
    penalty[0] = MIN_PENALTY
    hat = np.linalg.solve(design.T @ design + np.diag(penalty), design.T)
    coefficients = hat @ y
    leverage = np.einsum("ij,ji->i", design, hat)
    residual = y - design @ coefficients
    return coefficients, y - residual / (1 - leverage)

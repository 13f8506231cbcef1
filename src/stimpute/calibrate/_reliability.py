"""Predict how well a gene is predicted, by a regression fitted to genes whose prediction could be checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from sklearn.linear_model import Ridge

from stimpute.data._arrays import Shape

PENALTY = 10.0  # of the ridge regression
PRIOR_GENES = 100  # weight of the prior that predictions are calibrated, as a number of genes
EXCESS_SHARE = 0.1  # share that is kept of what lies above the best held-out correlation
FEW_CELLS = 10  # expressing cells at which the squared reliability of the reference profile is one half
MAX_FEATURE = 3.0  # standardized features are clipped here


@dataclass(frozen=True)
class ReliabilityRegression:
    r"""Ridge regression from features of a gene's prediction to its correlation with the truth.

    A calibrated prediction of z-scores, :math:`b \, s_g`, has a correlation with the truth that equals its own standard
    deviation: :math:`r_g = \operatorname{sd}(b \, s_g)`. The regression learns where held-out genes departed from that.

    .. math:: \hat r_g = \sqrt{\frac{k_g}{k_g + 10}} \,
              \bigl(\operatorname{sd}(b \, s_g) + \beta_0 + \beta^\top f_g\bigr)

    Predictions above the best correlation of a held-out gene are shrunk toward it by a factor of ten. The first factor
    lowers the reliability of genes that few reference cells (:math:`k_g`) express.
    """

    center: Annotated[np.ndarray, Shape("n_features", about="mean of the reliability features")]
    scale: Annotated[np.ndarray, Shape("n_features", about="standard deviation of the reliability features")]
    coefficients: Annotated[
        np.ndarray, Shape("n_reliability_coefficients", about="regression of the observed correlation")
    ]
    best_observed: Annotated[float, Shape(about="highest correlation of a held-out gene")]

    @classmethod
    def fit(cls, features: np.ndarray, observed: np.ndarray, predicted_std: np.ndarray) -> ReliabilityRegression:
        """Fit the regression to held-out genes.

        Parameters
        ----------
        features
            Shape (n_genes, n_features).
        observed
            Correlation of the held-out genes' predictions with the truth, shape (n_genes,).
        predicted_std
            Standard deviation of the calibrated predictions, shape (n_genes,).
        """
        center = features.mean(0)
        scale = features.std(0) + 1e-6
        model = Ridge(PENALTY).fit((features - center) / scale, observed - predicted_std)
        # Few genes say little about the general level: the intercept is shrunk as if 100 more had shown none.
        intercept = model.intercept_ * len(observed) / (len(observed) + PRIOR_GENES)
        return cls(center, scale, np.array([intercept, *model.coef_]), float(observed.max()))

    @classmethod
    def out_of_fold(
        cls,
        features: np.ndarray,
        observed: np.ndarray,
        predicted_std: np.ndarray,
        n_cells_expressing: np.ndarray,
        fold: np.ndarray,
    ) -> np.ndarray:
        """Predict the correlation of each gene from the genes of the other folds, shape (n_genes,)."""
        predicted = np.empty(len(fold))
        for index in np.unique(fold):
            held_out = fold == index
            model = cls.fit(features[~held_out], observed[~held_out], predicted_std[~held_out])
            predicted[held_out] = model.predict(
                features[held_out], predicted_std[held_out], n_cells_expressing[held_out]
            )
        return predicted

    def predict(self, features: np.ndarray, predicted_std: np.ndarray, n_cells_expressing: np.ndarray) -> np.ndarray:
        """Predict correlations, between -1 and 1, shape (n_genes,).

        Parameters
        ----------
        features, predicted_std
            As in :meth:`fit`.
        n_cells_expressing
            Number of reference cells that express a gene, shape (n_genes,).
        """
        standardized = np.clip((features - self.center) / self.scale, -MAX_FEATURE, MAX_FEATURE)
        predicted = predicted_std + self.coefficients[0] + standardized @ self.coefficients[1:]
        excess = predicted - self.best_observed
        predicted = np.where(excess > 0, self.best_observed + EXCESS_SHARE * excess, predicted)
        return np.clip(predicted, -1, 1) * np.sqrt(n_cells_expressing / (n_cells_expressing + FEW_CELLS))

"""How well a gene will be predicted, learnt from genes whose prediction could be checked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import Ridge

PENALTY = 10.0  # as if 10 further genes had shown no effect of any feature
PRIOR_GENES = 100  # and 100 had reached what a calibrated prediction should reach


@dataclass(frozen=True)
class Reliability:
    r"""Ridge regression from descriptions of a gene's prediction to its correlation with the truth.

    A calibrated prediction :math:`\hat x_g` of standardised expression correlates with the truth as much as it varies:
    :math:`r_g = \operatorname{sd}(\hat x_g)`. The regression learns where the genes that could be checked departed
    from that.

    .. math:: \hat r_g = \operatorname{sd}(\hat x_g) + \beta_0 + \beta^\top f_g

    Attributes
    ----------
    centre, scale
        Of the descriptions, shape (n_features,).
    coefficients
        The intercept, then one per feature.
    """

    centre: np.ndarray
    scale: np.ndarray
    coefficients: np.ndarray

    @classmethod
    def fit(cls, features: np.ndarray, reached: np.ndarray, spread: np.ndarray) -> Reliability:
        """Learn from hidden genes.

        Parameters
        ----------
        features
            Shape (n_genes, n_features).
        reached
            Correlation of the hidden genes' predictions with the truth, shape (n_genes,).
        spread
            Standard deviation of the calibrated predictions, shape (n_genes,).
        """
        centre, scale = features.mean(0), features.std(0) + 1e-6
        model, n = Ridge(PENALTY).fit((features - centre) / scale, reached - spread), len(reached)
        level = model.intercept_ * n / (n + PRIOR_GENES)
        return cls(centre, scale, np.array([level, *model.coef_]))

    @classmethod
    def out_of_fold(cls, features: np.ndarray, reached: np.ndarray, spread: np.ndarray, fold: np.ndarray) -> np.ndarray:
        """Predicted correlation of each gene from the genes of the other folds, shape (n_genes,)."""
        predicted = np.empty(len(fold))
        for index in np.unique(fold):
            out = fold == index
            model = cls.fit(features[~out], reached[~out], spread[~out])
            predicted[out] = model.predict(features[out], spread[out])
        return predicted

    def predict(self, features: np.ndarray, spread: np.ndarray) -> np.ndarray:
        """Predicted correlation, between -1 and 1, shape (n_genes,)."""
        standardised = np.clip((features - self.centre) / self.scale, -3, 3)
        return np.clip(spread + self.coefficients[0] + standardised @ self.coefficients[1:], -1, 1)

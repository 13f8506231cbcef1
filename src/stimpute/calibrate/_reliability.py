"""How well a gene will be predicted, learnt from genes whose prediction could be checked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import Ridge

PENALTY = 10.0  # as if 10 further genes had shown no effect of any feature
PRIOR_GENES = 100  # and 100 had reached what a calibrated prediction should reach
EXCESS = 0.1  # what counts of a promise that is beyond what any hidden gene has reached
FEW_CELLS = 10  # reference cells with a gene, of which half of what they say of it is chance


@dataclass(frozen=True)
class Reliability:
    r"""Ridge regression from descriptions of a gene's prediction to its correlation with the truth.

    A calibrated prediction :math:`\hat x_g` of standardised expression correlates with the truth as much as it varies:
    :math:`r_g = \operatorname{sd}(\hat x_g)`. The regression learns where the genes that could be checked departed
    from that.

    .. math:: \hat r_g = \sqrt{\frac{k_g}{k_g + 10}} \,
              \bigl(\operatorname{sd}(\hat x_g) + \beta_0 + \beta^\top f_g\bigr)

    What exceeds the best hidden gene counts a tenth, so that hardly more is promised than was ever reached; and a gene
    that only :math:`k_g` reference cells have is known no better than so few cells can tell.

    Attributes
    ----------
    centre, scale
        Of the descriptions, shape (n_features,).
    coefficients
        The intercept, then one per feature.
    best
        What the best hidden gene reached.
    """

    centre: np.ndarray
    scale: np.ndarray
    coefficients: np.ndarray
    best: np.ndarray

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
        return cls(centre, scale, np.array([level, *model.coef_]), np.array(reached.max()))

    @classmethod
    def out_of_fold(
        cls, features: np.ndarray, reached: np.ndarray, spread: np.ndarray, n_seen: np.ndarray, fold: np.ndarray
    ) -> np.ndarray:
        """Predicted correlation of each gene from the genes of the other folds, shape (n_genes,)."""
        predicted = np.empty(len(fold))
        for index in np.unique(fold):
            out = fold == index
            model = cls.fit(features[~out], reached[~out], spread[~out])
            predicted[out] = model.predict(features[out], spread[out], n_seen[out])
        return predicted

    def predict(self, features: np.ndarray, spread: np.ndarray, n_seen: np.ndarray) -> np.ndarray:
        """Predicted correlation, between -1 and 1, shape (n_genes,).

        Parameters
        ----------
        features, spread
            As in :meth:`fit`.
        n_seen
            Reference cells that have the gene, shape (n_genes,).
        """
        standardised = np.clip((features - self.centre) / self.scale, -3, 3)
        predicted = spread + self.coefficients[0] + standardised @ self.coefficients[1:]
        predicted = np.where(predicted > self.best, self.best + EXCESS * (predicted - self.best), predicted)
        return np.clip(predicted, -1, 1) * np.sqrt(n_seen / (n_seen + FEW_CELLS))

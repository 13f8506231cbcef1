"""Describe genes for `crossfit`: relations to the shared genes, and statistics in the reference."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from stimpute.data._metacells import Metacells, gene_statistics
from stimpute.data._reference import Reference
from stimpute.data._relation_store import COEXPRESSION
from stimpute.data._relations import Coexpression
from stimpute.module._gene_graph import whiten
from stimpute.module._precision import DensePrecision, LowRankPrecision, Precision
from stimpute.recipes._crossfit_fit import CrossfitPreparation

N_STATISTICS = 3  # mean, standard deviation and detection rate in the reference
N_DERIVED = 3  # features made from co-expression: signed root, over metacells, transferred to the spatial platform


class GeneFeatures:
    """Features of genes that edge weights and reliability are computed from.

    What depends on the shared genes alone is computed once. Nothing is kept of target genes.

    Parameters
    ----------
    reference
        The reference.
    preparation
        What was fixed before training.
    ridge
        Added to the diagonal of the correlation of the shared genes before it is inverted.
    """

    def __init__(self, reference: Reference, preparation: CrossfitPreparation, ridge: float) -> None:
        self.reference = reference
        self.preparation = preparation
        self.ridge = ridge
        self.metacells = Metacells(reference, preparation.metacell)
        self._spatial_correlations: dict[int | None, tuple[np.ndarray, float]] = {}

    @cached_property
    def coexpression(self) -> Coexpression:
        """Correlation of genes in the reference, whether or not it is among the relations in use."""
        known = self.reference.relations.get(COEXPRESSION)
        if isinstance(known, Coexpression):
            return known
        return Coexpression(self.reference.expression, self.reference.shared)

    @cached_property
    def precision(self) -> Precision:
        """Compute the regularized inverse of the correlation of the shared genes."""
        n_shared = len(self.reference.shared)
        correlation = np.eye(n_shared)
        if COEXPRESSION in self.reference.relations:
            correlation = self.coexpression.similarity(self.reference.shared).astype(np.float64)
            correlation = (correlation + correlation.T) / 2
        inverse = np.linalg.inv(correlation + self.ridge * np.eye(n_shared))
        return DensePrecision(torch.from_numpy(inverse.astype(np.float32)))

    def statistics(self, genes: np.ndarray) -> Tensor:
        """Compute standardized statistics of genes in the reference, shape (n_genes, n_statistics)."""
        statistics = gene_statistics(self.reference.expression, genes)
        return torch.from_numpy(self.preparation.statistics.standardize(statistics))

    def relation_features(self, targets: np.ndarray, fold: int | None) -> Tensor:
        """Compute how target genes relate to the shared genes, shape (n_targets, n_shared, n_features).

        The features are the relations in use and, where co-expression is among them, three more that are made from it.
        """
        features = [relation.similarity(targets) for relation in self.reference.relations.values()]
        if COEXPRESSION in self.reference.relations:
            correlation = features[list(self.reference.relations).index(COEXPRESSION)]
            features.append(np.sign(correlation) * np.sqrt(np.abs(correlation)))
            features.extend(self.metacells.correlations(targets))
            features.append(self._transferred_correlation(correlation, targets, fold))
        if not features:
            return torch.empty(len(targets), len(self.reference.shared), 0)
        return torch.from_numpy(np.stack(features, axis=-1))

    def _transferred_correlation(self, correlation: np.ndarray, targets: np.ndarray, fold: int | None) -> np.ndarray:
        r"""Predict the correlation of targets with the shared genes on the spatial platform by regression.

        .. math:: A_g = C_g P (S - I)

        :math:`C` is the correlation in the reference, :math:`S` that of the shared genes in the spatial cells.
        """
        spatial_correlation, scale = self._spatial_correlation(fold)
        return self._regressed(correlation, targets) @ spatial_correlation * scale

    def _regressed(self, correlation: np.ndarray, targets: np.ndarray) -> np.ndarray:
        position = torch.from_numpy(self.reference.position_among_shared(targets))
        return whiten(torch.from_numpy(correlation), self.precision, position).numpy()

    def _spatial_correlation(self, fold: int | None) -> tuple[np.ndarray, float]:
        """Correlate the shared genes over the probe cells without the diagonal, and scale the result.

        The scale gives the transferred correlations of the shared genes the standard deviation of the original ones.
        """
        if fold not in self._spatial_correlations:
            split = self.preparation.folds.split(fold)
            standardized = self.preparation.scaling.standardize(self.preparation.probe.cells(), split, fold)
            spatial = standardized.T @ standardized / len(standardized)
            np.fill_diagonal(spatial, 0)
            shared = self.reference.shared
            original = self.coexpression.similarity(shared)
            transferred = self._regressed(original, shared) @ spatial
            scale = float(torch.from_numpy(original).std()) / max(float(transferred.std()), 1e-6)
            self._spatial_correlations[fold] = (spatial, scale)
        return self._spatial_correlations[fold]

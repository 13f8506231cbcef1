"""Describe genes for `crossfit`: relations to the shared genes, and statistics in the reference."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from stimpute.data._coexpression import Coexpression
from stimpute.data._metacells import Metacells, gene_statistics
from stimpute.data._reference import Reference
from stimpute.data._relation_store import COEXPRESSION
from stimpute.data._space import sample_cells
from stimpute.module._gene_graph import whiten
from stimpute.module._precision import DensePrecision, LowRankPrecision, Precision
from stimpute.recipes._crossfit_fit import CrossfitPreparation
from stimpute.recipes._options import DataSizes

N_STATISTICS = 3  # mean, standard deviation and detection rate in the reference
MAX_COMPARED = 1000  # shared genes on which the scale of transferred correlations is computed
MIN_UNEXPLAINED = 1e-3  # share of a gene's variance outside of the principal components
N_DERIVED = 3  # features made from co-expression: signed root, over metacells, transferred to the spatial platform


def n_relation_features(sizes: DataSizes) -> int:
    """Count the features of :meth:`GeneFeatures.relation_features`."""
    n_features = len(sizes.relations)
    if COEXPRESSION in sizes.relations:
        n_features += N_DERIVED + sizes.n_datasets - 1  # over the metacells of each dataset
    return n_features


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
        self._spatial_correlations: dict[int | None, SpatialCorrelation] = {}

    @cached_property
    def coexpression(self) -> Coexpression:
        """Correlation of genes in the reference, whether or not it is among the relations in use."""
        known = self.reference.relations.get(COEXPRESSION)
        if isinstance(known, Coexpression):
            return known
        return Coexpression(self.reference.expression, self.reference.shared, n_components=self.reference.n_components)

    @cached_property
    def precision(self) -> Precision:
        r"""Compute :math:`P`, the regularized inverse of the correlation of the shared genes.

        In principal components, the correlation is the product of the loadings, with 1 on the diagonal.
        """
        n_shared = len(self.reference.shared)
        uses_coexpression = COEXPRESSION in self.reference.relations
        if self.reference.n_components is not None:
            loadings = self.coexpression.loadings if uses_coexpression else np.zeros((n_shared, 1), np.float32)
            unexplained = np.maximum(1 - (loadings**2).sum(1), MIN_UNEXPLAINED)
            return LowRankPrecision(torch.from_numpy(loadings), torch.from_numpy(unexplained + self.ridge))
        correlation = np.eye(n_shared)
        if uses_coexpression:
            correlation = self.coexpression.similarity(self.reference.shared).astype(np.float64)
            correlation = (correlation + correlation.T) / 2
            if len(self.reference.expression.datasets) > 1:
                correlation = _positive_part(correlation)
        inverse = np.linalg.inv(correlation + self.ridge * np.eye(n_shared))
        return DensePrecision(torch.from_numpy(inverse.astype(np.float32)))

    def precision_on(self, device: torch.device) -> Precision:
        """Return the precision on a device; the CPU keeps its own, which relation features are computed with."""
        return self.precision if device.type == "cpu" else copy.deepcopy(self.precision).to(device)

    def statistics(self, genes: np.ndarray) -> Tensor:
        """Compute standardized statistics of genes in the reference, shape (n_genes, n_statistics)."""
        statistics = gene_statistics(self.reference.expression, genes)
        return torch.from_numpy(self.preparation.statistics.standardize(statistics))

    def for_training(self) -> Callable[[np.ndarray], Tensor]:
        """Return a function that computes the relation features of shared genes (positions among them).

        Of a small panel those of all genes are kept; of a large one they are computed when they are needed.
        """
        shared = self.reference.shared
        if self.reference.n_components is not None:
            return lambda position: self.relation_features(shared[position], None)
        features = self.relation_features(shared, None)
        return lambda position: features[:, position]

    def relation_features(self, targets: np.ndarray, fold: int | None) -> Tensor:
        """Compute how target genes relate to the shared genes, shape (n_features, n_targets, n_shared).

        The features are the relations in use and, where co-expression is among them, three more that are made from it.
        """
        features = [relation.similarity(targets) for relation in self.reference.relations.values()]
        if COEXPRESSION in self.reference.relations:
            correlation = features[list(self.reference.relations).index(COEXPRESSION)]
            features.append(np.sign(correlation) * np.sqrt(np.abs(correlation)))
            features.extend(self.metacells.correlations(targets, self.preparation.agreement.is_beyond_chance))
            features.append(self._transferred_correlation(correlation, targets, fold))
        if not features:
            return torch.empty(0, len(targets), len(self.reference.shared))
        return torch.from_numpy(np.stack(features))

    def _transferred_correlation(self, correlation: np.ndarray, targets: np.ndarray, fold: int | None) -> np.ndarray:
        r"""Predict the correlation of targets with the shared genes on the spatial platform by regression.

        .. math:: A_g = C_g P (S - I)

        :math:`C` is the correlation in the reference, :math:`S` that of the shared genes in the spatial cells.
        """
        return self._spatial_correlation(fold).multiply(self._regressed(correlation, targets))

    def _regressed(self, correlation: np.ndarray, targets: np.ndarray) -> np.ndarray:
        position = torch.from_numpy(self.reference.position_among_shared(targets))
        return whiten(torch.from_numpy(correlation), self.precision, position).numpy()

    @cached_property
    def _of_shared(self) -> tuple[float, np.ndarray]:
        """Standard deviation of the correlations of (at most 1000) shared genes, and their regression."""
        shared = self.reference.shared
        targets = shared[sample_cells(np.arange(len(shared)), MAX_COMPARED)]
        correlation = self.coexpression.similarity(targets)
        # The standard deviation that it is divided by, in `_spatial_correlation`, is NumPy's, over n in place of n - 1
        # values. The scale is larger by 1 / (2 n) for that, with n the number of pairs of genes.
        return float(torch.from_numpy(correlation).std()), self._regressed(correlation, targets)

    def _spatial_correlation(self, fold: int | None) -> SpatialCorrelation:
        """Return the correlation of the shared genes over the probe cells.

        The scale gives the transferred correlations of the shared genes the standard deviation of the original ones.
        """
        if fold not in self._spatial_correlations:
            preparation = self.preparation
            split = preparation.folds.split(fold)
            standardized = preparation.scaling.standardize(preparation.probe.cells(), split, fold)
            original_std, regressed = self._of_shared
            transferred_std = float(SpatialCorrelation(standardized, 1.0).multiply(regressed).std())
            scale = original_std / max(transferred_std, 1e-6)
            self._spatial_correlations[fold] = SpatialCorrelation(standardized, scale)
        return self._spatial_correlations[fold]


def _positive_part(correlation: np.ndarray) -> np.ndarray:
    """Set negative eigenvalues to 0, which a matrix can have whose entries come from different datasets."""
    values, vectors = np.linalg.eigh(correlation)
    return (vectors * np.maximum(values, 0)) @ vectors.T


@dataclass(frozen=True)
class SpatialCorrelation:
    """Correlation of the shared genes over spatial cells without its diagonal, times a scale.

    Attributes
    ----------
    standardized
        Expression of the shared genes, shape (n_cells, n_shared).
    scale
        The scale.
    """

    standardized: np.ndarray
    scale: float

    def multiply(self, x: np.ndarray) -> np.ndarray:
        """Multiply with values, shape (..., n_shared); the matrix of all pairs of genes is not computed."""
        cells = self.standardized
        return ((x @ cells.T) @ cells / len(cells) - x * self._variance) * np.float32(self.scale)

    @cached_property
    def _variance(self) -> np.ndarray:
        return np.square(self.standardized).mean(0)

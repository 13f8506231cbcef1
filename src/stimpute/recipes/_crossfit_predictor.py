"""Predict genes with a trained `crossfit`: three matrix products for each chunk of cells and genes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from stimpute.calibrate._intervals import Intervals
from stimpute.calibrate._moments import MIN_STD
from stimpute.data._knn import nearest_by_cosine
from stimpute.data._metacells import standardized_blocks
from stimpute.data._normalize import standardize
from stimpute.data._reference import Reference
from stimpute.data._spatial import SpatialCells
from stimpute.module._module import StImputeModule
from stimpute.recipes._crossfit_ensemble import (
    LOG_Z_SCORE_STD,
    CellBlock,
    CrossfitCellEncoder,
    CrossfitEnsemble,
    GeneWeights,
)
from stimpute.recipes._crossfit_fit import CrossfitFit
from stimpute.recipes._options import OutputOptions
from stimpute.recipes._predictor import Predictor

CELLS_PER_BLOCK = 1024  # that are dense at once
DEFAULT_NEIGHBORS = 50  # reference cells that are returned for a spatial cell


@dataclass(frozen=True)
class CrossfitGeneBlock:
    """Everything that is needed to predict some genes; see :class:`~stimpute.recipes.GeneBlock`.

    Attributes
    ----------
    table
        One row per gene: reliability, effective number of edges, expected mean and standard deviation on the spatial
        platform, and standard deviation of the z-score.
    weights
        Edge weights and metacell profiles.
    slope
        Factor on the z-score.
    intervals
        Quantiles of the residual.
    """

    table: pd.DataFrame
    weights: GeneWeights
    slope: float
    intervals: Intervals

    def take(self, genes: np.ndarray) -> CrossfitGeneBlock:
        """See :class:`~stimpute.recipes.GeneBlock`."""
        table = self.table.iloc[genes].reset_index(drop=True)
        chosen = torch.from_numpy(genes).to(self.weights.profiles.device)
        weights = GeneWeights(self.weights.edge_weights[:, chosen], self.weights.profiles[:, chosen])
        return CrossfitGeneBlock(table, weights, self.slope, self.intervals)

    def predict(self, cells: CellBlock, options: OutputOptions) -> dict[str, np.ndarray]:
        """See :class:`~stimpute.recipes.GeneBlock`."""
        z_score = self.weights.z_score(cells)
        mean = self.table["expected_mean"].to_numpy(np.float32)
        std = self.table["expected_std"].to_numpy(np.float32)
        z_score_std = np.maximum(self.table["z_score_std"].to_numpy(np.float32), MIN_STD)
        values = {}
        if options.variance == "matched":
            values["X"] = np.maximum(mean + std * z_score / z_score_std, 0)
        shrunken = z_score  # in its place: new memory takes time
        shrunken *= std * self.slope
        shrunken += mean
        np.maximum(shrunken, 0, out=shrunken)
        values.setdefault("X", shrunken)
        if options.interval is not None:
            central = self.intervals.central(options.interval, mean, std * self.slope * z_score_std)
            values["lower"], values["upper"] = self.intervals.bounds(shrunken, std, cells.molecule, central)
        return values


class CrossfitPredictor(Predictor):
    """Trained networks with their calibration; see :class:`~stimpute.recipes.Predictor`."""

    def __init__(
        self,
        fit: CrossfitFit,
        reference: Reference | None,
        module: StImputeModule,
        *,
        ridge: float,
        use_attention: bool,
        n_spatial_neighbors: int,
    ) -> None:
        self.fit = fit
        self.module = module
        self.folds = fit.preparation.folds
        self.n_spatial_neighbors = n_spatial_neighbors if fit.preparation.uses_space else None
        self.highest_interval = fit.calibration.intervals.highest
        if reference is not None:
            self.ensemble = CrossfitEnsemble(
                fit.preparation, reference, module, ridge=ridge, use_attention=use_attention
            )

    def cell_encoder(self, fold: int | None) -> CrossfitCellEncoder:
        """See :class:`~stimpute.recipes.Predictor`."""
        return self.ensemble.cell_encoder(fold)

    def gene_block(self, targets: np.ndarray, fold: int | None) -> CrossfitGeneBlock:
        """See :class:`~stimpute.recipes.Predictor`."""
        weights = self.ensemble.gene_weights(targets, fold)
        table = self._new_genes(targets, weights) if fold is None else self._shared_genes(targets)
        varies = self.ensemble.reference.expression.std[targets] > 0
        table["reliability"] = np.where(varies, table["reliability"], 0.0)
        table.insert(1, "n_edges", effective_number(weights.edge_weights))
        calibration = self.fit.calibration
        return CrossfitGeneBlock(table, weights, calibration.slope, calibration.intervals)

    def reference_block(self, targets: np.ndarray, fold: int | None) -> CrossfitGeneBlock:
        """See :class:`~stimpute.recipes.Predictor`: by attention alone, unless the recipe uses none."""
        block = self.gene_block(targets, fold)
        if not self.ensemble.use_attention:
            return block
        no_edges = torch.zeros_like(block.weights.edge_weights)
        return replace(block, weights=GeneWeights(no_edges, block.weights.profiles))

    def _new_genes(self, targets: np.ndarray, weights: GeneWeights) -> pd.DataFrame:
        """Describe genes that were not trained on."""
        calibration = self.fit.calibration
        features = self.ensemble.reliability_features(targets, weights.parts(self._probe))
        mean, std = calibration.moments.predict(self.ensemble.level_statistics(targets, self._probe))
        z_score_std = np.exp(features[:, LOG_Z_SCORE_STD])
        n_expressing = self.ensemble.reference.n_cells_expressing(targets)
        reliability = calibration.reliability.predict(features, calibration.slope * z_score_std, n_expressing)
        columns = {"reliability": reliability, "expected_mean": mean, "expected_std": std, "z_score_std": z_score_std}
        return pd.DataFrame(columns)

    def _shared_genes(self, targets: np.ndarray) -> pd.DataFrame:
        """Describe shared genes as they were described when they were held out."""
        position = self.ensemble.reference.position_among_shared(targets)
        known = self.fit.calibration.out_of_fold
        columns = {
            "reliability": known.reliability[position],
            "expected_mean": known.mean[position],
            "expected_std": known.std[position],
            "z_score_std": known.z_score_std[position],
        }
        return pd.DataFrame(columns)

    @cached_property
    def _probe(self) -> CellBlock:
        """Encode the probe cells with nothing held out."""
        preparation = self.fit.preparation
        split = preparation.folds.split(None)
        cells = preparation.probe.cells()
        inputs = list(preparation.scaling.inputs(cells.chunk(np.arange(len(cells))), split, None))
        if preparation.probe_niche is not None:
            inputs.append(preparation.probe_niche)
        molecule = preparation.scaling.molecule(cells, split, None)
        return self.cell_encoder(None).encode_inputs(np.stack(inputs), molecule)

    # ------------------------------------------------------------ latent space

    @torch.inference_mode()
    def embed_spatial(self, cells: SpatialCells) -> np.ndarray:
        """See :class:`~stimpute.recipes.LatentSpace`."""
        return self._embed_spatial(cells).cpu().numpy()

    @torch.inference_mode()
    def embed_reference(self, shared: np.ndarray | None = None, dataset: np.ndarray | None = None) -> np.ndarray:
        """See :class:`~stimpute.recipes.LatentSpace`."""
        if shared is None:
            return self._reference_latent.cpu().numpy()
        reference = self.ensemble.reference
        if dataset is None:
            dataset = np.zeros(len(shared), dtype=int)
        standardized = np.empty_like(shared, dtype=np.float32)
        for number in np.unique(dataset):
            scale = reference.expression.datasets[number]
            rows = dataset == number
            standardized[rows] = standardize(shared[rows], scale.mean[reference.shared], scale.std[reference.shared])
        return self._embed_profiles(standardized).cpu().numpy()

    def nearest_reference_cells(self, cells: SpatialCells, k: int | None) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`~stimpute.recipes.LatentSpace`."""
        base = self._reference_latent
        return nearest_by_cosine(self._embed_spatial(cells), base, k or min(DEFAULT_NEIGHBORS, len(base)))

    @torch.inference_mode()
    def _embed_spatial(self, cells: SpatialCells) -> Tensor:
        preparation = self.fit.preparation
        split = preparation.folds.split(None)
        blocks = []
        for start in range(0, len(cells), CELLS_PER_BLOCK):
            rows = np.arange(start, min(start + CELLS_PER_BLOCK, len(cells)))
            x = torch.from_numpy(preparation.scaling.standardize(cells[rows], split, None)).to(self.module.device)
            z = self.module["autoencoder"].embed_cells(x, self._all_genes)
            blocks.append(F.normalize(z.mean(0), dim=-1))
        return torch.cat(blocks)

    @torch.inference_mode()
    def _embed_profiles(self, standardized: np.ndarray) -> Tensor:
        on_device = torch.from_numpy(standardized).to(self.module.device)
        z = self.module["autoencoder"].embed_reference(on_device, self._all_genes)
        return F.normalize(z.mean(0), dim=-1)

    @property
    def _all_genes(self) -> Tensor:
        """A mask that hides no gene."""
        return torch.ones(len(self.folds.fold_of_gene), device=self.module.device)

    @cached_property
    def _reference_latent(self) -> Tensor:
        reference = self.ensemble.reference
        by_dataset = []
        for dataset in reference.expression.datasets:
            blocks = [self._embed_profiles(block).cpu() for block in standardized_blocks(dataset, reference.shared)]
            by_dataset.append(torch.cat(blocks).numpy())
        return torch.from_numpy(reference.expression.in_order(by_dataset)).to(self.module.device)


def effective_number(edge_weights: Tensor) -> np.ndarray:
    """Count the genes that effectively contribute to each target, shape (n_genes,).

    The inverse participation ratio of absolute edge weights: n equal weights count as n.
    """
    weights = edge_weights.abs().sum(0).cpu().numpy()
    effective = weights.sum(1) ** 2 / np.maximum((weights**2).sum(1), 1e-12)
    return effective.round().astype(int)

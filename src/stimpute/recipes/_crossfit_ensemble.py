"""Encode cells and weigh genes with the networks of `crossfit`, during training and afterwards."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stimpute.calibrate._moments import MIN_STD
from stimpute.data._folds import GeneSplit
from stimpute.data._metacells import gene_statistics
from stimpute.data._reference import Reference
from stimpute.data._spatial import CellChunk
from stimpute.module._attention import MeanAttention
from stimpute.module._gene_graph import whiten
from stimpute.module._module import StImputeModule
from stimpute.recipes._crossfit_fit import CrossfitPreparation, SharedGeneScaling
from stimpute.recipes._crossfit_genes import GeneFeatures

N_FEATURES = 8  # of a gene, see `CrossfitEnsemble.reliability_features`
LOG_Z_SCORE_STD = 0  # column of these features
PAIRS_PER_BLOCK = 2**18  # of target and shared genes, whose edge weights are computed at once
MIN_BLOCK = 64  # target genes
N_STRONGEST = 3  # relations whose mean strength describes how well a gene is connected


@dataclass(frozen=True)
class CellBlock:
    """A chunk of encoded cells.

    Attributes
    ----------
    attention
        Attention weights, mean over the members, shape (n_cells, n_metacells).
    inputs
        Standardized shared genes of the cells and of their niches, shape (n_inputs, n_cells, n_shared).
    molecule
        Value of one molecule in each cell, shape (n_cells,).
    """

    attention: Tensor
    inputs: Tensor
    molecule: np.ndarray


@dataclass(frozen=True)
class GeneWeights:
    """What turns a cell block into z-scores of some genes.

    Attributes
    ----------
    edge_weights
        Weights of the shared genes, for the cell and its niche, shape (n_inputs, n_genes, n_shared).
    profiles
        Standardized expression in the metacells, shape (n_metacells, n_genes).
    """

    edge_weights: Tensor
    profiles: Tensor

    @torch.inference_mode()
    def parts(self, cells: CellBlock) -> list[Tensor]:
        """Compute the parts of the z-score, from attention and from each input, shape (n_cells, n_genes) each."""
        parts = [cells.attention @ self.profiles]
        for expression, weights in zip(cells.inputs, self.edge_weights, strict=True):
            parts.append(expression @ weights.T)
        return parts

    @torch.inference_mode()
    def z_score(self, cells: CellBlock) -> np.ndarray:
        """Predict standardized expression, the sum of the parts, float32, shape (n_cells, n_genes)."""
        total = cells.attention @ self.profiles
        for expression, weights in zip(cells.inputs, self.edge_weights, strict=True):
            total.addmm_(expression, weights.T)
        return total.cpu().numpy()


@dataclass(frozen=True)
class CrossfitCellEncoder:
    """Encode cells with one fold of the genes held out; see :class:`~stimpute.recipes.CellEncoder`.

    Attributes
    ----------
    scaling, split, fold
        Normalization of the cells.
    attention
        Mean attention of the members that did not learn from the held-out genes.
    use_attention
        Whether attention takes part in the prediction.
    """

    scaling: SharedGeneScaling
    split: GeneSplit
    fold: int | None
    attention: MeanAttention
    use_attention: bool

    def encode(self, chunk: CellChunk) -> CellBlock:
        """Standardize the cells, average their spatial neighbors, and compute attention."""
        molecule = self.scaling.molecule(chunk.cells, self.split, self.fold)[chunk.rows]
        return self.encode_inputs(self.scaling.inputs(chunk, self.split, self.fold), molecule)

    @torch.inference_mode()
    def encode_inputs(self, inputs: np.ndarray, molecule: np.ndarray) -> CellBlock:
        """Compute attention from standardized inputs, shape (n_inputs, n_cells, n_shared)."""
        on_device = torch.from_numpy(inputs).to(self.attention.keys.device)
        attention = self.attention(on_device[0])
        if not self.use_attention:
            attention.zero_()
        return CellBlock(attention, on_device, molecule)


class CrossfitEnsemble:
    """The networks of `crossfit` with the data that they read.

    Every shared gene is held out by one member of the ensemble, which never learned from it: with a fold held out, that
    member alone is used, otherwise all are averaged. Predictions are linear in a member's weights, so that members
    are averaged before cells and genes meet: the cost of a value does not grow with the ensemble.

    Parameters
    ----------
    preparation
        What was fixed before training.
    reference
        The reference.
    module
        The networks, trained or in training.
    ridge
        See :class:`GeneFeatures`.
    use_attention
        Whether attention takes part in the prediction.
    """

    def __init__(
        self,
        preparation: CrossfitPreparation,
        reference: Reference,
        module: StImputeModule,
        *,
        ridge: float,
        use_attention: bool,
    ) -> None:
        self.preparation = preparation
        self.reference = reference
        self.module = module
        self.use_attention = use_attention
        self.features = GeneFeatures(reference, preparation, ridge)

    @torch.inference_mode()
    def cell_encoder(self, fold: int | None) -> CrossfitCellEncoder:
        """Return the encoder of cells with a fold held out."""
        device = self.module.device
        split = self.preparation.folds.split(fold)
        mask = torch.from_numpy(split.mask()).to(device)
        profiles = torch.from_numpy(self.features.metacells.shared_profiles).to(device)
        dataset = torch.from_numpy(self.features.metacells.dataset).to(device)
        attention = self.module["autoencoder"].mean_attention(profiles, mask, self._members(fold), dataset)
        return CrossfitCellEncoder(self.preparation.scaling, split, fold, attention, self.use_attention)

    def _members(self, fold: int | None) -> Tensor:
        if fold is None:
            return torch.arange(len(self.preparation.folds))
        return torch.tensor([fold])

    def gene_weights(self, targets: np.ndarray, fold: int | None) -> GeneWeights:
        """Compute edge weights and metacell profiles of target genes."""
        profiles = torch.from_numpy(self.features.metacells.profiles(targets)).to(self.module.device)
        size = max(MIN_BLOCK, PAIRS_PER_BLOCK // len(self.reference.shared))
        blocks = [self._edge_weights(targets[i : i + size], fold) for i in range(0, len(targets), size)]
        return GeneWeights(torch.cat(blocks, dim=1), profiles)

    @torch.inference_mode()
    def _edge_weights(self, targets: np.ndarray, fold: int | None) -> Tensor:
        """Compute the mean of the members' edge weights, shape (n_inputs, n_targets, n_shared)."""
        device = self.module.device
        shared = self.reference.shared
        n_inputs = 2 if self.preparation.uses_space else 1
        if not self.reference.relations:
            return torch.zeros(n_inputs, len(targets), len(shared), device=device)
        features = self.features.relation_features(targets, fold).to(device)
        target = self.features.statistics(targets).to(device)
        source = self.features.statistics(shared).to(device)
        graph = self.module["graph"]
        # One member at a time: the hidden layer of all at once would be large.
        by_member = [graph(features, target, source, int(member))[0, :n_inputs] for member in self._members(fold)]
        weights = torch.stack(by_member).mean(0)
        position = torch.from_numpy(self.reference.position_among_shared(targets)).to(device)
        return whiten(weights, self.features.precision_on(device), position)

    @torch.inference_mode()
    def reliability_features(self, targets: np.ndarray, parts: list[Tensor]) -> np.ndarray:
        """Describe the prediction of genes, shape (n_targets, n_features), by its parts in the probe cells.

        The features are the log standard deviation of the z-score and of its two main parts, the correlation of these
        parts, the mean strength of the strongest relations to shared genes, and the statistics in the reference.
        """
        z_score = add_parts(parts)
        attention_part, cell_part = parts[:2]
        log_stds = [log_std(part) for part in (z_score, attention_part, cell_part)]
        unit_parts = [F.normalize(part - part.mean(0), dim=0) for part in (attention_part, cell_part)]
        agreement = (unit_parts[0] * unit_parts[1]).sum(0).cpu().numpy()
        relations = self.features.coexpression.similarity(targets)
        position = self.reference.position_among_shared(targets)
        relations[position[:, None] == np.arange(relations.shape[1])] = 0  # not the relation of a gene to itself
        strongest = np.partition(np.abs(relations), -N_STRONGEST, axis=1)[:, -N_STRONGEST:].mean(1)
        return np.column_stack([*log_stds, agreement, strongest, self.features.statistics(targets).numpy()])

    def level_statistics(self, targets: np.ndarray, probe: CellBlock) -> np.ndarray:
        """Compute statistics of target genes that their levels are predicted from, shape (n_targets, 6).

        These are mean, standard deviation and detection rate in the reference, and the same over reference cells
        that are weighted by the mean attention of the probe cells: the reference as the section resembles it.
        """
        expression = self.reference.expression
        attention = probe.attention.mean(0).cpu().numpy().astype(np.float64)
        matched = self.features.metacells.weighted_statistics(targets, attention)
        return np.column_stack([gene_statistics(expression, targets), matched])


def add_parts(parts: list[Tensor]) -> Tensor:
    """Add the parts of a z-score in their order."""
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def log_std(z_score: Tensor) -> np.ndarray:
    """Compute the log standard deviation over cells, bounded from below, shape (n_genes,)."""
    return np.log(z_score.std(0, correction=0).cpu().numpy() + MIN_STD)

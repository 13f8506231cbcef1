"""Embed cells, find reference neighbors, aggregate over genes and blend, as `paper` does with a fold held out."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from torch import Tensor

from stimpute.data._folds import GeneSplit
from stimpute.data._knn import in_double_precision, nearest_by_cosine
from stimpute.data._reference import Reference
from stimpute.data._relations import row_normalized
from stimpute.data._spatial import CellChunk, SpatialCells
from stimpute.module._autoencoder import Autoencoder
from stimpute.module._module import StImputeModule
from stimpute.module._neighbor_graph import NeighborGraphNetwork
from stimpute.recipes._options import OutputOptions
from stimpute.recipes._paper_fit import PaperPreparation
from stimpute.recipes._paper_scale import rescale

CHUNK_ELEMENTS = 2**22  # of targets × cells × neighbors held at once: 16 MB


@dataclass(frozen=True)
class CellBlock:
    """A chunk of encoded cells.

    Attributes
    ----------
    neighbors
        Nearest reference cells, shape (n_cells, k).
    source_states
        States of the input genes for each layer, shape (n_inputs, n_cells, width) each.
    """

    neighbors: np.ndarray
    source_states: list[Tensor]


@dataclass(frozen=True)
class PaperGeneBlock:
    """Everything that is needed to predict some genes; see :class:`~stimpute.recipes.GeneBlock`.

    Attributes
    ----------
    table
        One row per gene: reliability and number of edges.
    expression
        The genes in the reference cells, scaled, CSR, shape (n_genes, n_reference).
    adjacency
        Edge weights from the input genes, shape (n_genes, n_inputs).
    graph
        The graph network.
    alpha
        Share of the graph network in the output.
    """

    table: pd.DataFrame
    expression: sparse.csr_matrix
    adjacency: np.ndarray
    graph: NeighborGraphNetwork
    alpha: float

    def take(self, genes: np.ndarray) -> PaperGeneBlock:
        """See :class:`~stimpute.recipes.GeneBlock`."""
        table = self.table.iloc[genes].reset_index(drop=True)
        return replace(self, table=table, expression=self.expression[genes], adjacency=self.adjacency[genes])

    def predict(self, cells: CellBlock, options: OutputOptions) -> dict[str, np.ndarray]:
        """See :class:`~stimpute.recipes.GeneBlock`."""
        return {"X": self.blend(cells)}

    @torch.inference_mode()
    def blend(self, cells: CellBlock) -> np.ndarray:
        """Blend the graph network and the mean of the neighbors (eq. 12), shape (n_cells, n_genes)."""
        device = self.graph.device
        neighbors = torch.from_numpy(cells.neighbors).to(device)
        weights = torch.from_numpy(self.adjacency).to(device)
        n_genes = len(self.adjacency)
        step = max(1, CHUNK_ELEMENTS // max(1, cells.neighbors.size))
        blended = []
        for start in range(0, n_genes, step):
            part = slice(start, start + step)
            expression = torch.from_numpy(self.expression[part].toarray()).to(device)[:, neighbors]
            network = self.graph.predict_targets(expression, cells.source_states, weights[part])
            blended.append(self.alpha * network + (1 - self.alpha) * expression.mean(2).T)
        return torch.cat(blended, 1).cpu().numpy()


@dataclass(frozen=True)
class PaperCellEncoder:
    """Everything that is needed to encode cells; see :class:`~stimpute.recipes.CellEncoder`.

    Of the reference it holds the latent representation, and the input genes.

    Attributes
    ----------
    split, target_sum
        Normalization of the cells.
    autoencoder, graph
        The networks.
    reference_latent
        Latent representation of the reference cells, shape (n_reference, n_latent).
    expression
        Input genes in the reference cells, scaled, shape (n_inputs, n_reference).
    adjacency
        Edge weights between input genes, shape (n_inputs, n_inputs).
    n_neighbors
        Number of reference cells per spatial cell.
    """

    split: GeneSplit
    target_sum: float
    autoencoder: Autoencoder
    graph: NeighborGraphNetwork
    reference_latent: Tensor
    expression: Tensor
    adjacency: Tensor
    n_neighbors: int

    @torch.inference_mode()
    def encode(self, chunk: CellChunk) -> CellBlock:
        """Find the neighbors of cells, and compute the states of their input genes."""
        shared = chunk.cells[chunk.rows].log_normalized(self.split, self.target_sum)
        latent = embed(self.autoencoder, shared, self.split)
        neighbors, _ = nearest_by_cosine(latent, self.reference_latent, self.n_neighbors)
        in_neighbors = self.expression[:, torch.from_numpy(neighbors).to(self.expression.device)]
        return CellBlock(neighbors, self.graph.source_states(in_neighbors, self.adjacency))


class PaperView:
    """Cells and genes as the networks see them with one fold of the genes held out.

    Parameters
    ----------
    preparation
        What was fixed before training.
    reference
        The reference.
    module
        The networks, trained or in training.
    n_neighbors
        Number of reference cells per spatial cell.
    fold
        The fold that is held out; None for none.
    """

    def __init__(
        self,
        preparation: PaperPreparation,
        reference: Reference,
        module: StImputeModule,
        n_neighbors: int,
        fold: int | None,
    ) -> None:
        self.preparation = preparation
        self.reference = reference
        self.module = module
        self.n_neighbors = n_neighbors
        self.split = preparation.folds.split(fold)
        self.target_sum = preparation.target_sum[fold]
        self.factor = preparation.reference_factor[fold]

    def log_normalized(self, cells: SpatialCells) -> np.ndarray:
        """Log-normalize the shared genes, shape (n_cells, n_shared)."""
        return cells.log_normalized(self.split, self.target_sum)

    def scaled_rows(self, genes: np.ndarray) -> sparse.csr_matrix:
        """Return genes in the reference cells, scaled to the spatial cells' total, CSR, shape (n_genes, n_cells)."""
        rows = self.reference.expression.datasets[0].by_gene[genes]
        rows.data = rescale(rows.data, self.factor)
        return rows

    def reference_expression(self, genes: np.ndarray) -> np.ndarray:
        """Return :meth:`scaled_rows` as a dense array."""
        return self.scaled_rows(genes).toarray()

    @cached_property
    def reference_latent(self) -> Tensor:
        """Embed the reference cells, shape (n_reference, n_latent)."""
        shared = self.reference_expression(self.reference.shared).T
        return embed(self.module["autoencoder"], shared, self.split)

    def nearest_reference_cells(self, cells: SpatialCells, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Find the nearest reference cells and their cosines, each of shape (n_cells, k)."""
        latent = embed(self.module["autoencoder"], self.log_normalized(cells), self.split)
        return nearest_by_cosine(latent, self.reference_latent, k)

    def adjacency(self, targets: np.ndarray) -> np.ndarray:
        """Compute the gene graph from input genes to targets (eq. 4 to 6), shape (n_targets, n_inputs)."""
        (relation,) = self.reference.relations.values()
        position = self.reference.position_among_shared(targets)
        return row_normalized(relation.similarity(targets), position, self.split.inputs)

    def cell_encoder(self) -> PaperCellEncoder:
        """Collect everything that is needed to encode cells."""
        inputs = self.reference.shared[self.split.inputs]
        device = self.module.device
        return PaperCellEncoder(
            split=self.split,
            target_sum=self.target_sum,
            autoencoder=self.module["autoencoder"],
            graph=self.module["graph"],
            reference_latent=self.reference_latent,
            expression=torch.from_numpy(self.reference_expression(inputs)).to(device),
            adjacency=torch.from_numpy(self.adjacency(inputs)).to(device),
            n_neighbors=self.n_neighbors,
        )

    def gene_block(self, targets: np.ndarray, table: pd.DataFrame | None = None) -> PaperGeneBlock:
        """Collect everything that is needed to predict target genes."""
        adjacency = self.adjacency(targets)
        if table is None:
            table = pd.DataFrame(index=range(len(targets)))
        expression = self.scaled_rows(targets)
        return PaperGeneBlock(table, expression, adjacency, self.module["graph"], self.preparation.alpha)

    def probe_profiles(self, targets: np.ndarray) -> np.ndarray:
        """Predict target genes in the probe cells, shape (n_probe, n_targets)."""
        return self.gene_block(targets).blend(self._probe)

    @cached_property
    def _probe(self) -> CellBlock:
        probe = self.preparation.probe.cells()
        return self.cell_encoder().encode(probe.chunk(np.arange(len(probe))))


@torch.inference_mode()
def embed(autoencoder: Autoencoder, shared: np.ndarray, split: GeneSplit) -> Tensor:
    """Embed cells from the shared genes, with held-out genes set to zero, shape (n_cells, n_latent), float64.

    Double precision is for the neighbors, see :func:`~stimpute.data._knn.nearest_by_cosine`.
    """
    masked = torch.from_numpy(shared).to(autoencoder.device, copy=True)
    masked[:, split.held_out] = 0
    masked = in_double_precision(masked)
    return copy.deepcopy(autoencoder.encoder).to(masked.device).double()(masked)

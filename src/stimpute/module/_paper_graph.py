"""The paper's network: from the expression of a cell's neighbours to its own, along the gene graph."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from scvi import REGISTRY_KEYS
from scvi.module.base import BaseModuleClass, LossOutput, auto_move_data
from torch import Tensor, nn

from stimpute.module._sage import NodeMajorSAGEConv

NEIGHBOURS_KEY = "neighbours"


class NeighbourGraphNetwork(BaseModuleClass):
    r"""Two GraphSAGE layers and an MLP over the genes of a cell (eq. 7 to 9).

    A gene enters with its expression in the cell's k nearest reference cells. Every layer hears the mean of the
    measured genes, weighted by the gene graph. Measured genes are computed once per cell (:meth:`sources`) and serve
    any number of target genes.

    Parameters
    ----------
    n_neighbors
        Reference cells per spatial cell, the features of a gene.
    n_hidden
        Width of the layers.
    n_layers
        Number of GraphSAGE layers.
    n_panel
        Genes of the panel, for the buffer that holds their graph.
    normalize
        Scale every node to unit length after each layer, as the published code does.
    similarity_weight, residual_weight
        Weights of :math:`L_{sim}` and :math:`L_{res}` in eq. 10.
    """

    adjacency: Tensor

    def __init__(
        self,
        n_neighbors: int,
        n_hidden: int,
        n_layers: int,
        n_panel: int,
        *,
        normalize: bool = False,
        similarity_weight: float = 2.0,
        residual_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.normalize = normalize
        self.similarity_weight, self.residual_weight = similarity_weight, residual_weight
        widths = [n_neighbors] + [n_hidden] * n_layers
        self.layers = nn.ModuleList(NodeMajorSAGEConv(a, b) for a, b in zip(widths[:-1], widths[1:], strict=True))
        # The text gives neither depth nor activation of eq. 9: a single layer, since few genes teach it their
        # magnitudes, and softplus, which is positive as expression is and, unlike a ReLU, cannot die for all genes.
        last = nn.Linear(n_hidden, 1)
        self.readout = nn.Sequential(last, nn.Softplus())
        nn.init.constant_(last.bias, 0.5)  # starts near 1, a usual log expression
        self.register_buffer("adjacency", torch.zeros(n_panel, n_panel))

    def _get_inference_input(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"neighbours": tensors[NEIGHBOURS_KEY]}

    def _get_generative_input(self, tensors: dict[str, Tensor], inference_outputs: dict) -> dict[str, Tensor]:
        return {"hidden": inference_outputs["hidden"]}

    @auto_move_data
    def inference(self, neighbours: Tensor) -> dict[str, Tensor]:
        """Hidden states of the whole panel, every gene of which hears every other.

        Parameters
        ----------
        neighbours
            Expression in the neighbours, shape (n_panel, n_cells, k).
        """
        hidden = neighbours
        for layer in self.layers:
            hidden = self._activate(layer(hidden, hidden, self.adjacency))
        return {"hidden": hidden}

    @auto_move_data
    def generative(self, hidden: Tensor) -> dict[str, Tensor]:
        """Expression, shape (n_cells, n_genes), from hidden states, shape (n_genes, n_cells, n_hidden)."""
        return {"expression": self.readout(hidden).squeeze(-1).T}

    def sources(self, neighbours: Tensor, adjacency: Tensor) -> list[Tensor]:
        """What the visible genes say at each layer; the last layer is heard by nobody.

        Parameters
        ----------
        neighbours
            Shape (n_visible, n_cells, k).
        adjacency
            Shape (n_visible, n_visible).
        """
        said = [neighbours]
        for layer in self.layers[:-1]:
            said.append(self._activate(layer(said[-1], said[-1], adjacency)))
        return said

    def listen(self, neighbours: Tensor, said: list[Tensor], adjacency: Tensor) -> Tensor:
        """Expression of target genes, shape (n_cells, n_targets), that hear the visible genes.

        Parameters
        ----------
        neighbours
            Expression of the targets in the neighbours, shape (n_targets, n_cells, k).
        said
            From :meth:`sources`.
        adjacency
            Shape (n_targets, n_visible).
        """
        hidden = neighbours
        for layer, heard in zip(self.layers, said, strict=True):
            hidden = self._activate(layer(heard, hidden, adjacency))
        return self.generative(hidden)["expression"]

    def _activate(self, hidden: Tensor) -> Tensor:
        hidden = F.relu(hidden)
        return F.normalize(hidden, dim=-1) if self.normalize else hidden

    def loss(self, tensors: dict[str, Tensor], inference_outputs: dict, generative_outputs: dict) -> LossOutput:
        """Eq. 10: one minus the centred cosine over cells and over genes, and the squared error."""
        truth, predicted = tensors[REGISTRY_KEYS.X_KEY], generative_outputs["expression"]
        by_cell = 1 - centred_cosine(predicted, truth, dim=1).mean()
        by_gene = 1 - centred_cosine(predicted, truth, dim=0).mean()
        residual = F.mse_loss(predicted, truth)
        loss = self.similarity_weight * (by_cell + by_gene) + self.residual_weight * residual
        return LossOutput(loss=loss, n_obs_minibatch=len(truth), extra_metrics={"residual": residual.detach()})


def centred_cosine(a: Tensor, b: Tensor, dim: int) -> Tensor:
    """Pearson correlation along a dimension; 0 where either side is constant."""
    return F.cosine_similarity(a - a.mean(dim, keepdim=True), b - b.mean(dim, keepdim=True), dim=dim, eps=1e-6)

"""Define the paper's graph network: predict a cell from its reference neighbors, along the gene graph."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from scvi import REGISTRY_KEYS
from scvi.module.base import BaseModuleClass, LossOutput, auto_move_data
from torch import Tensor, nn

from stimpute.module._sage import NodeMajorSAGEConv

NEIGHBORS_KEY = "neighbors"
INITIAL_BIAS = 0.5  # the output starts near 1, a usual log-normalized expression


class NeighborGraphNetwork(BaseModuleClass):
    r"""Apply GraphSAGE layers and a readout to the genes of a cell (eq. 7 to 9).

    The features of a gene are its expression in the cell's k nearest reference cells. In every layer a gene aggregates
    the mean of the input genes, weighted by the gene graph. The states of the input genes are computed once per cell
    (:meth:`source_states`) and serve any number of target genes.

    Parameters
    ----------
    n_neighbors
        Reference cells per spatial cell.
    n_hidden
        Width of the layers.
    n_layers
        Number of GraphSAGE layers.
    n_shared
        Number of shared genes, for the buffer with their graph.
    normalize
        Scale every gene's state to unit length after each layer, as the published code does.
    similarity_weight, residual_weight
        Weights of :math:`L_{sim}` and :math:`L_{res}` in eq. 10.
    """

    adjacency: Tensor

    def __init__(
        self,
        n_neighbors: int,
        n_hidden: int,
        n_layers: int,
        n_shared: int,
        *,
        normalize: bool = False,
        similarity_weight: float = 2.0,
        residual_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.normalize = normalize
        self.similarity_weight = similarity_weight
        self.residual_weight = residual_weight
        widths = [n_neighbors] + [n_hidden] * n_layers
        self.layers = nn.ModuleList(NodeMajorSAGEConv(a, b) for a, b in zip(widths[:-1], widths[1:], strict=True))
        # The text gives neither depth nor activation of eq. 9. One layer, since few genes determine its scale; and
        # softplus, which is positive as expression is and, unlike a ReLU, cannot become zero for all genes.
        last = nn.Linear(n_hidden, 1)
        self.readout = nn.Sequential(last, nn.Softplus())
        nn.init.constant_(last.bias, INITIAL_BIAS)
        self.register_buffer("adjacency", torch.zeros(n_shared, n_shared))

    def _get_inference_input(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"neighbors": tensors[NEIGHBORS_KEY]}

    def _get_generative_input(self, tensors: dict[str, Tensor], inference_outputs: dict) -> dict[str, Tensor]:
        return {"states": inference_outputs["states"]}

    @auto_move_data
    def inference(self, neighbors: Tensor) -> dict[str, Tensor]:
        """Compute the last states of all shared genes, each connected to all others.

        Parameters
        ----------
        neighbors
            Expression in the reference neighbors, shape (n_shared, n_cells, k).
        """
        states = neighbors
        for layer in self.layers:
            states = self._activate(layer(states, states, self.adjacency))
        return {"states": states}

    @auto_move_data
    def generative(self, states: Tensor) -> dict[str, Tensor]:
        """Read expression, shape (n_cells, n_genes), from states, shape (n_genes, n_cells, n_hidden)."""
        return {"expression": self.readout(states).squeeze(-1).T}

    def source_states(self, neighbors: Tensor, adjacency: Tensor) -> list[Tensor]:
        """Compute the states of the input genes that enter each layer.

        Parameters
        ----------
        neighbors
            Expression of the input genes in the reference neighbors, shape (n_inputs, n_cells, k).
        adjacency
            Edge weights between input genes, shape (n_inputs, n_inputs).
        """
        states = [neighbors]
        for layer in self.layers[:-1]:
            states.append(self._activate(layer(states[-1], states[-1], adjacency)))
        return states

    def predict_targets(self, neighbors: Tensor, source_states: list[Tensor], adjacency: Tensor) -> Tensor:
        """Predict target genes from the states of the input genes, shape (n_cells, n_targets).

        Parameters
        ----------
        neighbors
            Expression of the targets in the reference neighbors, shape (n_targets, n_cells, k).
        source_states
            From :meth:`source_states`.
        adjacency
            Edge weights from input genes to targets, shape (n_targets, n_inputs).
        """
        states = neighbors
        for layer, sources in zip(self.layers, source_states, strict=True):
            states = self._activate(layer(sources, states, adjacency))
        return self.generative(states)["expression"]

    def _activate(self, states: Tensor) -> Tensor:
        states = F.relu(states)
        return F.normalize(states, dim=-1) if self.normalize else states

    def loss(self, tensors: dict[str, Tensor], inference_outputs: dict, generative_outputs: dict) -> LossOutput:
        """Compute eq. 10: one minus the centered cosine over cells and over genes, and the squared error."""
        truth = tensors[REGISTRY_KEYS.X_KEY]
        predicted = generative_outputs["expression"]
        by_cell = 1 - centered_cosine(predicted, truth, dim=1).mean()
        by_gene = 1 - centered_cosine(predicted, truth, dim=0).mean()
        residual = F.mse_loss(predicted, truth)
        loss = self.similarity_weight * (by_cell + by_gene) + self.residual_weight * residual
        return LossOutput(loss=loss, n_obs_minibatch=len(truth), extra_metrics={"residual": residual.detach()})


def centered_cosine(a: Tensor, b: Tensor, dim: int) -> Tensor:
    """Compute the Pearson correlation along a dimension; 0 where either side is constant."""
    a_centered = a - a.mean(dim, keepdim=True)
    b_centered = b - b.mean(dim, keepdim=True)
    return F.cosine_similarity(a_centered, b_centered, dim=dim, eps=1e-6)

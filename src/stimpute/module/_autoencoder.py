"""The autoencoder that embeds spatial and reference cells alike."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from scvi import REGISTRY_KEYS
from scvi.module.base import BaseModuleClass, LossOutput, auto_move_data
from torch import Tensor, nn

TARGET_KEY = "target"


class Autoencoder(BaseModuleClass):
    r"""Fully connected autoencoder over the panel (eq. 1 to 3).

    .. math:: z = \phi(W_e x + b_e), \quad \tilde x = \phi(W_d z + b_d), \quad
              L = \frac{1}{c} \sum_{i,j} (x_{ij} - \tilde x_{ij})^2

    Parameters
    ----------
    n_genes
        Genes of the panel.
    n_latent
        Width of the latent space.
    n_hidden
        Width of a hidden layer on either side; without one if None, as in the paper.
    rectified
        Whether the latent and the output layer end in a ReLU, as in the paper. Standardised values need False.
    max_masked
        While training, a random part of each cell's genes, up to this share, is set to zero at the input, so that
        cells can be embedded from any visible part of the panel.
    """

    def __init__(
        self,
        n_genes: int,
        n_latent: int,
        n_hidden: int | None = None,
        *,
        rectified: bool = True,
        max_masked: float = 0.0,
    ) -> None:
        super().__init__()
        self.max_masked = max_masked
        self.encoder = _mlp([n_genes, *([n_hidden] if n_hidden else []), n_latent], rectified)
        self.decoder = _mlp([n_latent, *([n_hidden] if n_hidden else []), n_genes], rectified)
        if rectified:  # start where gradients flow, or output units die at the paper's learning rate
            nn.init.constant_(self.decoder[-2].get_parameter("bias"), 0.5)

    def _get_inference_input(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"x": tensors[REGISTRY_KEYS.X_KEY]}

    def _get_generative_input(self, tensors: dict[str, Tensor], inference_outputs: dict) -> dict[str, Tensor]:
        return {"z": inference_outputs["z"]}

    @auto_move_data
    def inference(self, x: Tensor) -> dict[str, Tensor]:
        """Latent representation, shape (n_cells, n_latent)."""
        if self.training and self.max_masked:
            share = self.max_masked * torch.rand(len(x), 1, device=x.device)
            x = x * (torch.rand_like(x) >= share)
        return {"z": self.encoder(x)}

    @auto_move_data
    def generative(self, z: Tensor) -> dict[str, Tensor]:
        """Reconstruction, shape (n_cells, n_genes)."""
        return {"reconstruction": self.decoder(z)}

    def loss(self, tensors: dict[str, Tensor], inference_outputs: dict, generative_outputs: dict) -> LossOutput:
        """Squared error per cell, to the input or, where the batch has one, to another target (eq. 11)."""
        target = tensors.get(TARGET_KEY, tensors[REGISTRY_KEYS.X_KEY])
        error = F.mse_loss(generative_outputs["reconstruction"], target, reduction="none").sum(1)
        return LossOutput(loss=error.mean(), reconstruction_loss=error)


def _mlp(widths: list[int], rectified: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    for n_in, n_out in zip(widths[:-1], widths[1:], strict=True):
        layers += [nn.Linear(n_in, n_out), nn.ReLU()]
    return nn.Sequential(*(layers if rectified else layers[:-1]))

"""Define the paper's autoencoder, which embeds spatial and reference cells."""

from __future__ import annotations

import torch.nn.functional as F
from scvi import REGISTRY_KEYS
from scvi.module.base import BaseModuleClass, LossOutput, auto_move_data
from torch import Tensor, nn

RESIDUAL_KEY = "residual"
INITIAL_BIAS = 0.5  # positive, so that gradients flow: output ReLUs die at the paper's learning rate otherwise


class Autoencoder(BaseModuleClass):
    r"""Encode and decode the shared genes with one fully connected layer each (eq. 1 to 3).

    .. math:: z = \mathrm{ReLU}(W_e x + b_e), \quad \tilde x = \mathrm{ReLU}(W_d z + b_d), \quad
              L = \frac{1}{c} \sum_{i,j} (x_{ij} - \tilde x_{ij})^2

    Parameters
    ----------
    n_genes
        Number of shared genes.
    n_latent
        Width of the latent space.
    """

    def __init__(self, n_genes: int, n_latent: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(n_genes, n_latent), nn.ReLU())
        self.decoder = nn.Sequential(nn.Linear(n_latent, n_genes), nn.ReLU())
        nn.init.constant_(self.decoder[0].get_parameter("bias"), INITIAL_BIAS)

    def _get_inference_input(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"x": tensors[REGISTRY_KEYS.X_KEY]}

    def _get_generative_input(self, tensors: dict[str, Tensor], inference_outputs: dict) -> dict[str, Tensor]:
        return {"z": inference_outputs["z"]}

    @auto_move_data
    def inference(self, x: Tensor) -> dict[str, Tensor]:
        """Embed cells, shape (n_cells, n_latent)."""
        return {"z": self.encoder(x)}

    @auto_move_data
    def generative(self, z: Tensor) -> dict[str, Tensor]:
        """Reconstruct the shared genes, shape (n_cells, n_genes)."""
        return {"reconstruction": self.decoder(z)}

    def loss(self, tensors: dict[str, Tensor], inference_outputs: dict, generative_outputs: dict) -> LossOutput:
        """Compute the squared error to the input, or, where the batch has one, to a residual (eq. 11)."""
        truth = tensors.get(RESIDUAL_KEY, tensors[REGISTRY_KEYS.X_KEY])
        error = F.mse_loss(generative_outputs["reconstruction"], truth, reduction="none").sum(1)
        return LossOutput(loss=error.mean(), reconstruction_loss=error)

"""An autoencoder whose decoder is the reference: cells attend to metacells they resemble."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from scvi import REGISTRY_KEYS
from scvi.module.base import BaseModuleClass, LossOutput, auto_move_data
from torch import Tensor, nn

MASK_KEY = "mask"
ALL = slice(None)


class AttentionAutoencoder(BaseModuleClass):
    r"""Embeds a cell from any visible part of the panel and decodes it as a mixture of reference metacells.

    .. math:: z_c = \frac{(x_c \odot m \odot e^{\gamma}) W}{\lVert \cdot \rVert}, \quad
              k_r = \frac{(r \odot m \odot e^{\gamma}) V}{\lVert \cdot \rVert}, \quad
              a_c = \mathrm{softmax}_r(\tau \, z_c \cdot k_r), \quad
              \hat x_{cg} = s \sum_r a_{cr} \, r_g

    :math:`x` and the metacells :math:`r` are standardised gene by gene; :math:`m` is 1 for visible genes. Since the
    decoder is made of reference profiles, any reference gene can be read from a cell's attention, measured or not.
    All members of the ensemble are computed at once, in the leading dimension.

    Parameters
    ----------
    n_genes
        Genes of the panel.
    n_latent
        Width of the latent space.
    n_members
        Networks of the ensemble.
    temperature, scale
        Initial :math:`\tau` and :math:`s`.
    """

    profiles: Tensor

    def __init__(
        self, n_genes: int, n_latent: int, n_members: int, *, temperature: float = 10.0, scale: float = 0.5
    ) -> None:
        super().__init__()
        n_latent = min(n_latent, n_genes)
        self.queries = nn.Parameter(torch.randn(n_members, n_genes, n_latent) / n_genes**0.5)
        self.keys = nn.Parameter(self.queries.detach().clone())
        self.log_weights = nn.Parameter(torch.zeros(n_members, 1, n_genes))
        self.log_temperature = nn.Parameter(torch.full((n_members, 1, 1), float(np.log(temperature))))
        self.scale = nn.Parameter(torch.full((n_members, 1, 1), scale))
        self.register_buffer("profiles", torch.zeros(0, n_genes), persistent=False)

    @torch.no_grad()
    def start_from(self, profiles: Tensor) -> None:
        """Take the metacells' panel profiles, shape (n_metacells, n_genes), and begin at their principal axes."""
        self.profiles = profiles
        axes = torch.linalg.svd(profiles, full_matrices=False)[2][: self.queries.shape[2]].T
        for parameter in (self.queries, self.keys):
            parameter.zero_()
            parameter[:, :, : axes.shape[1]] = axes

    def _get_inference_input(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"x": tensors[REGISTRY_KEYS.X_KEY], "mask": tensors[MASK_KEY]}

    def _get_generative_input(self, tensors: dict[str, Tensor], inference_outputs: dict) -> dict[str, Tensor]:
        return {"z": inference_outputs["z"], "profiles": self.profiles, "mask": tensors[MASK_KEY]}

    @auto_move_data
    def inference(self, x: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Latent representation of cells, unit length, shape (n_members, n_cells, n_latent)."""
        return {"z": self._embed(x * mask, self.queries)}

    def embed_reference(self, profiles: Tensor, mask: Tensor) -> Tensor:
        """Latent representation of reference profiles, shape (n_members, n_profiles, n_latent)."""
        return self._embed(profiles * mask, self.keys)

    def _embed(self, x: Tensor, projection: Tensor) -> Tensor:
        return F.normalize((x * torch.exp(self.log_weights)) @ projection, dim=-1)

    def attention(self, z: Tensor, keys: Tensor, members: Tensor | slice = ALL) -> Tensor:
        """Share of each metacell in a cell, times the scale, shape (n_members, n_cells, n_metacells)."""
        sharp = torch.exp(self.log_temperature)[members] * z[members]
        return self.scale[members] * torch.softmax(sharp @ keys[members].transpose(1, 2), dim=-1)

    @auto_move_data
    def generative(self, z: Tensor, profiles: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Reconstruction of the panel, shape (n_members, n_cells, n_genes)."""
        return {"reconstruction": self.attention(z, self.embed_reference(profiles, mask)) @ profiles}

    def loss(self, tensors: dict[str, Tensor], inference_outputs: dict, generative_outputs: dict) -> LossOutput:
        """Squared error of the reconstruction, per cell."""
        error = (generative_outputs["reconstruction"] - tensors[REGISTRY_KEYS.X_KEY]).square().mean((0, 2))
        return LossOutput(loss=error.mean(), reconstruction_loss=error)

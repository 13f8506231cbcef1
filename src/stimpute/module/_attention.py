"""Define the attention autoencoder: a cell is described as a mixture of reference metacells."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MASK_KEY = "mask"
ALL_MEMBERS = slice(None)


class AttentionAutoencoder(nn.Module):
    r"""Embed a cell from any input genes and decode it as a mixture of reference metacells.

    .. math:: z_c = \frac{(x_c \odot m \odot e^{\gamma}) W}{\lVert \cdot \rVert}, \quad
              k_r = \frac{(r \odot m \odot e^{\gamma}) V}{\lVert \cdot \rVert}, \quad
              a_c = \mathrm{softmax}_r(\tau \, z_c \cdot k_r), \quad
              \hat x_{cg} = s \sum_r a_{cr} \, r_g

    :math:`x` and the metacells :math:`r` are standardized gene by gene; :math:`m` is 1 for input genes. Since the
    decoder consists of reference profiles, any reference gene can be decoded, measured or not. All members of the
    ensemble are computed at once, in the leading dimension.

    Parameters
    ----------
    n_genes
        Number of shared genes.
    n_latent
        Width of the latent space.
    n_members
        Number of networks in the ensemble.
    temperature, scale
        Initial :math:`\tau` and :math:`s`.
    """

    def __init__(
        self, n_genes: int, n_latent: int, n_members: int, *, temperature: float = 10.0, scale: float = 0.5
    ) -> None:
        super().__init__()
        n_latent = min(n_latent, n_genes)
        self.queries = nn.Parameter(torch.randn(n_members, n_genes, n_latent) / n_genes**0.5)
        self.keys = nn.Parameter(self.queries.detach().clone())
        self.log_weights = nn.Parameter(torch.zeros(n_members, 1, n_genes))
        self.log_temperature = nn.Parameter(torch.full((n_members, 1, 1), math.log(temperature)))
        self.scale = nn.Parameter(torch.full((n_members, 1, 1), scale))

    @torch.no_grad()
    def start_from(self, profiles: Tensor) -> None:
        """Initialize queries and keys with the principal axes of the metacells, shape (n_metacells, n_genes)."""
        n_latent = self.queries.shape[2]
        _, _, axes = torch.linalg.svd(profiles, full_matrices=False)
        axes = axes[:n_latent].T
        for parameter in (self.queries, self.keys):
            parameter.zero_()
            parameter[:, :, : axes.shape[1]] = axes

    def embed_cells(self, x: Tensor, mask: Tensor) -> Tensor:
        """Embed spatial cells, unit length, shape (n_members, n_cells, n_latent)."""
        return self._embed(x * mask, self.queries)

    def embed_reference(self, profiles: Tensor, mask: Tensor) -> Tensor:
        """Embed reference profiles, unit length, shape (n_members, n_profiles, n_latent)."""
        return self._embed(profiles * mask, self.keys)

    def _embed(self, x: Tensor, projection: Tensor) -> Tensor:
        return F.normalize((x * torch.exp(self.log_weights)) @ projection, dim=-1)

    def attention(self, z: Tensor, keys: Tensor, members: Tensor | slice = ALL_MEMBERS) -> Tensor:
        """Compute attention weights times the scale, shape (n_members, n_cells, n_metacells)."""
        sharpened = torch.exp(self.log_temperature)[members] * z[members]
        weights = torch.softmax(sharpened @ keys[members].transpose(1, 2), dim=-1)
        return self.scale[members] * weights

"""Define the attention autoencoder: a cell is described as a mixture of reference metacells."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MASK_KEY = "mask"
ALL_MEMBERS = slice(None)
UNUSED = -6.0  # preference for a dataset: a weight of e^-6 beside the others


class AttentionAutoencoder(nn.Module):
    r"""Embed a cell from any input genes and decode it as a mixture of reference metacells.

    .. math:: z_c = \frac{(x_c \odot m \odot e^{\gamma}) W}{\lVert \cdot \rVert}, \quad
              k_r = \frac{(r \odot m \odot e^{\gamma}) U}{\lVert \cdot \rVert}, \quad
              a_c = \mathrm{softmax}_r(\tau \, z_c \cdot k_r + \pi_{d(r)}), \quad
              s_{cg} = \kappa \sum_r a_{cr} \, r_g

    :math:`x` and the metacells :math:`r` are standardized gene by gene; :math:`m` is 1 for input genes. Since the
    decoder consists of reference profiles, any reference gene can be decoded, measured or not. :math:`\pi` is a
    preference for the dataset :math:`d` of a metacell, 0 for the first dataset. All members of the
    ensemble are computed at once, in the leading dimension.

    Parameters
    ----------
    n_genes
        Number of shared genes.
    n_latent
        Width of the latent space.
    n_members
        Number of networks in the ensemble.
    n_datasets
        Number of datasets of the reference.
    temperature, scale, preference
        Initial :math:`\tau`, :math:`\kappa`, and :math:`\pi` of the datasets after the first.
    """

    def __init__(
        self,
        n_genes: int,
        n_latent: int,
        n_members: int,
        n_datasets: int = 1,
        *,
        temperature: float = 10.0,
        scale: float = 0.5,
        preference: float = -1.0,
    ) -> None:
        super().__init__()
        n_latent = min(n_latent, n_genes)
        self.queries = nn.Parameter(torch.randn(n_members, n_genes, n_latent) / n_genes**0.5)
        self.keys = nn.Parameter(self.queries.detach().clone())
        self.log_weights = nn.Parameter(torch.zeros(n_members, 1, n_genes))
        self.log_temperature = nn.Parameter(torch.full((n_members, 1, 1), math.log(temperature)))
        self.scale = nn.Parameter(torch.full((n_members, 1, 1), scale))
        self.preference = None
        if n_datasets > 1:
            self.preference = nn.Parameter(torch.full((n_members, n_datasets - 1), preference))

    @torch.no_grad()
    def start_from(self, profiles: Tensor, is_used: Tensor | None = None) -> None:
        """Initialize queries and keys with the principal axes of the metacells, and the preferences.

        Parameters
        ----------
        profiles
            Standardized expression of the metacells, shape (n_metacells, n_genes).
        is_used
            Whether each dataset is used, shape (n_datasets,), all if None. Others get hardly any attention.
        """
        n_latent = self.queries.shape[2]
        _, _, axes = torch.linalg.svd(profiles, full_matrices=False)
        axes = axes[:n_latent].T
        for parameter in (self.queries, self.keys):
            parameter.zero_()
            parameter[:, :, : axes.shape[1]] = axes
        if self.preference is not None and is_used is not None:
            self.preference[:, ~is_used[1:]] = UNUSED

    def embed_cells(self, x: Tensor, mask: Tensor) -> Tensor:
        """Embed spatial cells, unit length, shape (n_members, n_cells, n_latent)."""
        return self._embed(x, mask, self.queries)

    def embed_reference(self, profiles: Tensor, mask: Tensor) -> Tensor:
        """Embed reference profiles, unit length, shape (n_members, n_profiles, n_latent)."""
        return self._embed(profiles, mask, self.keys)

    def _embed(self, x: Tensor, mask: Tensor, projection: Tensor) -> Tensor:
        return _unit_rows(x, self._projection(mask, projection))

    def _projection(self, mask: Tensor, projection: Tensor) -> Tensor:
        """Scale a projection in place of the rows, which gives one product for all members."""
        return projection * (mask * torch.exp(self.log_weights)).transpose(1, 2)

    def attention(
        self, z: Tensor, keys: Tensor, members: Tensor | slice = ALL_MEMBERS, dataset: Tensor | None = None
    ) -> Tensor:
        """Compute attention weights times the scale, shape (n_members, n_cells, n_metacells).

        Parameters
        ----------
        z, keys
            Embedded cells and metacells.
        members
            Members of the ensemble to compute.
        dataset
            Dataset of each metacell, shape (n_metacells,); not needed for one dataset.
        """
        return self.scale[members] * self._weights(z, keys, members, dataset)

    @torch.inference_mode()
    def mean_attention(
        self, profiles: Tensor, mask: Tensor, members: Tensor, dataset: Tensor | None = None
    ) -> MeanAttention:
        """Return what computes the mean of :meth:`attention` over some members, for any number of cells.

        Parameters
        ----------
        profiles
            Standardized expression of the metacells, shape (n_metacells, n_genes).
        mask
            1 for input genes, shape (n_genes,).
        members, dataset
            See :meth:`attention`.
        """
        keys = torch.exp(self.log_temperature) * self.embed_reference(profiles, mask)
        return MeanAttention(
            projection=self._projection(mask, self.queries)[members],
            keys=keys[members].transpose(1, 2).contiguous(),
            preference=self._preference(members, dataset),
            shares=(self.scale[members] / len(members)).flatten().tolist(),
        )

    def _weights(self, z: Tensor, keys: Tensor, members: Tensor | slice, dataset: Tensor | None) -> Tensor:
        sharpened = torch.exp(self.log_temperature)[members] * z[members]
        logits = sharpened @ keys[members].transpose(1, 2)
        preference = self._preference(members, dataset)
        return torch.softmax(logits if preference is None else logits + preference, dim=-1)

    def _preference(self, members: Tensor | slice, dataset: Tensor | None) -> Tensor | None:
        """Return the preference for each metacell, shape (n_members, 1, n_metacells); None for one dataset."""
        if self.preference is None:
            return None
        of_dataset = F.pad(self.preference[members], (1, 0))  # 0 for the first
        return of_dataset[:, dataset][:, None]


@dataclass(frozen=True)
class MeanAttention:
    """Mean attention of some members, with the mask and the metacells fixed.

    Attributes
    ----------
    projection
        From masked genes to the latent space, shape (n_members, n_genes, n_latent).
    keys
        Embedded metacells times the temperature, shape (n_members, n_latent, n_metacells).
    preference
        Added to the logits, shape (n_members, 1, n_metacells), or None.
    shares
        Weight of each member in the mean, shape (n_members,).
    """

    projection: Tensor
    keys: Tensor
    preference: Tensor | None
    shares: list[float]

    @torch.inference_mode()
    def __call__(self, x: Tensor) -> Tensor:
        """Compute the attention of cells, shape (n_cells, n_metacells), from standardized genes.

        One member after another, in the same memory: weights of all at once do not fit in the cache of a processor.
        """
        z = _unit_rows(x, self.projection)
        total = torch.zeros(len(x), self.keys.shape[2], device=x.device)
        logits, weights = torch.empty_like(total), torch.empty_like(total)
        for member, share in enumerate(self.shares):
            torch.mm(z[member], self.keys[member], out=logits)
            if self.preference is not None:
                logits += self.preference[member]
            torch.softmax(logits, dim=-1, out=weights)
            total.add_(weights, alpha=share)  # a factor that is a tensor would be several times slower
        return total


def _unit_rows(x: Tensor, projection: Tensor) -> Tensor:
    """Project cells and scale them to unit length, shape (n_members, n_cells, n_latent)."""
    return F.normalize(torch.einsum("cg,mgl->mcl", x, projection), dim=-1)

"""Message passing over genes with learnt edge weights: a gene listens to the visible genes of the cell."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class GeneGraphNetwork(nn.Module):
    r"""One round of messages from visible measured genes to any target gene.

    What a visible gene :math:`v` says is its standardised value, with what the other genes say already taken out
    (:math:`P` is the regularised inverse of the panel's reference correlation, so that two genes that always go
    together do not count twice). How much target :math:`g` listens to it is learnt from how the two are related:

    .. math:: \hat x_{cg} = \sum_v w_{gv} (P x_c)_v, \quad
              w_{gv} = (\alpha \cdot f_{gv}) e^{\beta \cdot t_v} + 0.1\, \mathrm{MLP}(f_{gv}, t_g, t_v)

    :math:`f_{gv}` are the relations of the two genes, :math:`t` the statistics of a gene in the reference. A channel
    with its own weights hears the mean of the cells around. Members of the ensemble are the leading dimension.

    Parameters
    ----------
    n_features
        Relations between two genes.
    n_statistics
        Statistics of a gene.
    n_channels
        1, or 2 with the cells around.
    n_members
        Networks of the ensemble.
    n_hidden
        Width of the MLP.
    """

    def __init__(self, n_features: int, n_statistics: int, n_channels: int, n_members: int, n_hidden: int = 16) -> None:
        super().__init__()
        width = (n_features + 2 * n_statistics) ** -0.5
        self.from_features = nn.Parameter(torch.randn(n_members, n_features, n_hidden) * width)
        self.from_target = nn.Parameter(torch.randn(n_members, n_statistics, n_hidden) * width)
        self.from_source = nn.Parameter(torch.randn(n_members, n_statistics, n_hidden) * width)
        self.bias = nn.Parameter(torch.randn(n_members, 1, 1, n_hidden) * width)
        self.readout = nn.Parameter(torch.zeros(n_members, 1, n_hidden, n_channels))
        self.offset = nn.Parameter(torch.zeros(n_members, 1, 1, n_channels))
        self.linear = nn.Parameter(torch.zeros(n_members, 1, n_features, n_channels))
        self.loudness = nn.Parameter(torch.zeros(n_members, n_statistics, n_channels))
        with torch.no_grad():
            self.linear[:, :, 0, 0] = 0.8  # begin as regression on the co-expressed genes

    def forward(self, features: Tensor, target: Tensor, source: Tensor, members: Tensor | None = None) -> Tensor:
        """Edge weights, shape (n_members, n_channels, n_targets, n_sources).

        Parameters
        ----------
        features
            Relations, shape (n_targets, n_sources, n_features).
        target, source
            Statistics of the targets and of the sources, shape (n_genes, n_statistics).
        members
            Which members to compute; all if None.
        """
        pick = (lambda p: p) if members is None else (lambda p: p[members])
        f = features[None]
        hidden = f @ pick(self.from_features)[:, None] + pick(self.bias)
        hidden = hidden + (target @ pick(self.from_target))[:, :, None] + (source @ pick(self.from_source))[:, None]
        learnt = F.relu(hidden) @ pick(self.readout) + pick(self.offset)
        linear = (f @ pick(self.linear)) * torch.exp(source @ pick(self.loudness))[:, None]
        return (linear + 0.1 * learnt).permute(0, 3, 1, 2)


def whiten(weights: Tensor, precision: Tensor, own: Tensor) -> Tensor:
    r"""Edge weights on measured values: :math:`u_g = P w_g`, for a target of the panel without itself.

    For a target :math:`g` inside the panel this is exactly what the weights would be had :math:`g` not been measured:
    :math:`P` is downdated by :math:`P_{\cdot g} P_{g \cdot} / P_{gg}`, which makes :math:`u_{gg} = 0`.

    Parameters
    ----------
    weights
        Shape (..., n_targets, n_sources).
    precision
        :math:`P`, shape (n_sources, n_sources).
    own
        Position of each target among the sources, -1 outside, shape (n_targets,).
    """
    inside = own >= 0
    if not inside.any():
        return weights @ precision
    at = own.clamp(min=0)
    itself = F.one_hot(at, weights.shape[-1]).to(weights.dtype) * inside[:, None]
    weights = weights * (1 - itself)
    rows = precision[at] * inside[:, None]
    heard = (weights * rows).sum(-1, keepdim=True) / precision.diagonal()[at][:, None]
    return (weights @ precision - heard * rows) * (1 - itself)

"""Define message passing between genes with learned edge weights."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stimpute.module._precision import Precision

INITIAL_SLOPE = 0.8  # weight of the first relation: training starts near regression on co-expressed genes
CORRECTION_SCALE = 0.1  # of the MLP beside the linear part, so that it learns slowly


class GeneGraphNetwork(nn.Module):
    r"""Compute edge weights from input genes to any target gene.

    A target gene :math:`g` aggregates the standardized values of the input genes :math:`v`, from which correlated
    parts have been removed (:math:`P` is the regularized inverse of the correlation of the shared genes in the
    reference, so that two genes that always vary together are not counted twice):

    .. math:: s_{cg} = \sum_v w_{gv} (P x_c)_v, \quad
              w_{gv} = (\alpha \cdot f_{gv}) e^{\beta \cdot t_v} + 0.1\, \mathrm{MLP}(f_{gv}, t_g, t_v)

    :math:`f_{gv}` are the relations of the two genes and :math:`t` the statistics of a gene in the reference. A cell's
    own expression and the mean of its spatial neighbors (its niche) are two inputs with weights of their own. Members
    of the ensemble are the leading dimension.

    Parameters
    ----------
    n_features
        Number of relation features of two genes.
    n_statistics
        Number of statistics of a gene.
    n_inputs
        1 for the cell alone, 2 for the cell and its niche.
    n_members
        Number of networks in the ensemble.
    n_hidden
        Width of the hidden layer of the MLP.
    """

    def __init__(self, n_features: int, n_statistics: int, n_inputs: int, n_members: int, n_hidden: int = 16) -> None:
        super().__init__()
        width = (n_features + 2 * n_statistics) ** -0.5
        self.from_features = nn.Parameter(torch.randn(n_members, n_features, n_hidden) * width)
        self.from_target = nn.Parameter(torch.randn(n_members, n_statistics, n_hidden) * width)
        self.from_source = nn.Parameter(torch.randn(n_members, n_statistics, n_hidden) * width)
        self.bias = nn.Parameter(torch.randn(n_members, 1, 1, n_hidden) * width)
        self.readout = nn.Parameter(torch.zeros(n_members, 1, n_hidden, n_inputs))
        self.offset = nn.Parameter(torch.zeros(n_members, 1, 1, n_inputs))
        self.linear = nn.Parameter(torch.zeros(n_members, 1, n_features, n_inputs))
        self.source_scale = nn.Parameter(torch.zeros(n_members, n_statistics, n_inputs))
        with torch.no_grad():
            self.linear[:, :, 0, 0] = INITIAL_SLOPE

    def forward(self, features: Tensor, target: Tensor, source: Tensor, member: int | None = None) -> Tensor:
        """Compute edge weights, shape (n_members, n_inputs, n_targets, n_sources).

        Parameters
        ----------
        features
            Relation features, shape (n_features, n_targets, n_sources).
        target, source
            Statistics of the target and of the source genes, shape (n_genes, n_statistics).
        member
            Which member to compute; all if None.
        """
        _, n_targets, n_sources = features.shape
        chosen = slice(None) if member is None else slice(member, member + 1)
        of_target = target.T[:, :, None].expand(-1, -1, n_sources)
        of_source = source.T[:, None].expand(-1, n_targets, -1)
        pairs = torch.cat([features, of_target, of_source, torch.ones_like(features[:1])]).flatten(1)
        # Pairs of genes are many, and what describes them is short: all members are computed in one product.
        hidden = F.relu(_by_output(self._first_layer(chosen)) @ pairs, inplace=True)
        correction = torch.block_diag(*self.readout[chosen, 0].transpose(1, 2)) @ hidden
        linear = _by_output(self.linear[chosen, 0]) @ features.flatten(1)
        scale = torch.exp(_by_output(self.source_scale[chosen]) @ source.T)
        n_members, _, n_inputs = self.source_scale[chosen].shape
        shape = (n_members, n_inputs, n_targets, n_sources)
        offset = self.offset[chosen].view(n_members, n_inputs, 1, 1)
        linear = linear.view(shape) * scale.view(n_members, n_inputs, 1, n_sources)
        return linear + CORRECTION_SCALE * (correction.view(shape) + offset)

    def _first_layer(self, members: slice) -> Tensor:
        """Join the weights of the first layer, shape (n_members, n_features + 2 n_statistics + 1, n_hidden)."""
        parts = [self.from_features, self.from_target, self.from_source, self.bias[:, 0]]
        return torch.cat([part[members] for part in parts], dim=1)


def _by_output(weights: Tensor) -> Tensor:
    """Put the transposed matrices of the members below each other, shape (n_members * n_outputs, n_inputs)."""
    return weights.transpose(1, 2).flatten(0, 1)


def whiten(weights: Tensor, precision: Precision, position: Tensor) -> Tensor:
    r"""Convert weights on decorrelated values to weights on measured values: :math:`u_g = P w_g`.

    For a target :math:`g` among the shared genes the result is exactly the weights that would hold if :math:`g` had
    not been measured: :math:`P` is downdated by :math:`P_{\cdot g} P_{g \cdot} / P_{gg}`, which makes
    :math:`u_{gg} = 0`.

    Parameters
    ----------
    weights
        Shape (..., n_targets, n_sources).
    precision
        :math:`P`.
    position
        Position of each target among the sources, -1 outside, shape (n_targets,).
    """
    is_source = position >= 0
    if not is_source.any():
        return precision.multiply(weights)
    row = position.clamp(min=0)
    itself = F.one_hot(row, weights.shape[-1]).to(weights.dtype) * is_source[:, None]
    weights = weights * (1 - itself)
    own_precision = precision.rows(row) * is_source[:, None]
    through_itself = (weights * own_precision).sum(-1, keepdim=True) / precision.diagonal(row)[:, None]
    return (precision.multiply(weights) - through_itself * own_precision) * (1 - itself)


def pass_messages(weights: Tensor, precision: Precision, inputs: Tensor, targets: Tensor, *, leave_out: bool) -> Tensor:
    r"""Add up weighted messages: the products of whitened weights and measured values, without whitening the weights.

    .. math:: \sum_v w_{gv} \Bigl((P x)_v - \frac{P_{gv}}{P_{gg}} (P x)_g\Bigr)

    There are fewer cells in a batch than targets times members, so that :math:`P` is multiplied with the values, and
    no gradient passes through it. The second term leaves :math:`g` out as :func:`whiten` does.

    Parameters
    ----------
    weights
        Shape (n_members, n_inputs, n_targets, n_shared).
    precision
        :math:`P`.
    inputs
        Standardized expression, shape (n_inputs, n_cells, n_shared).
    targets
        Positions of the targets among the shared genes, shape (n_targets,).
    leave_out
        Whether the weights are those that would hold if the target had not been measured.

    Returns
    -------
    Sum over the inputs, shape (n_members, n_targets, n_cells).
    """
    values = precision.multiply(inputs)
    messages = torch.einsum("mitv,icv->mtc", weights, values)
    if not leave_out:
        return messages
    through_itself = torch.einsum("mitv,tv->mit", weights, precision.rows(targets)) / precision.diagonal(targets)
    return messages - torch.einsum("mit,ict->mtc", through_itself, values[:, :, targets])

"""Define a GraphSAGE layer for one gene graph and many cells at once."""

from __future__ import annotations

from typing import NoReturn

import torch
from torch import Tensor
from torch_geometric.nn import SAGEConv


class NodeMajorSAGEConv(SAGEConv):
    r"""Apply torch-geometric's SAGEConv to one graph and many cells.

    .. math:: h_v' = W_l \sum_{u} a_{vu} h_u + b + W_r h_v

    The plain layer takes the genes of one cell after another. Here a gene carries its features in all cells, so that
    the aggregation is one matrix product, and the mean may be weighted. With equal weights it equals the plain layer.
    Parameters keep their names, `lin_l` and `lin_r`.
    """

    def forward(self, sources: Tensor, targets: Tensor | None, adjacency: Tensor) -> Tensor:
        """Aggregate the sources and add the target's own features.

        Parameters
        ----------
        sources
            Features of the source genes, shape (n_sources, n_cells, n_in).
        targets
            Features of the target genes, shape (n_targets, n_cells, n_in); unused without a root weight.
        adjacency
            Row-normalized edge weights, shape (n_targets, n_sources).

        Returns
        -------
        Shape (n_targets, n_cells, n_out).
        """
        # The mean is linear: projecting first makes the smaller tensor.
        projected = sources @ self.lin_l.weight.T
        aggregated = torch.mm(adjacency, projected.flatten(1)).view(len(adjacency), *projected.shape[1:])
        if self.lin_l.bias is not None:
            aggregated = aggregated + self.lin_l.bias
        if not self.root_weight:
            return aggregated
        return aggregated + self.lin_r(targets)

    def propagate(self, *args: object, **kwargs: object) -> NoReturn:
        """Refuse to aggregate along lists of edges, which :meth:`forward` does not need.

        For a layer that does not define this method, torch-geometric generates code, and leaves it in a temporary file.
        """
        raise NotImplementedError("The layer aggregates by a matrix. Call it: `layer(sources, targets, adjacency)`.")

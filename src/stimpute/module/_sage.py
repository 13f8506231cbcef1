"""GraphSAGE on one gene graph for many cells at once."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.nn import SAGEConv


class NodeMajorSAGEConv(SAGEConv):
    r"""torch-geometric's SAGEConv, for one graph and many cells.

    .. math:: h_v' = W_l \sum_{u} a_{vu} h_u + b + W_r h_v

    The plain layer takes the genes of one cell after another. Here a node carries its features in all cells, so that
    the neighbourhood mean is one matrix product, and the mean may be weighted. With equal weights it equals the plain
    layer. Parameters keep their names, `lin_l` and `lin_r`.
    """

    def forward(self, sources: Tensor, targets: Tensor | None, adjacency: Tensor) -> Tensor:
        """Hear the sources, and remember oneself.

        Parameters
        ----------
        sources
            Features of the genes that are heard, shape (n_sources, n_cells, n_in).
        targets
            Features of the genes that listen, shape (n_targets, n_cells, n_in); unused without a root weight.
        adjacency
            Row-normalised weights, shape (n_targets, n_sources).

        Returns
        -------
        Shape (n_targets, n_cells, n_out).
        """
        spoken = sources @ self.lin_l.weight.T  # the mean is linear: project first, which is the smaller tensor
        heard = torch.mm(adjacency, spoken.flatten(1)).view(len(adjacency), *spoken.shape[1:])
        if self.lin_l.bias is not None:
            heard = heard + self.lin_l.bias
        return heard + self.lin_r(targets) if self.root_weight else heard

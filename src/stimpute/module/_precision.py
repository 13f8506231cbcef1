"""Hold the regularized inverse of the correlation of the shared genes, dense or of low rank."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class DensePrecision(nn.Module):
    """A symmetric matrix, shape (n_genes, n_genes)."""

    matrix: Tensor

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.register_buffer("matrix", matrix, persistent=False)

    def multiply(self, x: Tensor) -> Tensor:
        """Multiply the last dimension of values, shape (..., n_genes)."""
        return x @ self.matrix

    def diagonal(self, genes: Tensor) -> Tensor:
        """Return the entries of genes with themselves, shape (n_chosen,)."""
        return self.matrix.diagonal()[genes]

    def rows(self, genes: Tensor) -> Tensor:
        """Return the rows of some genes, shape (n_chosen, n_genes)."""
        return self.matrix[genes]


class LowRankPrecision(nn.Module):
    r"""Inverse of a matrix of low rank plus a diagonal, which is never stored.

    .. math:: (L L^\top + D)^{-1} = D^{-1} - F F^\top, \quad
              F F^\top = D^{-1} L \, (I + L^\top D^{-1} L)^{-1} \, L^\top D^{-1}

    Memory and time grow with the number of genes, not with its square.

    Parameters
    ----------
    loadings
        :math:`L`, shape (n_genes, n_components).
    diagonal
        The diagonal of :math:`D`, positive, shape (n_genes,).
    """

    inverse_diagonal: Tensor
    factor: Tensor

    def __init__(self, loadings: Tensor, diagonal: Tensor) -> None:
        super().__init__()
        scaled = loadings.double() / diagonal.double()[:, None]
        inner = torch.eye(loadings.shape[1], dtype=torch.float64) + loadings.double().T @ scaled
        factor = torch.linalg.solve_triangular(torch.linalg.cholesky(inner), scaled.T, upper=False).T
        self.register_buffer("inverse_diagonal", (1 / diagonal).float(), persistent=False)
        self.register_buffer("factor", factor.float().contiguous(), persistent=False)

    def multiply(self, x: Tensor) -> Tensor:
        """See :class:`DensePrecision`."""
        return x * self.inverse_diagonal - (x @ self.factor) @ self.factor.T

    def diagonal(self, genes: Tensor) -> Tensor:
        """See :class:`DensePrecision`."""
        return self.inverse_diagonal[genes] - self.factor[genes].square().sum(1)

    def rows(self, genes: Tensor) -> Tensor:
        """See :class:`DensePrecision`."""
        rows = -self.factor[genes] @ self.factor.T
        rows[torch.arange(len(genes), device=genes.device), genes] += self.inverse_diagonal[genes]
        return rows


Precision = DensePrecision | LowRankPrecision

"""The reliability network: from a gene's predicted profile to how well it was predicted."""

from __future__ import annotations

import torch.nn.functional as F
from scvi import REGISTRY_KEYS
from scvi.module.base import BaseModuleClass, LossOutput, auto_move_data
from torch import Tensor, nn

SCORE_KEY = "score"


class ReliabilityNetwork(BaseModuleClass):
    r"""MLP from a gene's predicted expression to its cosine similarity score (eq. 13).

    .. math:: L = (\mathrm{MLP}(\hat g) - \mathrm{CSS}(g, \hat g))^2

    The profile comes as a fixed number of quantiles, so that its length does not depend on the number of cells.

    Parameters
    ----------
    n_quantiles
        Length of the input.
    n_hidden
        Width of the hidden layer.
    """

    def __init__(self, n_quantiles: int, n_hidden: int = 32) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Linear(n_quantiles, n_hidden), nn.ReLU(), nn.Linear(n_hidden, 1), nn.Sigmoid())

    def _get_inference_input(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"profile": tensors[REGISTRY_KEYS.X_KEY]}

    def _get_generative_input(self, tensors: dict[str, Tensor], inference_outputs: dict) -> dict[str, Tensor]:
        return inference_outputs

    @auto_move_data
    def inference(self, profile: Tensor) -> dict[str, Tensor]:
        """Score of every gene, shape (n_genes,)."""
        return {"score": self.network(profile).squeeze(-1)}

    @auto_move_data
    def generative(self, score: Tensor) -> dict[str, Tensor]:
        """The score is the output."""
        return {"score": score}

    def loss(self, tensors: dict[str, Tensor], inference_outputs: dict, generative_outputs: dict) -> LossOutput:
        """Squared error of the score."""
        error = F.mse_loss(generative_outputs["score"], tensors[SCORE_KEY], reduction="none")
        return LossOutput(loss=error.mean(), reconstruction_loss=error)

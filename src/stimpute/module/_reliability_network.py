"""Define the paper's reliability network: predict how well a gene is predicted from its predicted profile."""

from __future__ import annotations

import torch.nn.functional as F
from scvi import REGISTRY_KEYS
from scvi.module.base import BaseModuleClass, LossOutput, auto_move_data
from torch import Tensor, nn

SCORE_KEY = "score"
N_HIDDEN = 32  # width of the hidden layer; the text names none


class ReliabilityNetwork(BaseModuleClass):
    r"""Predict the cosine similarity score of a gene from its predicted expression (eq. 13).

    .. math:: L = (\mathrm{MLP}(\hat g) - \mathrm{CSS}(g, \hat g))^2

    A profile enters as a fixed number of quantiles, so that its length does not depend on the number of cells.

    Parameters
    ----------
    n_quantiles
        Length of the input.
    """

    def __init__(self, n_quantiles: int) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Linear(n_quantiles, N_HIDDEN), nn.ReLU(), nn.Linear(N_HIDDEN, 1), nn.Sigmoid())

    def _get_inference_input(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"profile": tensors[REGISTRY_KEYS.X_KEY]}

    def _get_generative_input(self, tensors: dict[str, Tensor], inference_outputs: dict) -> dict[str, Tensor]:
        return inference_outputs

    @auto_move_data
    def inference(self, profile: Tensor) -> dict[str, Tensor]:
        """Predict the score of every gene, shape (n_genes,)."""
        return {"score": self.network(profile).squeeze(-1)}

    @auto_move_data
    def generative(self, score: Tensor) -> dict[str, Tensor]:
        """Pass the score on."""
        return {"score": score}

    def loss(self, tensors: dict[str, Tensor], inference_outputs: dict, generative_outputs: dict) -> LossOutput:
        """Compute the squared error of the score."""
        error = F.mse_loss(generative_outputs["score"], tensors[SCORE_KEY], reduction="none")
        return LossOutput(loss=error.mean(), reconstruction_loss=error)

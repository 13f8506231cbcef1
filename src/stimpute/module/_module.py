"""The networks of a model under one roof, so that scvi-tools saves, loads and moves them together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scvi.module.base import BaseModuleClass, LossOutput
from torch import Tensor, nn


class StImputeModule(BaseModuleClass):
    """Container of a recipe's networks. A pass through it is a pass through the autoencoder.

    Parameters
    ----------
    networks
        Networks by name, the autoencoder among them.
    """

    def __init__(self, networks: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleDict(dict(networks))

    def on_load(self, model: Any, **kwargs: object) -> None:
        """Make the networks of a saved model, whose weights scvi-tools reads next."""
        model._recipe.state = model.state_
        self.networks = nn.ModuleDict(model._networks())

    def __getitem__(self, name: str) -> Any:
        return self.networks[name]

    def _get_inference_input(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return self["autoencoder"]._get_inference_input(tensors)

    def _get_generative_input(self, tensors: dict[str, Tensor], inference_outputs: dict) -> dict[str, Tensor]:
        return self["autoencoder"]._get_generative_input(tensors, inference_outputs)

    def inference(self, **kwargs: Tensor) -> dict[str, Tensor]:
        """Latent representation of cells."""
        return self["autoencoder"].inference(**kwargs)

    def generative(self, **kwargs: Tensor) -> dict[str, Tensor]:
        """Reconstruction of the panel."""
        return self["autoencoder"].generative(**kwargs)

    def loss(self, tensors: dict[str, Tensor], inference_outputs: dict, generative_outputs: dict) -> LossOutput:
        """Loss of the autoencoder."""
        return self["autoencoder"].loss(tensors, inference_outputs, generative_outputs)

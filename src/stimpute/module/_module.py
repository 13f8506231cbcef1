"""Hold the networks of a model together, so that scvi-tools saves, loads and moves them as one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

import torch
from scvi.module.base import BaseModuleClass
from torch import nn


class StImputeModule(BaseModuleClass):
    """Container of the networks of a recipe.

    Parameters
    ----------
    networks
        Networks by name.
    """

    def __init__(self, networks: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleDict(dict(networks))

    @property
    def device(self) -> torch.device:
        """Return the device of the networks; the CPU where there are none."""
        return next((parameter.device for parameter in self.parameters()), torch.device("cpu"))

    def __getitem__(self, name: str) -> Any:
        return self.networks[name]

    def on_load(self, model: Any, **kwargs: object) -> None:
        """Build the networks of a saved model, whose weights scvi-tools reads next."""
        self.networks = nn.ModuleDict(model.recipe.build(model.sizes))

    def _not_run(self, *args: object, **kwargs: object) -> NoReturn:
        """Raise NotImplementedError: each network is run by its recipe."""
        raise NotImplementedError("The networks are run by their recipe. Call `model.train()` and `model.impute()`.")

    # scvi-tools requires these of every module. Each network of a recipe has its own.
    _get_inference_input = _not_run
    _get_generative_input = _not_run
    inference = _not_run
    generative = _not_run
    loss = _not_run

"""Variants of the recipes that only an ablation needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar
from unittest.mock import patch

import torch
from scvi import REGISTRY_KEYS
from torch import Tensor

from stimpute.module._autoencoder import RESIDUAL_KEY
from stimpute.module._masked_genes import MaskedGeneModule
from stimpute.recipes import CrossfitRecipe, register_recipe
from stimpute.recipes._paper import AUTOENCODER_BATCH, PaperRecipe
from stimpute.recipes._paper_view import PaperView


@register_recipe
@dataclass(frozen=True)
class WithoutGraph(PaperRecipe):
    """Neighbors in the latent space alone: no graph network, and no residual of it. Use with `alpha=0`."""

    name: ClassVar[str] = "paper_without_graph"

    def _train_graph(self, trainer, graph, tensors, look_up) -> None:
        """Train nothing."""

    def _train_autoencoder(self, trainer, module, tensors, n_epochs) -> None:
        if RESIDUAL_KEY not in tensors:
            super()._train_autoencoder(trainer, module, tensors, n_epochs)


@register_recipe
@dataclass(frozen=True)
class CoEmbedding(PaperRecipe):
    """Train the autoencoder on both datasets, and align them by the maximum mean discrepancy (S14)."""

    name: ClassVar[str] = "paper_co_embedding"

    mmd_weight: float = 1.0

    def fit(self, cells, reference, module, trainer):
        """Read the reference first."""
        preparation = self._prepare(cells, reference, trainer.seed)
        view = PaperView(preparation, reference, module, self.n_neighbors, fold=None)
        expression = torch.from_numpy(view.reference_expression(reference.shared).T.copy())
        object.__setattr__(self, "_reference", expression)
        return super().fit(cells, reference, module, trainer)

    def _train_autoencoder(self, trainer, module, tensors, n_epochs) -> None:
        if RESIDUAL_KEY in tensors:
            super()._train_autoencoder(trainer, module, tensors, n_epochs)
            return
        autoencoder = module["autoencoder"].train()
        optimizer = torch.optim.Adam(autoencoder.parameters(), lr=self.lr)
        generator = torch.Generator().manual_seed(trainer.seed)
        spatial = tensors[REGISTRY_KEYS.X_KEY]
        for _ in range(n_epochs):
            for rows in torch.randperm(len(spatial), generator=generator).split(AUTOENCODER_BATCH):
                own = spatial[rows]
                other = self._reference[torch.randint(len(self._reference), (len(own),), generator=generator)]
                loss = self._loss(autoencoder, own, other)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    def _loss(self, autoencoder, own: Tensor, other: Tensor) -> Tensor:
        latent = [autoencoder.inference(values)["z"] for values in (own, other)]
        errors = [
            (autoencoder.generative(z)["reconstruction"] - values).square().sum(1).mean()
            for z, values in zip(latent, (own, other), strict=True)
        ]
        return sum(errors) + self.mmd_weight * own.shape[1] * discrepancy(*latent)


def discrepancy(a: Tensor, b: Tensor) -> Tensor:
    """Compute the squared maximum mean discrepancy with Gaussian kernels of five widths around the mean distance."""
    both = torch.cat([a, b])
    distance = torch.cdist(both, both).square()
    width = distance.detach().mean()
    kernel = sum(torch.exp(-distance / (width * factor)) for factor in (0.25, 0.5, 1, 2, 4)) / 5
    n = len(a)
    return kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean()


@register_recipe
@dataclass(frozen=True)
class WithoutMasks(CrossfitRecipe):
    """Train on genes that are not masked, as `mask_genes=False`, but let no gene receive its own value."""

    name: ClassVar[str] = "crossfit_without_masks"
    mask_genes: bool = False

    def _train(self, *args: Any) -> None:
        with patch("stimpute.recipes._crossfit.MaskedGeneModule", _leave_out):
            super()._train(*args)


def _leave_out(*args: Any, **options: Any) -> MaskedGeneModule:
    return MaskedGeneModule(*args, **{**options, "leave_out": True})

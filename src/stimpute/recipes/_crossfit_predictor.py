"""Prediction with a trained `crossfit`: three matrix products for each chunk of cells and genes."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from stimpute.calibrate._intervals import Intervals
from stimpute.calibrate._moments import MIN_STD, Moments
from stimpute.calibrate._reliability import Reliability
from stimpute.data._normalize import standardise
from stimpute.data._spatial import SpatialCells
from stimpute.module._module import StImputeModule
from stimpute.recipes._base import OutputOptions, Predictor, Reference
from stimpute.recipes._crossfit_genes import CrossfitGenes, Listening
from stimpute.views._neighbours import nearest

if TYPE_CHECKING:
    from stimpute.recipes._crossfit import CrossfitRecipe


class Embedded(NamedTuple):
    """A chunk of cells.

    Attributes
    ----------
    attention
        Shape (n_cells, n_metacells).
    channels
        Standardised panel of the cells and of those around, shape (n_channels, n_cells, n_panel).
    """

    attention: Tensor
    channels: Tensor


class CrossfitPredictor(Predictor):
    """Predicts genes under one hiding, with the members of the ensemble that never learnt from its hidden genes.

    Everything is linear in what a member says, so the members are averaged before cells and genes meet: the cost of
    a value does not grow with the ensemble.
    """

    def __init__(self, recipe: CrossfitRecipe, reference: Reference, module: StImputeModule, hiding: int) -> None:
        self.recipe, self.reference, self.module, self.index = recipe, reference, module, hiding
        self.state, self.hiding = recipe.state, recipe.hiding(hiding)
        n_members = recipe.n_members(len(recipe.state["hidden_in"]))
        self.members = torch.arange(n_members) if hiding < 0 else torch.tensor([hiding])
        self.genes = CrossfitGenes(reference, module, self.state, hiding, self.members, recipe.ridge)

    def standardised(self, cells: SpatialCells) -> np.ndarray:
        """Standardised panel, hidden genes included, shape (n_cells, n_panel)."""
        panel = cells.normalised(self.hiding, float(self.state["target"][self.index]))
        return standardise(panel, self.state["mean"], self.state["std"])

    def channels(self, cells: SpatialCells, rows: np.ndarray) -> list[np.ndarray]:
        """Standardised panel of some cells and, where cells have a place, the mean of those around."""
        if not self.state["placed"]:
            return [self.standardised(cells[rows])]
        around = cells.around(self.recipe.n_around)[rows]
        needed, position = np.unique(np.concatenate([rows[:, None], around], 1), return_inverse=True)
        panel, position = self.standardised(cells[needed]), position.reshape(len(rows), -1)
        total = np.zeros((len(rows), panel.shape[1]), np.float32)
        for column in position[:, 1:].T:
            total += panel[column]
        return [panel[position[:, 0]], total / around.shape[1]]

    @cached_property
    def _mask(self) -> Tensor:
        mask = torch.ones(len(self.state["hidden_in"]))
        mask[self.hiding.hidden] = 0
        return mask.to(self.module.device)

    @cached_property
    def _keys(self) -> Tensor:
        profiles = torch.from_numpy(self.genes.reference_panel.profiles).to(self.module.device)
        return self.module["autoencoder"].embed_reference(profiles, self._mask)

    @torch.inference_mode()
    def embed(self, cells: SpatialCells, rows: np.ndarray) -> Embedded:
        """See :class:`~stimpute.recipes._base.Predictor`."""
        return self._embed(np.stack(self.channels(cells, rows)))

    @torch.inference_mode()
    def _embed(self, channels: np.ndarray) -> Embedded:
        heard = torch.from_numpy(channels).to(self.module.device)
        autoencoder = self.module["autoencoder"]
        z = autoencoder.inference(heard[0], self._mask)["z"]
        attention = autoencoder.attention(z, self._keys, self.members).mean(0)
        return Embedded(attention * float(self.recipe.attention), heard)

    @torch.inference_mode()
    def latent(self, cells: SpatialCells) -> np.ndarray:
        """See :class:`~stimpute.recipes._base.Predictor`."""
        return self._latent(self.standardised(cells), "inference").cpu().numpy()

    @torch.inference_mode()
    def reference_latent(self) -> np.ndarray:
        """See :class:`~stimpute.recipes._base.Predictor`."""
        return self._reference_latent.cpu().numpy()

    @cached_property
    def _reference_latent(self) -> Tensor:
        return self._latent(self.genes.reference_panel.cells, "reference")

    @torch.inference_mode()
    def _latent(self, panel: np.ndarray, side: str) -> Tensor:
        autoencoder, x = self.module["autoencoder"], torch.from_numpy(panel).to(self.module.device)
        z = (
            autoencoder.inference(x, self._mask)["z"]
            if side == "inference"
            else autoencoder.embed_reference(x, self._mask)
        )
        return F.normalize(z[self.members].mean(0), dim=-1)

    def neighbours(self, cells: SpatialCells, k: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`~stimpute.recipes._base.Predictor`."""
        query = self._latent(self.standardised(cells), "inference")
        return nearest(query, self._reference_latent, k or self.recipe.n_neighbors)

    @torch.inference_mode()
    def signal(self, embedded: Embedded, targets: np.ndarray) -> np.ndarray:
        """Standardised expression before the gate, shape (n_cells, n_targets)."""
        return self._signal(embedded, self.genes.listen(targets)).cpu().numpy()

    def _signal(self, embedded: Embedded, heard: Listening) -> Tensor:
        total = embedded.attention @ heard.profiles
        for channel, edges in zip(embedded.channels, heard.edges, strict=False):
            total = total + channel @ edges.T
        return total

    @cached_property
    def _anchors(self) -> Embedded:
        return self._embed(self.state["anchors"][self.index])

    @torch.inference_mode()
    def features(self, targets: np.ndarray) -> np.ndarray:
        """What a gene's reliability is read from, shape (n_targets, n_features).

        Spread of the signal, and of its two parts; how far the parts agree; how strongly the gene is related to the
        panel at all; and its mean, spread and detection rate in the reference.
        """
        heard = self.genes.listen(targets)
        parts = [self._anchors.attention @ heard.profiles, self._anchors.channels[0] @ heard.edges[0].T]
        whole = self._signal(self._anchors, heard)
        centred = [F.normalize(part - part.mean(0), dim=0) for part in parts]
        relations = self.genes.coexpression.similarity(targets)
        own = self.reference.in_panel(targets)
        relations[own[:, None] == np.arange(relations.shape[1])] = 0
        spreads = [np.log(part.std(0, correction=0).cpu().numpy() + MIN_STD) for part in (whole, *parts)]
        agreement = (centred[0] * centred[1]).sum(0).cpu().numpy()
        strongest = np.sort(np.abs(relations), axis=1)[:, -3:].mean(1)
        return np.column_stack([*spreads, agreement, strongest, self.genes.statistics(targets).numpy()])

    def describe(self, targets: np.ndarray) -> pd.DataFrame:
        """Reliability, edges and moments: out of fold for measured genes."""
        own = self.reference.in_panel(targets)
        features = self.features(targets)
        mean, std = Moments(self.state["moments"]).predict(self.genes.statistics(targets).numpy())
        signal_std = np.exp(features[:, 0])
        spread = float(self.state["gate"]) * signal_std
        reliability = Reliability(**self._learnt("reliability_")).predict(
            features, spread, self.reference.n_seen(targets)
        )
        for name, values in (("panel_mean", mean), ("panel_std", std), ("panel_reliability", reliability)):
            values[own >= 0] = self.state[name][own[own >= 0]]
        expressed = self.reference.bank.std[targets] > 0
        edges = self.genes.listen(targets).edges.abs().sum(0).cpu().numpy()
        effective = edges.sum(1) ** 2 / np.maximum((edges**2).sum(1), 1e-12)
        return pd.DataFrame(
            {
                "reliability": np.where(expressed, reliability, 0.0),
                "n_edges": effective.round().astype(int),
                "expected_mean": mean,
                "expected_std": std,
                "signal_std": signal_std,
            }
        )

    def _learnt(self, prefix: str) -> dict[str, np.ndarray]:
        return {name.removeprefix(prefix): value for name, value in self.state.items() if name.startswith(prefix)}

    @torch.inference_mode()
    def predict(
        self, embedded: Embedded, targets: np.ndarray, described: pd.DataFrame, options: OutputOptions
    ) -> dict[str, np.ndarray]:
        """See :class:`~stimpute.recipes._base.Predictor`."""
        signal = self.signal(embedded, targets)
        mean, std = (described[name].to_numpy(np.float32) for name in ("expected_mean", "expected_std"))
        expected = np.maximum(mean + std * float(self.state["gate"]) * signal, 0)
        values = {"X": expected}
        if options.spread == "matched":
            spread = np.maximum(described["signal_std"].to_numpy(np.float32), MIN_STD)
            values["X"] = np.maximum(mean + std * signal / spread, 0)
        if options.interval is not None:
            intervals = Intervals(**self._learnt("interval_"))
            values["lower"], values["upper"] = intervals.bounds(expected, std, options.interval)
        return values

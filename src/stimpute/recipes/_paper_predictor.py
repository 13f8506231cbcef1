"""How the paper's recipe predicts: embed, find neighbours, pass messages, blend."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from stimpute.data._normalize import typical_total
from stimpute.data._relations import adjacency
from stimpute.data._spatial import SpatialCells
from stimpute.module._module import StImputeModule
from stimpute.module._reliability import ReliabilityNetwork
from stimpute.recipes._base import OutputOptions, Predictor, Reference
from stimpute.views._neighbours import nearest

if TYPE_CHECKING:
    from stimpute.recipes._paper import PaperRecipe

N_QUANTILES = 32
CHUNK_ELEMENTS = 2**22  # of targets × cells × k held at once: 16 MB
LARGEST_LOGARITHM = 30.0  # no log1p of a count reaches it: larger values were never logarithms


class _Embedded(NamedTuple):
    neighbours: np.ndarray  # [cells, k]
    said: list[Tensor]


class PaperPredictor(Predictor):
    """Predicts genes for cells: embed, find neighbours, pass messages, blend."""

    def __init__(self, recipe: PaperRecipe, reference: Reference, module: StImputeModule, hiding: int) -> None:
        self.recipe, self.reference, self.module = recipe, reference, module
        self.index, self.hiding = hiding, recipe.hiding(hiding)
        self.target = float(recipe.state["target"][hiding])
        self.factor = float(recipe.state["factor"][hiding])

    def expression(self, genes: np.ndarray) -> np.ndarray:
        """Reference expression, its cells scaled to the spatial cells' total, shape (n_genes, n_reference)."""
        rows = self.reference.bank.by_gene[genes]
        rows.data = rescale(rows.data, self.factor)  # zeros stay zeros
        return rows.toarray()

    @cached_property
    def _reference_latent(self) -> Tensor:
        return self._encode(self.expression(self.reference.panel).T)

    @torch.inference_mode()
    def _encode(self, panel: np.ndarray) -> Tensor:
        masked = panel.copy()
        masked[:, self.hiding.hidden] = 0
        self.module.eval()
        return self.module["autoencoder"].inference(torch.from_numpy(masked).to(self.module.device))["z"]

    def panel(self, cells: SpatialCells) -> np.ndarray:
        """Log-normalised panel, shape (n_cells, n_panel)."""
        return cells.normalised(self.hiding, self.target)

    @cached_property
    def anchors(self) -> SpatialCells:
        """The cells that a gene's reliability is read from."""
        state = self.recipe.state
        total = state["anchor_totals"] if len(state["anchor_totals"]) else None
        return SpatialCells.from_panel(state["anchor_counts"], total)

    def latent(self, cells: SpatialCells) -> np.ndarray:
        """See :class:`~stimpute.recipes._base.Predictor`."""
        return self._encode(self.panel(cells)).cpu().numpy()

    def reference_latent(self) -> np.ndarray:
        """Latent representation of the reference, shape (n_reference, n_latent)."""
        return self._reference_latent.cpu().numpy()

    def neighbours(self, cells: SpatialCells, k: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`~stimpute.recipes._base.Predictor`."""
        return nearest(self._encode(self.panel(cells)), self._reference_latent, k or self.recipe.n_neighbors)

    def adjacency(self, targets: np.ndarray) -> np.ndarray:
        """Graph from the visible genes to the targets (eq. 4 to 6), shape (n_targets, n_visible)."""
        (relation,) = self.reference.relations.values()
        own = self.reference.in_panel(targets)
        return adjacency(relation.similarity(targets), own, self.hiding.visible)

    def _in_neighbours(self, targets: np.ndarray, neighbours: np.ndarray) -> Tensor:
        """Expression of targets in each cell's neighbours, shape (n_targets, n_cells, k)."""
        expression = torch.from_numpy(self.expression(targets)).to(self.module.device)
        return expression[:, torch.from_numpy(neighbours).to(self.module.device)]

    @torch.inference_mode()
    def embed(self, cells: SpatialCells, rows: np.ndarray) -> _Embedded:
        """Neighbours of the cells, and what their visible genes say."""
        neighbours = self.neighbours(cells[rows])[0]
        visible = self.reference.panel[self.hiding.visible]
        weights = torch.from_numpy(self.adjacency(visible)).to(self.module.device)
        return _Embedded(neighbours, self.module["graph"].sources(self._in_neighbours(visible, neighbours), weights))

    def predict(
        self, embedded: _Embedded, targets: np.ndarray, described: pd.DataFrame, options: OutputOptions
    ) -> dict[str, np.ndarray]:
        """See :class:`~stimpute.recipes._base.Predictor`."""
        return {"X": self._blend(embedded, targets)}

    @torch.inference_mode()
    def _blend(self, embedded: _Embedded, targets: np.ndarray) -> np.ndarray:
        """Blend of the graph network and the mean of the neighbours (eq. 12), shape (n_cells, n_targets)."""
        weights = torch.from_numpy(self.adjacency(targets)).to(self.module.device)
        alpha, blended = float(self.recipe.state["alpha"]), []
        step = max(1, CHUNK_ELEMENTS // max(1, embedded.neighbours.size))
        for part in range(0, len(targets), step):
            expression = self._in_neighbours(targets[part : part + step], embedded.neighbours)
            network = self.module["graph"].listen(expression, embedded.said, weights[part : part + step])
            blended.append(alpha * network + (1 - alpha) * expression.mean(2).T)
        return torch.cat(blended, 1).cpu().numpy()

    @cached_property
    def _embedded_anchors(self) -> _Embedded:
        return self.embed(self.anchors, np.arange(len(self.anchors)))

    def anchor_profile(self, targets: np.ndarray) -> np.ndarray:
        """Prediction of targets in the anchor cells, shape (n_anchors, n_targets)."""
        return self._blend(self._embedded_anchors, targets)

    def describe(self, targets: np.ndarray) -> pd.DataFrame:
        """Reliability: out of fold for the panel's genes, from the predicted profile for the others."""
        own = self.reference.in_panel(targets)
        score = self.recipe.state["reliability"][own].copy()
        if (own < 0).any():
            profiles = quantiles(self.anchor_profile(targets[own < 0]))
            score[own < 0] = score_profiles(self.module["reliability"], profiles)
        reliability = np.where(self.reference.bank.std[targets] > 0, score, 0.0)
        return pd.DataFrame({"reliability": reliability, "n_edges": (self.adjacency(targets) > 0).sum(1)})


def scale_factor(spatial: np.ndarray, reference: np.ndarray) -> float:
    """By how much to multiply the reference's totals, for its cells to have the spatial cells' typical panel total.

    The paper scales cells by "the median number of transcripts per cell" and does not say whose. Both datasets are
    brought to one: that of the spatial cells, over the genes that both measured.

    Parameters
    ----------
    spatial, reference
        Log-normalised visible genes, shape (n_cells, n_visible).
    """
    if max(spatial.max(initial=0), reference.max(initial=0)) > LARGEST_LOGARITHM:
        return 1.0
    wanted, found = (np.expm1(x.astype(np.float64)).sum(1) for x in (spatial, reference))
    return typical_total(wanted) / typical_total(found)


def rescale(expression: np.ndarray, factor: float) -> np.ndarray:
    """Log-normalised expression as if totals had been multiplied by a factor."""
    return expression if factor == 1 else np.log1p(np.expm1(expression) * np.float32(factor))


@torch.inference_mode()
def score_profiles(network: ReliabilityNetwork, profiles: np.ndarray) -> np.ndarray:
    """Reliability of genes from their quantiles, shape (n_genes,)."""
    return network.inference(torch.from_numpy(profiles).to(network.device))["score"].cpu().numpy()


def quantiles(predicted: np.ndarray) -> np.ndarray:
    """Fixed-length description of each gene's profile, shape (n_genes, N_QUANTILES)."""
    return np.quantile(predicted, np.linspace(0, 1, N_QUANTILES), axis=0).T.astype(np.float32)

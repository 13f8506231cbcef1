"""stImpute as its paper defines it (Zeng et al. 2024, Commun. Biol. 7:1271), equation by equation.

Where the text is silent, the choice is said at the place. Differences from the published code are in the user guide.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd
import torch
from scvi import REGISTRY_KEYS
from torch import Tensor, nn

from stimpute.data._hiding import Hiding, split_genes
from stimpute.data._relations import COEXPRESSION, adjacency
from stimpute.data._space import sample_cells
from stimpute.data._spatial import SpatialCells
from stimpute.module._autoencoder import TARGET_KEY, Autoencoder
from stimpute.module._module import StImputeModule
from stimpute.module._paper_graph import NEIGHBOURS_KEY, NeighbourGraphNetwork
from stimpute.module._reliability import SCORE_KEY, ReliabilityNetwork
from stimpute.recipes._base import OutputOptions, Predictor, Recipe, Reference
from stimpute.train._phases import Phases
from stimpute.views._neighbours import nearest

SMALL = 10_000  # cells; below it the paper uses other epochs and another alpha
N_ANCHORS = 1000  # cells whose predicted profile a gene's reliability is read from
N_QUANTILES = 32
CHUNK_ELEMENTS = 2**22  # of targets × cells × k held at once: 16 MB


@dataclass
class PaperRecipe(Recipe):
    """Hyperparameters of the paper, with the paper's defaults.

    Attributes
    ----------
    n_latent
        Width of the autoencoder's latent space.
    n_neighbors
        Reference cells per spatial cell, k.
    n_hidden, n_layers
        Width and number of GraphSAGE layers.
    rounds
        Alternations of graph network and autoencoder after the first autoencoder.
    alpha
        Share of the graph network in the output (eq. 12); 0.7 below 10,000 cells and 0.5 above if None.
    autoencoder_epochs, graph_epochs
        Epochs per phase; `graph_epochs` is 10 below 10,000 cells and 32 above if None.
    lr
        Learning rate of Adam in all phases.
    similarity_weight, residual_weight
        Weights of the two parts of eq. 10; the published code's.
    normalize_nodes
        Scale node states to unit length, as the published code does and the paper does not.
    n_hidings
        Folds of genes for what is predicted as if hidden, and for the reliability network.
    """

    name: ClassVar[str] = "paper"
    reliability_of: ClassVar[str] = "CSS"

    n_latent: int = 100
    n_neighbors: int = 50
    n_hidden: int = 50
    n_layers: int = 2
    rounds: int = 2
    alpha: float | None = None
    autoencoder_epochs: int = 30
    graph_epochs: int | None = None
    lr: float = 0.01
    similarity_weight: float = 2.0
    residual_weight: float = 1.0
    normalize_nodes: bool = False
    n_hidings: int = 5

    def relation_names(self, available: list[str], chosen: Any) -> list[str]:
        """One relation: proteins where the reference has them, else expression."""
        if chosen == "auto":
            return ["protein" if "protein" in available else COEXPRESSION]
        names = [chosen] if isinstance(chosen, str) else list(chosen)
        if len(names) != 1:
            raise ValueError(f"The recipe 'paper' uses one gene relation; found {names}. Name one of {available}.")
        return names

    def check(self, reference: Reference) -> None:
        """Every cell needs k neighbours."""
        if reference.bank.n_cells < self.n_neighbors:
            raise ValueError(
                f"The reference has {reference.bank.n_cells} cells, fewer than n_neighbors={self.n_neighbors}. Pass "
                f"`n_neighbors={reference.bank.n_cells}` or less, or a larger reference."
            )

    def networks(self, n_panel: int, n_relations: int) -> dict[str, nn.Module]:
        """Autoencoder, graph network and reliability network."""
        return {
            "autoencoder": Autoencoder(n_panel, self.n_latent),
            "graph": NeighbourGraphNetwork(
                self.n_neighbors,
                self.n_hidden,
                self.n_layers,
                n_panel,
                normalize=self.normalize_nodes,
                similarity_weight=self.similarity_weight,
                residual_weight=self.residual_weight,
            ),
            "reliability": ReliabilityNetwork(N_QUANTILES),
        }

    def fit(self, cells: SpatialCells, reference: Reference, module: StImputeModule, phases: Phases) -> None:
        """Autoencoder; then rounds of neighbours, graph network and autoencoder; then reliability."""
        n_panel = len(reference.panel)
        small = len(cells) < SMALL
        hidings = split_genes(n_panel, self.n_hidings, phases.seed)
        anchors = cells[sample_cells(np.arange(len(cells)), N_ANCHORS)]
        self.state = {
            "alpha": np.array(self.alpha if self.alpha is not None else 0.7 if small else 0.5),
            "target": np.array([cells.typical_total(h) for h in [*hidings, Hiding.nothing(n_panel)]]),
            "hidden_in": np.empty(n_panel, dtype=int),
            "anchor_counts": anchors.panel.toarray(),
            "anchor_totals": np.empty(0) if anchors.total is None else anchors.total,
            "reliability": np.zeros(n_panel),
        }
        for index, hiding in enumerate(hidings):
            self.state["hidden_in"][hiding.hidden] = index

        predictor = self.predictor(reference, module, -1)
        truth = torch.from_numpy(predictor.panel(cells))
        autoencoder, graph = module["autoencoder"], module["graph"]
        graph.adjacency.copy_(torch.from_numpy(predictor.adjacency(reference.panel)))

        inputs = {REGISTRY_KEYS.X_KEY: truth}
        self._fit_autoencoder(phases, autoencoder, inputs)
        for _ in range(self.rounds):
            neighbours = torch.from_numpy(predictor.neighbours(cells)[0])
            expression = reference.bank.dense(reference.panel).T  # [n_panel, n_reference]
            gather = _Gather(torch.from_numpy(np.ascontiguousarray(expression)))
            batches = phases.batches({**inputs, NEIGHBOURS_KEY: neighbours}, 256, transform=gather)
            phases.run("gene_graph", graph, batches, self.graph_epochs or (10 if small else 32), lr=self.lr)
            residual = truth - _predict_panel(graph, neighbours, gather)
            self._fit_autoencoder(phases, autoencoder, {**inputs, TARGET_KEY: residual})  # eq. 11
        self._fit_reliability(cells, reference, module, phases)

    def _fit_autoencoder(self, phases: Phases, autoencoder: Autoencoder, tensors: dict[str, Tensor]) -> None:
        phases.run("autoencoder", autoencoder, phases.batches(tensors, 128), self.autoencoder_epochs, lr=self.lr)

    def _fit_reliability(
        self, cells: SpatialCells, reference: Reference, module: StImputeModule, phases: Phases
    ) -> None:
        """Eq. 13, out of fold over genes; then once more on all, for the genes that were never measured."""
        profiles, scores = np.zeros((len(reference.panel), N_QUANTILES), np.float32), np.zeros(len(reference.panel))
        for index in range(self.state["hidden_in"].max() + 1):
            predictor = self.predictor(reference, module, index)
            hidden = predictor.hiding.hidden
            predicted = predictor.anchor_profile(reference.panel[hidden])
            truth = predictor.panel(predictor.anchors)[:, hidden]
            profiles[hidden] = quantiles(predicted)
            norm = np.linalg.norm(truth, axis=0) * np.linalg.norm(predicted, axis=0)
            scores[hidden] = (truth * predicted).sum(0) / np.maximum(norm, 1e-12)
        network, target = module["reliability"], torch.from_numpy(scores.astype(np.float32))
        initial = {name: value.clone() for name, value in network.state_dict().items()}
        for index in [*range(self.state["hidden_in"].max() + 1), -1]:
            seen = torch.from_numpy(self.state["hidden_in"] != index)
            network.load_state_dict(initial)
            tensors = {REGISTRY_KEYS.X_KEY: torch.from_numpy(profiles)[seen], SCORE_KEY: target[seen]}
            phases.run("reliability", network, phases.batches(tensors, 64), 60, bar=False, lr=self.lr)
            if index >= 0:
                self.state["reliability"][~seen.numpy()] = _score(network, profiles[~seen.numpy()])

    def predictor(self, reference: Reference, module: StImputeModule, hiding: int) -> PaperPredictor:
        """See :class:`~stimpute.recipes._base.Recipe`."""
        return PaperPredictor(self, reference, module, hiding)


class _Embedded(NamedTuple):
    neighbours: np.ndarray  # [cells, k]
    said: list[Tensor]


class PaperPredictor(Predictor):
    """Predicts genes for cells: embed, find neighbours, pass messages, blend."""

    def __init__(self, recipe: PaperRecipe, reference: Reference, module: StImputeModule, hiding: int) -> None:
        self.recipe, self.reference, self.module = recipe, reference, module
        self.index, self.hiding = hiding, recipe.hiding(hiding)
        self.target = float(recipe.state["target"][hiding])

    @cached_property
    def _reference_panel(self) -> np.ndarray:
        return self.reference.bank.dense(self.reference.panel)

    @cached_property
    def _reference_latent(self) -> Tensor:
        return self._encode(self._reference_panel)

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
        expression = self.reference.bank.by_gene[targets].toarray()
        return torch.from_numpy(expression).to(self.module.device)[:, torch.from_numpy(neighbours)]

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
        """See :class:`~stimpute.recipes._base.Predictor`; the paper defines no intervals."""
        if options != OutputOptions():
            raise ValueError(
                "The recipe 'paper' has no intervals and no choice of spread. Use `recipe=\"crossfit\"`, or leave "
                f"`interval` and `spread` alone; found {options}."
            )
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
            score[own < 0] = _score(self.module["reliability"], profiles)
        reliability = np.where(self.reference.bank.std[targets] > 0, score, 0.0)
        return pd.DataFrame({"reliability": reliability, "n_edges": (self.adjacency(targets) > 0).sum(1)})


class _Gather:
    """Replaces the neighbours' positions of a batch by their expression, shape (n_panel, n_cells, k)."""

    def __init__(self, expression: Tensor) -> None:
        self.expression = expression

    def __call__(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return {**batch, NEIGHBOURS_KEY: self.expression[:, batch[NEIGHBOURS_KEY]]}


@torch.inference_mode()
def _predict_panel(graph: NeighbourGraphNetwork, neighbours: Tensor, gather: _Gather) -> Tensor:
    def predict(rows: Tensor) -> Tensor:
        expression = gather({NEIGHBOURS_KEY: rows})[NEIGHBOURS_KEY]
        return graph.generative(graph.inference(expression)["hidden"])["expression"].cpu()

    return torch.cat([predict(rows) for rows in neighbours.split(512)])


@torch.inference_mode()
def _score(network: ReliabilityNetwork, profiles: np.ndarray) -> np.ndarray:
    return network.inference(torch.from_numpy(profiles).to(network.device))["score"].cpu().numpy()


def quantiles(predicted: np.ndarray) -> np.ndarray:
    """Fixed-length description of each gene's profile, shape (n_genes, N_QUANTILES)."""
    return np.quantile(predicted, np.linspace(0, 1, N_QUANTILES), axis=0).T.astype(np.float32)

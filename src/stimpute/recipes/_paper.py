"""stImpute as its paper defines it (Zeng et al. 2024, Commun. Biol. 7:1271), equation by equation.

Where the text is silent, the choice is said at the place. Differences from the published code are in the user guide.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from scvi import REGISTRY_KEYS
from torch import Tensor, nn

from stimpute.data._hiding import Hiding, split_genes
from stimpute.data._relations import COEXPRESSION
from stimpute.data._space import sample_cells
from stimpute.data._spatial import SpatialCells
from stimpute.module._autoencoder import TARGET_KEY, Autoencoder
from stimpute.module._module import StImputeModule
from stimpute.module._paper_graph import NEIGHBOURS_KEY, NeighbourGraphNetwork
from stimpute.module._reliability import SCORE_KEY, ReliabilityNetwork
from stimpute.recipes._base import Recipe, Reference
from stimpute.recipes._paper_predictor import N_QUANTILES, PaperPredictor, quantiles, scale_factor, score_profiles
from stimpute.train._phases import Phases

SMALL = 10_000  # cells; below it the paper uses other epochs and another alpha
N_ANCHORS = 1000  # cells whose predicted profile a gene's reliability is read from
BATCH_SIZE = 1024  # cells per batch of the autoencoder; the text names none
BATCH_ELEMENTS = 2**23  # genes × cells × k per batch of the graph network: eq. 10 is over all cells, where they fit


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
    retraining_epochs
        Epochs of the autoencoder after each graph network (eq. 11). The text names none; its target is what the graph
        network left over, and a long training on that makes the latent space forget the expression itself.
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
    centred: ClassVar[bool] = False
    calibrated: ClassVar[bool] = False

    n_latent: int = 100
    n_neighbors: int = 50
    n_hidden: int = 50
    n_layers: int = 2
    rounds: int = 2
    alpha: float | None = None
    autoencoder_epochs: int = 30
    graph_epochs: int | None = None
    retraining_epochs: int = 2
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

    def networks(self, n_panel: int, relations: list[str]) -> dict[str, nn.Module]:
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
        self._start(cells, reference, split_genes(n_panel, self.n_hidings, phases.seed))
        predictor = self.predictor(reference, module, -1)
        truth = torch.from_numpy(predictor.panel(cells))
        autoencoder, graph = module["autoencoder"], module["graph"]
        graph.adjacency.copy_(torch.from_numpy(predictor.adjacency(reference.panel)))

        inputs = {REGISTRY_KEYS.X_KEY: truth}
        gather = _Gather(torch.from_numpy(predictor.expression(reference.panel)))
        epochs = self.graph_epochs or (10 if len(cells) < SMALL else 32)
        size = max(1, BATCH_ELEMENTS // (n_panel * self.n_neighbors))
        self._fit_autoencoder(phases, autoencoder, inputs, self.autoencoder_epochs)
        for _ in range(self.rounds):
            predictor = self.predictor(reference, module, -1)  # forgets the latent space of the last round
            neighbours = torch.from_numpy(predictor.neighbours(cells)[0])
            batches = phases.batches({**inputs, NEIGHBOURS_KEY: neighbours}, size, transform=gather)
            phases.run("gene_graph", graph, batches, epochs, lr=self.lr)
            residual = truth - _predict_panel(graph, neighbours, gather)
            self._fit_autoencoder(phases, autoencoder, {**inputs, TARGET_KEY: residual}, self.retraining_epochs)
        self._fit_reliability(cells, reference, module, phases)

    def _start(self, cells: SpatialCells, reference: Reference, hidings: list[Hiding]) -> None:
        """The arrays of the state that are known before training; the last hiding hides nothing."""
        panel, n_panel = reference.bank.dense(reference.panel), len(reference.panel)
        anchors = cells[sample_cells(np.arange(len(cells)), N_ANCHORS)]
        self.state = {
            "alpha": np.array(self.alpha if self.alpha is not None else 0.7 if len(cells) < SMALL else 0.5),
            "target": np.empty(len(hidings) + 1),
            "factor": np.empty(len(hidings) + 1),
            "hidden_in": np.empty(n_panel, dtype=int),
            "anchor_counts": anchors.panel.toarray(),
            "anchor_totals": np.empty(0) if anchors.total is None else anchors.total,
            "reliability": np.zeros(n_panel),
        }
        for index, hiding in enumerate([*hidings, Hiding.nothing(n_panel)]):
            seen, target = hiding.visible, cells.typical_total(hiding)
            self.state["target"][index] = target
            self.state["factor"][index] = scale_factor(cells.normalised(hiding, target)[:, seen], panel[:, seen])
            self.state["hidden_in"][hiding.hidden] = index

    def _fit_autoencoder(
        self, phases: Phases, autoencoder: Autoencoder, tensors: dict[str, Tensor], epochs: int
    ) -> None:
        """Eq. 3, or eq. 11 where the tensors have a target."""
        phases.run("autoencoder", autoencoder, phases.batches(tensors, BATCH_SIZE), epochs, lr=self.lr)

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
                self.state["reliability"][~seen.numpy()] = score_profiles(network, profiles[~seen.numpy()])

    def predictor(self, reference: Reference, module: StImputeModule, hiding: int) -> PaperPredictor:
        """See :class:`~stimpute.recipes._base.Recipe`."""
        return PaperPredictor(self, reference, module, hiding)


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

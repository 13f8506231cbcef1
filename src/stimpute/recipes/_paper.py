"""stImpute as its paper defines it (Zeng et al. 2024, Commun. Biol. 7:1271), equation by equation.

scale         reference cells brought to the total of the spatial cells              `_paper_scale`
autoencoder   spatial and reference cells in one latent space (eq. 1 to 3)           `module/_autoencoder`
neighbors     the nearest reference cells of each cell                               `PaperView`
gene graph    cosine of protein vectors, or of expression (eq. 4 to 6)               `PaperView.adjacency`
network       GraphSAGE over the gene graph (eq. 7 to 9) and its loss (eq. 10)       `module/_neighbor_graph`
rounds        autoencoder and network in turn (eq. 11)                               `PaperRecipe.fit`
output        a blend of the network and the mean of the neighbors (eq. 12)          `PaperGeneBlock.blend`
reliability   cosine similarity score of a gene, out of fold (eq. 13)                `_paper_reliability`

Where the text leaves a choice open, a comment at that place says what was chosen. The user guide lists the differences
from the published code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
import torch
from scvi import REGISTRY_KEYS
from torch import Tensor, nn

from stimpute._messages import LARGEST, MAX_WIDTH, check_at_least, check_at_most, check_count, check_flag, warn
from stimpute.data._folds import GeneFolds, GeneSplit, PerFold
from stimpute.data._reference import Reference
from stimpute.data._relation_store import COEXPRESSION, PROTEIN
from stimpute.data._space import sample_cells
from stimpute.data._spatial import ProbeCells, SpatialCells
from stimpute.module._autoencoder import RESIDUAL_KEY, Autoencoder
from stimpute.module._module import StImputeModule
from stimpute.module._neighbor_graph import NEIGHBORS_KEY, NeighborGraphNetwork
from stimpute.module._reliability_network import ReliabilityNetwork
from stimpute.recipes._base import Recipe
from stimpute.recipes._options import Capabilities, DataSizes
from stimpute.recipes._paper_fit import PaperFit, PaperPreparation
from stimpute.recipes._paper_predictor import PaperPredictor
from stimpute.recipes._paper_reliability import N_QUANTILES, fit_reliability
from stimpute.recipes._paper_scale import reference_factor
from stimpute.recipes._paper_view import PaperView
from stimpute.train._trainer import PhaseTrainer

SMALL_DATA = 10_000  # cells; the paper uses other epochs and another alpha for larger data
ALPHA_SMALL = 0.7
ALPHA_LARGE = 0.5
GRAPH_EPOCHS_SMALL = 10
GRAPH_EPOCHS_LARGE = 32
N_PROBE = 1000  # cells in which the predicted profile of a gene is computed
ONE_NEIGHBORHOOD, MANY_NEIGHBORHOODS = 2, 10  # times k distinct neighbors of all cells
AUTOENCODER_BATCH = 1024  # cells; the text names no batch size
MAX_LAYERS = 100  # and rounds; states of genes are equal long before
GRAPH_BATCH_ELEMENTS = 2**23  # genes × cells × neighbors in a batch: eq. 10 is over all cells, where they fit
PREDICTION_BATCH = 512  # cells at once when the residual of eq. 11 is computed


@dataclass(frozen=True)
class PaperRecipe(Recipe):
    """Hyperparameters of the paper, with the paper's defaults.

    Attributes
    ----------
    n_latent
        Width of the autoencoder's latent space.
    n_neighbors
        Number of reference cells per spatial cell, k.
    n_hidden, n_layers
        Width and number of GraphSAGE layers.
    n_rounds
        Number of alternations of graph network and autoencoder after the first autoencoder.
    alpha
        Share of the graph network in the output (eq. 12); 0.7 below 10,000 cells and 0.5 above if None.
    autoencoder_epochs, graph_epochs
        Epochs per phase; `graph_epochs` is 10 below 10,000 cells and 32 above if None.
    retraining_epochs
        Epochs of the autoencoder after each graph network (eq. 11), 0 for none. The text names none. Its target is the
        residual of the graph network, and after a long training on that the latent space no longer describes
        expression.
    lr
        Learning rate of Adam in all phases.
    similarity_weight, residual_weight
        Weights of the two parts of eq. 10; those of the published code.
    normalize_nodes
        Scale the states of genes to unit length, as the published code does and the paper does not.
    n_folds
        Number of folds of the genes, for the prediction of shared genes and for the reliability network.
    """

    name: ClassVar[str] = "paper"
    capabilities: ClassVar[Capabilities] = Capabilities(
        latent_space=True, centers_vectors=False, max_relations=1, reliability_metric="css"
    )
    fit_type: ClassVar[type] = PaperFit

    n_latent: int = 100
    n_neighbors: int = 50
    n_hidden: int = 50
    n_layers: int = 2
    n_rounds: int = 2
    alpha: float | None = None
    autoencoder_epochs: int = 30
    graph_epochs: int | None = None
    retraining_epochs: int = 2
    lr: float = 0.01
    similarity_weight: float = 2.0
    residual_weight: float = 1.0
    normalize_nodes: bool = False
    n_folds: int = 5

    def __post_init__(self) -> None:
        check_count(2, n_folds=self.n_folds)
        check_count(1, n_latent=self.n_latent, n_neighbors=self.n_neighbors, n_hidden=self.n_hidden)
        check_count(1, n_layers=self.n_layers, n_rounds=self.n_rounds, graph_epochs=self.graph_epochs)
        check_count(1, autoencoder_epochs=self.autoencoder_epochs)
        check_count(0, retraining_epochs=self.retraining_epochs)
        check_at_least(0, lr=self.lr, similarity_weight=self.similarity_weight, residual_weight=self.residual_weight)
        check_at_most(LARGEST, lr=self.lr, similarity_weight=self.similarity_weight)
        check_at_most(LARGEST, residual_weight=self.residual_weight)
        check_at_most(MAX_WIDTH, n_latent=self.n_latent, n_hidden=self.n_hidden)
        check_at_most(MAX_LAYERS, n_layers=self.n_layers, n_rounds=self.n_rounds)
        check_flag(normalize_nodes=self.normalize_nodes)
        check_at_least(0, alpha=self.alpha)
        if self.alpha is not None and self.alpha > 1:
            raise ValueError(f"`alpha` is {self.alpha}; expected a share between 0 and 1.")

    def default_relations(self, available: Sequence[str]) -> list[str]:
        """Use proteins where the reference has them, else expression, with a warning."""
        if PROTEIN in available:
            return [PROTEIN]
        warn(
            f'The reference has no protein vectors named {PROTEIN!r}. The recipe "paper" relates genes by '
            "co-expression instead. Call `stimpute.pp.add_protein_embeddings(reference, path)` before, or choose "
            f"one of {list(available)} by `relations=`.",
        )
        return [COEXPRESSION]

    def check(self, reference: Reference) -> None:
        """Check that every cell can have k neighbors, and that genes are related."""
        n_cells = reference.expression.n_cells
        if n_cells < self.n_neighbors:
            raise ValueError(
                f"The reference has {n_cells} cells, fewer than n_neighbors={self.n_neighbors}. Pass "
                f"`n_neighbors={n_cells}` or less, or a larger reference."
            )
        if not reference.relations:
            raise ValueError(f"The recipe {self.name!r} needs a gene relation. Name one by `relations=`.")

    def build(self, sizes: DataSizes) -> dict[str, nn.Module]:
        """Build autoencoder, graph network and reliability network."""
        return {
            "autoencoder": Autoencoder(sizes.n_shared, self.n_latent),
            "graph": NeighborGraphNetwork(
                self.n_neighbors,
                self.n_hidden,
                self.n_layers,
                sizes.n_shared,
                normalize=self.normalize_nodes,
                similarity_weight=self.similarity_weight,
                residual_weight=self.residual_weight,
            ),
            "reliability": ReliabilityNetwork(N_QUANTILES),
        }

    def work_per_step(self, sizes: DataSizes) -> float:
        """Count the products of the GraphSAGE layers in one batch: projection of neighbors, and aggregation."""
        n_cells = min(sizes.n_cells, self._graph_batch_size(sizes.n_shared))
        per_layer = n_cells * sizes.n_shared * (self.n_neighbors + sizes.n_shared) * self.n_hidden
        return float(per_layer * self.n_layers)

    def work_per_value(self, sizes: DataSizes) -> float:
        """Count the projection of the neighbors, and the aggregation over genes."""
        return float((self.n_neighbors + sizes.n_shared) * self.n_hidden)

    def _graph_batch_size(self, n_shared: int) -> int:
        return max(1, GRAPH_BATCH_ELEMENTS // (n_shared * self.n_neighbors))

    def fit(self, cells: SpatialCells, reference: Reference, module: StImputeModule, trainer: PhaseTrainer) -> PaperFit:
        """Train as in the paper's "iterative training procedure"; then fit the reliability."""
        preparation = self._prepare(cells, reference, trainer.seed)
        view_of = partial(PaperView, preparation, reference, module, self.n_neighbors)
        view = view_of(None)
        truth = torch.from_numpy(view.log_normalized(cells))
        inputs = {REGISTRY_KEYS.X_KEY: truth}
        expression = torch.from_numpy(view.reference_expression(reference.shared))
        graph = module["graph"]
        graph.adjacency.copy_(torch.from_numpy(view.adjacency(reference.shared)))

        self._train_autoencoder(trainer, module, inputs, self.autoencoder_epochs)
        for _ in range(self.n_rounds):
            # In a new view: the latent space of the last round is outdated.
            neighbors = torch.from_numpy(view_of(None).nearest_reference_cells(cells, self.n_neighbors)[0])
            self._train_graph(trainer, graph, {**inputs, NEIGHBORS_KEY: neighbors}, expression)
            if self.retraining_epochs:
                residual = truth - _predict_shared(graph, neighbors, expression)
                self._train_autoencoder(trainer, module, {**inputs, RESIDUAL_KEY: residual}, self.retraining_epochs)
        self._warn_of_one_neighborhood(view_of(None), preparation.probe.cells(), reference.expression.n_cells)
        return PaperFit(preparation, fit_reliability(view_of, trainer, self.lr))

    def _warn_of_one_neighborhood(self, view: PaperView, cells: SpatialCells, n_reference: int) -> None:
        """Warn if all cells have about the same neighbors: most units of the encoder are 0 for every cell then."""
        n_found = len(np.unique(view.nearest_reference_cells(cells, self.n_neighbors)[0]))
        if n_found <= ONE_NEIGHBORHOOD * self.n_neighbors < MANY_NEIGHBORHOODS * self.n_neighbors < n_reference:
            warn(
                f"All spatial cells have about the same neighbors: {n_found} of {n_reference:,} reference cells, at "
                f"n_neighbors={self.n_neighbors}. Predictions hardly differ between cells. The autoencoder lost its "
                "latent space when it was trained on the residual (eq. 11): pass `retraining_epochs=0`, or use "
                '`recipe="crossfit"`.'
            )

    def _prepare(self, cells: SpatialCells, reference: Reference, seed: int) -> PaperPreparation:
        """Fix folds, totals, the scale of the reference, alpha and probe cells."""
        folds = GeneFolds.draw(len(reference.shared), self.n_folds, seed)
        shared = reference.expression.dense(reference.shared)

        def factor(split: GeneSplit) -> float:
            spatial = cells.log_normalized(split, cells.target_sum(split))
            return reference_factor(spatial[:, split.inputs], shared[:, split.inputs])

        alpha = self.alpha
        if alpha is None:
            alpha = ALPHA_SMALL if len(cells) < SMALL_DATA else ALPHA_LARGE
        return PaperPreparation(
            folds=folds,
            alpha=alpha,
            target_sum=PerFold.compute(folds, cells.target_sum),
            reference_factor=PerFold.compute(folds, factor),
            probe=ProbeCells.take(cells, sample_cells(np.arange(len(cells)), N_PROBE)),
        )

    def _train_autoencoder(
        self, trainer: PhaseTrainer, module: StImputeModule, tensors: dict[str, Tensor], n_epochs: int
    ) -> None:
        """Minimize eq. 3, or eq. 11 where the tensors hold a residual."""
        batches = trainer.batches(tensors, AUTOENCODER_BATCH)
        trainer.run("autoencoder", module["autoencoder"], batches, n_epochs, lr=self.lr)

    def _train_graph(
        self, trainer: PhaseTrainer, graph: NeighborGraphNetwork, tensors: dict[str, Tensor], expression: Tensor
    ) -> None:
        """Minimize eq. 10, with the expression of the shared genes in the reference, shape (n_shared, n_reference)."""
        n_cells, n_shared = tensors[REGISTRY_KEYS.X_KEY].shape
        n_epochs = self.graph_epochs
        if n_epochs is None:
            n_epochs = GRAPH_EPOCHS_SMALL if n_cells < SMALL_DATA else GRAPH_EPOCHS_LARGE
        look_up = partial(_look_up_neighbors, expression)
        batches = trainer.batches(tensors, self._graph_batch_size(n_shared), transform=look_up)
        trainer.run("gene_graph", graph, batches, n_epochs, lr=self.lr)

    def predictor(self, fit: PaperFit, reference: Reference | None, module: StImputeModule) -> PaperPredictor:
        """See :class:`~stimpute.recipes.Recipe`."""
        return PaperPredictor(fit, reference, module, self.n_neighbors)


def _look_up_neighbors(expression: Tensor, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Replace the positions of neighbors in a batch by their expression, shape (n_shared, n_cells, k)."""
    return {**batch, NEIGHBORS_KEY: expression[:, batch[NEIGHBORS_KEY]]}


@torch.inference_mode()
def _predict_shared(graph: NeighborGraphNetwork, neighbors: Tensor, expression: Tensor) -> Tensor:
    """Predict the shared genes of all cells with the graph network, shape (n_cells, n_shared)."""
    predicted = []
    for rows in neighbors.split(PREDICTION_BATCH):
        states = graph.inference(expression[:, rows])["states"]
        predicted.append(graph.generative(states)["expression"].cpu())
    return torch.cat(predicted)

"""`crossfit`: hide measured genes, predict them as an unmeasured gene would be, and learn everything from that.

In one line each:

views        attention to reference metacells; messages from measured genes; messages from the cells around
training     both networks together, on genes that are hidden from them, in every step others
members      each member of the ensemble never learns from one fold of the genes
gate         how much of the signal to believe, from each member's own fold
moments      a gene's mean and spread on the spatial platform, from its reference statistics
calibration  intervals and reliability, from the same out-of-fold predictions
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from stimpute.calibrate._intervals import Intervals
from stimpute.calibrate._moments import Moments
from stimpute.calibrate._reliability import Reliability
from stimpute.data._hiding import Hiding, split_genes
from stimpute.data._panel import find_metacells
from stimpute.data._relations import COEXPRESSION
from stimpute.data._space import sample_cells
from stimpute.data._spatial import SpatialCells
from stimpute.module._attention import AttentionAutoencoder
from stimpute.module._gene_graph import GeneGraphNetwork
from stimpute.module._hidden_genes import HiddenGeneModule
from stimpute.module._module import StImputeModule
from stimpute.recipes._base import Recipe, Reference
from stimpute.recipes._crossfit_batches import HiddenGeneBatches
from stimpute.recipes._crossfit_genes import N_STATISTICS, gene_statistics
from stimpute.recipes._crossfit_predictor import CrossfitPredictor
from stimpute.train._phases import Phases
from stimpute.train._plan import OneCyclePlan

N_DERIVED = 3  # of the correlation: its signed root, over metacells, and as carried over to the spatial platform
N_ANCHORS = 1000  # cells that stay with the model, on which any gene's prediction is described
N_CALIBRATION = 2000  # cells on which hidden genes are compared with their truth
STEPS_PER_EPOCH = 10


@dataclass
class CrossfitRecipe(Recipe):
    """Hyperparameters of `crossfit`; one set for all data.

    Attributes
    ----------
    n_latent
        Width of the latent space.
    n_neighbors
        Reference cells that :meth:`stimpute.StImputeModel.get_neighbors` returns.
    n_metacells
        Groups of reference cells that a cell attends to.
    n_around
        Cells around a cell, whose mean is heard too.
    n_hidings
        Folds of the genes, and members of the ensemble.
    n_hidden
        Width of the network that makes edge weights.
    n_steps, batch_size
        Training steps, and cells per step.
    lr, autoencoder_lr, weight_decay
        Of AdamW with one cycle.
    error_weight
        Weight of the squared error beside the correlation.
    hidden_share
        Least and largest share of the genes that is hidden in a step.
    ridge
        Added to the diagonal of the panel's correlation before it is inverted.
    attention, space
        Whether to use attention to the reference, and the cells around. Without gene relations
        (`StImputeModel(..., relations=[])`) there are no messages between genes.
    hide
        Whether to hide genes in training. Without, everything is learnt in-sample: for comparison only.
    """

    name: ClassVar[str] = "crossfit"
    reliability_of: ClassVar[str] = "PCC"

    n_latent: int = 32
    n_neighbors: int = 50
    n_metacells: int = 400
    n_around: int = 10
    n_hidings: int = 5
    n_hidden: int = 16
    n_steps: int = 300
    batch_size: int = 128
    lr: float = 1e-2
    autoencoder_lr: float = 3e-3
    weight_decay: float = 1e-2
    error_weight: float = 0.3
    hidden_share: tuple[float, float] = (0.1, 0.5)
    ridge: float = 1.0
    attention: bool = True
    space: bool = True
    hide: bool = True

    def relation_names(self, available: list[str], chosen: Any) -> list[str]:
        """All that the reference has, or those that were named."""
        names = available if chosen == "auto" else [chosen] if isinstance(chosen, str) else list(chosen)
        return sorted(names, key=lambda name: (name != COEXPRESSION, name))

    def check(self, reference: Reference) -> None:
        """Neighbours and metacells need cells; something must be left to learn."""
        if not (self.attention or reference.relations):
            raise ValueError("`attention=False` with `relations=[]` leaves nothing to predict from. Keep one of them.")
        if reference.bank.n_cells < self.n_neighbors:
            raise ValueError(
                f"The reference has {reference.bank.n_cells} cells, fewer than n_neighbors={self.n_neighbors}. Pass "
                f"`n_neighbors={reference.bank.n_cells}` or less, or a larger reference."
            )

    def networks(self, n_panel: int, relations: list[str]) -> dict[str, nn.Module]:
        """The attention autoencoder and, where genes are related at all, the gene graph."""
        members = self.n_members(n_panel)
        networks: dict[str, nn.Module] = {"autoencoder": AttentionAutoencoder(n_panel, self.n_latent, members)}
        if relations:
            n_features = len(relations) + (N_DERIVED if COEXPRESSION in relations else 0)
            n_channels = 2 if self.space else 1
            networks["graph"] = GeneGraphNetwork(n_features, N_STATISTICS, n_channels, members, self.n_hidden)
        return networks

    def n_members(self, n_panel: int) -> int:
        """Members of the ensemble: one per fold of the genes."""
        return min(self.n_hidings, n_panel)

    def fit(self, cells: SpatialCells, reference: Reference, module: StImputeModule, phases: Phases) -> None:
        """Prepare; train on hidden genes; calibrate on each member's own fold."""
        self._prepare(cells, reference, phases.seed)
        self._keep_anchors(cells, reference, module)
        self._train(cells, reference, module, phases)
        self._calibrate(cells, reference, module)

    def _prepare(self, cells: SpatialCells, reference: Reference, seed: int) -> None:
        """Statistics that a new slice must share with the training data."""
        n_panel, bank = len(reference.panel), reference.bank
        hidings = split_genes(n_panel, self.n_hidings, seed)
        hidden_in = np.empty(n_panel, dtype=int)
        for index, hiding in enumerate(hidings):
            hidden_in[hiding.hidden] = index
        nothing = Hiding.nothing(n_panel)
        panel = cells.normalised(nothing, cells.typical_total(nothing))
        raw = gene_statistics(reference, reference.panel)
        self.state = {
            "hidden_in": hidden_in,
            "target": np.array([cells.typical_total(h) for h in [*hidings, nothing]]),
            "mean": panel.mean(0, dtype=np.float64),
            "std": panel.std(0, dtype=np.float64),
            "statistics_mean": raw.mean(0),
            "statistics_std": raw.std(0) + 1e-6,
            "metacell": find_metacells(bank, reference.panel, self.n_metacells, seed),
            "placed": np.array(self.space and cells.coords is not None),
        }

    def _keep_anchors(self, cells: SpatialCells, reference: Reference, module: StImputeModule) -> None:
        """Some cells, as they look under each hiding, stay with the model."""
        rows = sample_cells(np.arange(len(cells)), N_ANCHORS)
        hidings = [*range(self.n_members(len(reference.panel))), -1]
        views = [self.predictor(reference, module, h).channels(cells, rows) for h in hidings]
        self.state["anchors"] = np.stack([np.stack(view) for view in views]).astype(np.float32)

    def _train(self, cells: SpatialCells, reference: Reference, module: StImputeModule, phases: Phases) -> None:
        """Both networks at once, each step on other hidden genes."""
        everything = self.predictor(reference, module, -1)
        autoencoder = module["autoencoder"]
        autoencoder.start_from(torch.from_numpy(everything.genes.reference_panel.profiles))
        members = torch.arange(self.n_members(len(reference.panel)))
        hidden_in = torch.from_numpy(self.state["hidden_in"])
        together = HiddenGeneModule(
            autoencoder,
            module["graph"] if reference.relations else None,
            everything.genes.relations(reference.panel),
            everything.genes.statistics(reference.panel),
            everything.genes.precision,
            members[:, None] != hidden_in[None],
            error_weight=self.error_weight,
            use_attention=self.attention,
            leave_out=self.hide,
        )
        batches = HiddenGeneBatches(cells, self.state, self.n_around, self.hidden_share, phases.seed, hide=self.hide)
        data = phases.batches(
            {"rows": torch.arange(len(cells))},
            self.batch_size,
            transform=batches,
            steps_per_epoch=STEPS_PER_EPOCH,
        )
        options: dict[str, Any] = {"lr": self.lr, "slow_lr": self.autoencoder_lr, "weight_decay": self.weight_decay}
        epochs = -(-self.n_steps // STEPS_PER_EPOCH)
        phases.run("hidden_genes", together, data, epochs, plan_class=OneCyclePlan, **options)

    def _calibrate(self, cells: SpatialCells, reference: Reference, module: StImputeModule) -> None:
        """Gate, moments, intervals and reliability from predictions of genes that a member never learnt from."""
        rows = sample_cells(np.arange(len(cells)), N_CALIBRATION)
        state, fold, panel = self.state, self.state["hidden_in"], reference.panel
        predictors = [self.predictor(reference, module, h) for h in [*range(self.n_members(len(panel))), -1]]

        signal, truth = (np.zeros((len(rows), len(panel)), np.float32) for _ in range(2))
        for predictor in predictors[:-1]:
            hidden = predictor.hiding.hidden
            signal[:, hidden] = predictor.signal(predictor.embed(cells, rows), panel[hidden])
            truth[:, hidden] = predictor.standardised(cells[rows])[:, hidden]
        state["gate"] = np.clip((signal * truth).sum() / np.maximum((signal**2).sum(), 1e-12), 0, 1.5)

        statistics = predictors[-1].genes.statistics(panel).numpy()
        moments = Moments.fit(statistics, state["mean"], state["std"])
        mean, std = Moments.out_of_fold(statistics, state["mean"], state["std"], fold)
        state |= {"moments": moments.coefficients, "panel_mean": mean, "panel_std": std}

        predicted = np.maximum(mean + std * state["gate"] * signal, 0)
        intervals = Intervals.fit(truth * state["std"] + state["mean"], predicted, std, fold)
        state |= {f"interval_{name}": value for name, value in vars(intervals).items()}

        features = np.empty((len(panel), predictors[-1].features(panel[:1]).shape[1]))
        for predictor in predictors[:-1]:
            features[predictor.hiding.hidden] = predictor.features(panel[predictor.hiding.hidden])
        reached, spread = correlation(truth, signal), state["gate"] * signal.std(0)
        reliability = Reliability.fit(features, reached, spread)
        state |= {f"reliability_{name}": value for name, value in vars(reliability).items()}
        state["panel_reliability"] = Reliability.out_of_fold(features, reached, spread, reference.n_seen(panel), fold)

    def predictor(self, reference: Reference, module: StImputeModule, hiding: int) -> CrossfitPredictor:
        """See :class:`~stimpute.recipes._base.Recipe`."""
        return CrossfitPredictor(self, reference, module, hiding)


def correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Pearson correlation of columns; 0 for a constant one."""
    a, b = a - a.mean(0), b - b.mean(0)
    return (a * b).sum(0) / np.maximum(np.linalg.norm(a, axis=0) * np.linalg.norm(b, axis=0), 1e-12)

"""`crossfit`: mask measured genes, predict them like an unmeasured gene, and learn everything from that.

attention    z-scores from reference metacells that resemble the cell                `module/_attention`
messages     z-scores from measured genes of the cell and of its niche               `module/_gene_graph`
training     both networks at once, on masked genes, other genes in every step       `module/_masked_genes`
ensemble     each member never learns from one fold of the genes                     `_crossfit_ensemble`
slope        how far to trust the predicted z-score, from each member's own fold     `_crossfit_calibration`
moments      mean and standard deviation of a gene on the spatial platform           `calibrate/_moments`
intervals    quantiles of the residuals of the same predictions                      `calibrate/_intervals`
reliability  the expected correlation of a gene with its truth                       `calibrate/_reliability`

The user guide has the equations, in the same order.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from stimpute._messages import LARGEST, MAX_WIDTH, check_at_least, check_at_most, check_count, check_flag
from stimpute.data._reference import Reference
from stimpute.data._spatial import SpatialCells
from stimpute.module._attention import AttentionAutoencoder
from stimpute.module._gene_graph import GeneGraphNetwork
from stimpute.module._masked_genes import MaskedGeneModule
from stimpute.module._module import StImputeModule
from stimpute.recipes._base import Recipe
from stimpute.recipes._crossfit_batches import MaskedGeneBatches
from stimpute.recipes._crossfit_calibration import calibrate
from stimpute.recipes._crossfit_ensemble import CrossfitEnsemble
from stimpute.recipes._crossfit_fit import CrossfitFit
from stimpute.recipes._crossfit_genes import N_STATISTICS, n_relation_features
from stimpute.recipes._crossfit_predictor import CrossfitPredictor
from stimpute.recipes._crossfit_preparation import prepare
from stimpute.recipes._options import Capabilities, DataSizes
from stimpute.train._plan import OneCyclePlan
from stimpute.train._trainer import PhaseTrainer

STEPS_PER_EPOCH = 10
MAX_NEIGHBORS = 1000
MIN_RIDGE = 1e-3  # without it the matrix may have no inverse, for example if a gene is constant in the reference


@dataclass(frozen=True)
class CrossfitRecipe(Recipe):
    """Hyperparameters of `crossfit`; one set for all data.

    Attributes
    ----------
    n_latent
        Width of the latent space.
    n_metacells
        Number of groups of reference cells that a cell attends to.
    n_spatial_neighbors
        Number of spatial neighbors whose mean is an input too.
    n_folds
        Number of folds of the genes, and of members of the ensemble.
    n_hidden
        Width of the hidden layer of the network that computes edge weights.
    n_steps, batch_size
        Number of training steps, and of cells per step.
    lr, autoencoder_lr
        Peak learning rate of the messages and of the attention, in one cycle of AdamW.
    weight_decay
        Weight decay of AdamW.
    error_weight
        Weight of the squared error beside the correlation.
    masked_share
        Minimum and maximum share of the genes that is masked in a step.
    ridge
        Added to the diagonal of the correlation of the shared genes before it is inverted; at least 0.001.
    max_exact_genes, n_components
        With more shared genes than `max_exact_genes`, correlations in the reference are computed in `n_components`
        principal components, so that time and memory do not grow with the square of their number.
    use_attention, use_space
        Whether to use attention to the reference, and the spatial neighbors. Without gene relations
        (`StImputeModel(..., relations=[])`) there are no messages between genes.
    mask_genes
        Whether to mask genes in training. Without, everything is learned in-sample: for comparison only.
    """

    name: ClassVar[str] = "crossfit"
    capabilities: ClassVar[Capabilities] = Capabilities(
        intervals=True, variance_matching=True, latent_space=True, uses_space=True, several_references=True
    )
    fit_type: ClassVar[type] = CrossfitFit

    n_latent: int = 32
    n_metacells: int = 400
    n_spatial_neighbors: int = 10
    n_folds: int = 5
    n_hidden: int = 16
    n_steps: int = 300
    batch_size: int = 128
    lr: float = 1e-2
    autoencoder_lr: float = 3e-3
    weight_decay: float = 1e-2
    error_weight: float = 0.3
    masked_share: tuple[float, float] = (0.1, 0.5)
    ridge: float = 1.0
    max_exact_genes: int = 1000
    n_components: int = 128
    use_attention: bool = True
    use_space: bool = True
    mask_genes: bool = True

    def __post_init__(self) -> None:
        check_count(2, n_folds=self.n_folds)
        check_count(1, n_latent=self.n_latent, n_metacells=self.n_metacells, n_hidden=self.n_hidden)
        check_count(1, n_spatial_neighbors=self.n_spatial_neighbors, n_steps=self.n_steps, batch_size=self.batch_size)
        check_count(1, max_exact_genes=self.max_exact_genes, n_components=self.n_components)
        check_at_least(0, lr=self.lr, autoencoder_lr=self.autoencoder_lr, weight_decay=self.weight_decay)
        check_at_least(0, error_weight=self.error_weight)
        check_at_least(MIN_RIDGE, ridge=self.ridge)
        check_at_most(LARGEST, lr=self.lr, autoencoder_lr=self.autoencoder_lr, weight_decay=self.weight_decay)
        check_at_most(LARGEST, error_weight=self.error_weight, ridge=self.ridge)
        check_at_most(MAX_WIDTH, n_latent=self.n_latent, n_hidden=self.n_hidden)
        check_at_most(MAX_NEIGHBORS, n_spatial_neighbors=self.n_spatial_neighbors)
        check_flag(use_attention=self.use_attention, use_space=self.use_space, mask_genes=self.mask_genes)
        if np.shape(self.masked_share) != (2,):
            raise TypeError(f"`masked_share` is {self.masked_share!r}; expected two shares, minimum and maximum.")
        low, high = self.masked_share
        check_at_least(0, masked_share=low)
        check_at_least(0, masked_share=high)
        if not low <= high < 1:
            raise ValueError(f"`masked_share` is {self.masked_share}; expected 0 <= minimum <= maximum < 1.")

    def check(self, reference: Reference) -> None:
        """Check that attention or relations are left to predict from."""
        if not (self.use_attention or reference.relations):
            raise ValueError(
                "`use_attention=False` with `relations=[]` leaves nothing to predict from. Keep one of them."
            )

    def build(self, sizes: DataSizes) -> dict[str, nn.Module]:
        """Build the attention autoencoder and, where genes are related at all, the gene graph."""
        n_members = min(self.n_folds, sizes.n_shared)
        networks: dict[str, nn.Module] = {
            "autoencoder": AttentionAutoencoder(sizes.n_shared, self.n_latent, n_members, sizes.n_datasets),
        }
        if sizes.relations:
            n_inputs = 2 if self.use_space else 1
            n_features = n_relation_features(sizes)
            networks["graph"] = GeneGraphNetwork(n_features, N_STATISTICS, n_inputs, n_members, self.n_hidden)
        return networks

    def correlation_components(self, n_shared: int) -> int | None:
        """See :class:`~stimpute.recipes.Recipe`."""
        return self.n_components if n_shared > self.max_exact_genes else None

    def work_per_step(self, sizes: DataSizes) -> float:
        """Count the largest product: the inputs of the cells and of their niches, times precision."""
        n_components = self.correlation_components(sizes.n_shared)
        rank = sizes.n_shared if n_components is None else 2 * n_components
        return 2.0 * self.batch_size * sizes.n_shared * rank

    def work_per_value(self, sizes: DataSizes) -> float:
        """Count attention, and messages from the cell and its niche."""
        return float(self.n_metacells + 2 * sizes.n_shared)

    def fit(
        self, cells: SpatialCells, reference: Reference, module: StImputeModule, trainer: PhaseTrainer
    ) -> CrossfitFit:
        """Prepare; train on masked genes; calibrate on each member's own fold."""
        neighbors = None
        if self.use_space and cells.coords is not None:
            neighbors = cells.neighbors(self.n_spatial_neighbors)
        preparation = prepare(cells, neighbors, reference, self.n_folds, self.n_metacells, trainer.seed)
        ensemble = CrossfitEnsemble(preparation, reference, module, ridge=self.ridge, use_attention=self.use_attention)
        self._train(cells, neighbors, ensemble, trainer)
        return CrossfitFit(preparation, calibrate(cells, neighbors, ensemble))

    def _train(
        self, cells: SpatialCells, neighbors: np.ndarray | None, ensemble: CrossfitEnsemble, trainer: PhaseTrainer
    ) -> None:
        """Train both networks at once; every step masks other genes."""
        features = ensemble.features
        shared = ensemble.reference.shared
        autoencoder = ensemble.module["autoencoder"]
        profiles = torch.from_numpy(features.metacells.shared_profiles)
        autoencoder.start_from(profiles, torch.from_numpy(ensemble.preparation.agreement.is_beyond_chance))
        fold_of_gene = torch.from_numpy(ensemble.preparation.folds.fold_of_gene)
        members = torch.arange(len(ensemble.preparation.folds))
        task = MaskedGeneModule(
            autoencoder,
            ensemble.module["graph"] if ensemble.reference.relations else None,
            profiles,
            features.statistics(shared),
            copy.deepcopy(features.precision),  # which is moved to the device of the training
            members[:, None] != fold_of_gene[None],
            error_weight=self.error_weight,
            use_attention=self.use_attention,
            leave_out=self.mask_genes,
            dataset=torch.from_numpy(features.metacells.dataset),
        )
        batches = MaskedGeneBatches(
            cells,
            ensemble.preparation.scaling,
            neighbors,
            self.masked_share,
            features.for_training() if ensemble.reference.relations else None,
            trainer.seed,
            mask_genes=self.mask_genes,
        )
        data = trainer.batches(
            {"rows": torch.arange(len(cells))},
            self.batch_size,
            transform=batches,
            steps_per_epoch=STEPS_PER_EPOCH,
        )
        n_epochs = -(-self.n_steps // STEPS_PER_EPOCH)  # rounded up
        options: dict[str, Any] = {"lr": self.lr, "slow_lr": self.autoencoder_lr, "weight_decay": self.weight_decay}
        trainer.run("masked_genes", task, data, n_epochs, plan_class=OneCyclePlan, **options)

    def predictor(self, fit: CrossfitFit, reference: Reference | None, module: StImputeModule) -> CrossfitPredictor:
        """See :class:`~stimpute.recipes.Recipe`."""
        return CrossfitPredictor(
            fit,
            reference,
            module,
            ridge=self.ridge,
            use_attention=self.use_attention,
            n_spatial_neighbors=self.n_spatial_neighbors,
        )

"""Define `StImputeModel`: set up, train, impute, save and load."""

from __future__ import annotations

import contextlib
import dataclasses
import weakref
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import scvi
import torch
from anndata import AnnData

from stimpute._arguments import check_arguments
from stimpute._messages import check_count
from stimpute._threads import suitable_threads
from stimpute.data._arrays import to_arrays
from stimpute.data._join import References, is_several
from stimpute.data._normalize import median_total
from stimpute.data._space import sample_cells
from stimpute.model import _cells, _estimate, _explained, _impute, _persist, _properties
from stimpute.model._data import ModelData
from stimpute.model._read import read_pair, warn_without_positions
from stimpute.model._registration import SetupMixin
from stimpute.model._saving import SaveMixin
from stimpute.model._setup import check_anndata, check_set_up
from stimpute.module._module import StImputeModule
from stimpute.recipes import Predictor, Recipe, get_recipe
from stimpute.recipes._registry import check_registered
from stimpute.train._contexts import seeded
from stimpute.train._trainer import PhaseTrainer

OF_MUDATA = 'Call `StImputeModel.from_mudata(mdata, spatial="...", reference="...")`.'
MAX_CELLS = 20_000
PATCH = 64  # training cells are sampled in contiguous patches, so that their spatial neighbors are included
UNTRAINED = "The model is not trained. Call `model.train()` first."


class StImputeModel(SetupMixin, SaveMixin):
    """Predict the genes that a spatial experiment did not measure, from a single-cell reference.

    Parameters
    ----------
    spatial
        Spatial cells, registered by :meth:`setup_anndata`.
    reference
        Reference cells of the same tissue, registered by :meth:`setup_anndata`.
    registry
        Registry of a saved model; for :meth:`load`.
    recipe
        The method: `"crossfit"`, `"paper"` for Zeng et al. 2024, another name that was registered, or a recipe such as
        :class:`stimpute.recipes.CrossfitRecipe`.
    relations
        Gene relations of the reference to use: `"auto"` for all that the recipe can use, or names. See
        :func:`stimpute.pp.add_protein_embeddings` and :func:`stimpute.pp.add_gene_network`.
    recipe_kwargs
        Hyperparameters of the recipe: the fields of :class:`stimpute.recipes.CrossfitRecipe` or
        :class:`stimpute.recipes.PaperRecipe`.

    Raises
    ------
    ValueError
        If the datasets share fewer than three genes, or the reference is too small.
    TypeError
        If the recipe has no such hyperparameter, or a dataset has another name.

    Examples
    --------
    >>> StImputeModel.setup_anndata(spatial)
    >>> StImputeModel.setup_anndata(reference)
    >>> model = StImputeModel(spatial, reference)
    >>> model.train()
    >>> imputed = model.impute(genes=["Rorb", "Slc32a1"])
    """

    # scvi-tools saves every attribute whose name ends in `_`: plain values only.
    data_record_: dict[str, Any] | None = None
    fit_arrays_: dict[str, np.ndarray] | None = None
    training_record_: dict[str, Any] | None = None

    def __init__(
        self,
        spatial: AnnData | None = None,
        reference: AnnData | References | None = None,
        registry: dict | None = None,
        *,
        recipe: str | Recipe = "crossfit",
        relations: str | Sequence[str] = "auto",
        **recipe_kwargs: Any,
    ) -> None:
        check_arguments(StImputeModel.__init__, locals(), but=("spatial", "reference", "relations"))
        if named := [name for name, value in recipe_kwargs.items() if isinstance(value, AnnData)]:
            raise TypeError(f"Found datasets called {named}; expected `StImputeModel(spatial, reference)`.")
        if isinstance(relations, Iterable) and not isinstance(relations, str):
            relations = list(relations)  # which a saved model can store
        if isinstance(recipe, Recipe):
            check_registered(type(recipe))
            recipe_kwargs = {**recipe.hyperparameters(), **recipe_kwargs}
            recipe = recipe.name
        self._recipe = get_recipe(recipe).configure(recipe_kwargs)
        check_anndata(OF_MUDATA, spatial=spatial)
        if spatial is None and registry is None:
            raise ValueError("Spatial data are needed: `StImputeModel(spatial, reference)`, both set up.")
        if reference is None and registry is None:
            raise ValueError("A reference is needed: `StImputeModel(spatial, reference)`, both set up.")
        dataset_setups: dict[str, dict[str, Any]] = {}
        with contextlib.ExitStack() as at_end:
            if is_several(reference):
                check_set_up(self._setup_adata_manager_store, {"spatial": spatial})
                reference, dataset_setups = self._join(reference)
                at_end.callback(self.release, reference)  # nobody else knows the joined reference
            check_anndata(OF_MUDATA, reference=reference)
            check_set_up(self._setup_adata_manager_store, {"spatial": spatial, "reference": reference})
            super().__init__(spatial, registry)
            self.init_params_ = self._get_init_params(locals())
            for data in ("spatial", "reference"):  # None would be passed twice when the model is loaded
                self.init_params_["non_kwargs"].pop(data, None)
            weakref.finalize(self, self._per_instance_manager_store.pop, self.id, None)
            self.data = ModelData(self)
            self._fit: Any = None
            self._cached_predictor: Predictor | None = None
            self.module = StImputeModule({})
            if spatial is not None and reference is not None:
                self._read_pair(spatial, reference, relations, dataset_setups)

    def _read_pair(
        self,
        spatial: AnnData,
        reference: AnnData,
        relations: str | Sequence[str],
        dataset_setups: dict[str, dict[str, Any]],
    ) -> None:
        """Match the genes of the two datasets, read the reference, and build untrained networks."""
        manager = self._get_most_recent_anndata_manager(reference, required=True)
        setup = dict(manager.registry["setup_args"])
        record, self.data.attached = read_pair(
            spatial,
            self.spatial_setup,
            reference,
            setup,
            self._recipe,
            relations,
            self.data.scans,
            dataset_setups,
            known_spatial=self.adata_manager.known_cells,
            known_reference=manager.known_cells,
        )
        self.data.compare_with_reference(spatial)
        self.data_record_ = dataclasses.replace(record, n_cells=min(spatial.n_obs, MAX_CELLS)).to_dict()
        with seeded(0):
            self.module = StImputeModule(self._recipe.build(self.sizes))

    def train(
        self,
        max_epochs: int | None = None,
        accelerator: str = "auto",
        devices: int | list[int] | str = "auto",
        batch_size: int | None = None,
        early_stopping: bool = False,
        max_cells: int = MAX_CELLS,
        seed: int | None = None,
        plan_kwargs: dict[str, Any] | None = None,
        **trainer_kwargs: Any,
    ) -> None:
        """Train the networks of the recipe, phase by phase.

        A model that was trained before is trained again from the beginning.
        If training fails or is interrupted, the model stays as it was.

        Parameters
        ----------
        max_epochs
            Upper bound on the epochs of every phase; the recipe's own numbers if None. A warning says if it
            is above all of these.
        accelerator, devices
            As in :class:`lightning.pytorch.Trainer`; one device.
        batch_size
            Cells per batch; each phase's own number if None.
        early_stopping
            Hold out a tenth of the cells, and end a phase when their loss no longer falls.
        max_cells
            Maximum number of spatial cells to train on, sampled evenly over space and batches.
        seed
            Seed of everything random; that of `scvi.settings`, or 0, if None. Torch's global state is left as it was.
        plan_kwargs
            Options of :class:`scvi.train.TrainingPlan` that replace the recipe's, such as `lr`. `crossfit` has its own
            optimizer and schedule: AdamW and one cycle of the learning rate.
        trainer_kwargs
            Options of :class:`scvi.train.Trainer`, such as `enable_progress_bar`.

        Raises
        ------
        TypeError, ValueError
            If an argument makes no sense, or the data were changed since they were set up.
        FloatingPointError
            If the weights are no longer finite.
        """
        check_arguments(StImputeModel.train, locals())
        reference = self.data.need_reference().reference
        check_count(1, max_cells=max_cells, max_epochs=max_epochs, batch_size=batch_size)
        if seed is None:
            seed = scvi.settings.seed or 0
        trainer = PhaseTrainer(
            accelerator=accelerator,
            devices=devices,
            max_epochs=max_epochs,
            batch_size=batch_size,
            early_stopping=early_stopping,
            seed=seed,
            plan_kwargs=plan_kwargs or {},
            trainer_kwargs=trainer_kwargs,
        )
        cells = self.data.read_cells(None)
        uses_space = self._recipe.capabilities.uses_space
        warn_without_positions(cells, self.spatial_setup["spatial_key"], uses_space=uses_space)
        rows = sample_cells(cells.order, max_cells, run=PATCH)
        record = dataclasses.replace(self.data.record, n_cells=len(rows))
        sizes = dataclasses.replace(self.sizes, n_cells=len(rows))
        with seeded(trainer.seed), suitable_threads(self._recipe.work_per_step(sizes)):
            module = StImputeModule(self._recipe.build(sizes)).to(trainer.device)
            fit = self._recipe.fit(cells[rows], reference, module, trainer)
        self.module = module.eval()
        self._fit = fit
        self._cached_predictor = None
        self.fit_arrays_ = to_arrays(fit)
        self.data_record_ = record.to_dict()
        self.train_indices_ = rows
        self.training_record_ = {**trainer.settings(), "max_cells": int(max_cells)}
        if cells.total_counts is not None:
            self.training_record_["target_sum"] = median_total(cells.total_counts[rows])
        self.history_ = trainer.history
        self.is_trained_ = True
        trainer.warn_of_idle_bound()

    def predictor(self, *, need_reference: bool = True) -> Predictor:
        """Return the fitted recipe together with the reference; it is made once and kept.

        Raises
        ------
        RuntimeError
            If the model is not trained, or has no reference and needs one.
        """
        self._check_if_trained(warn=False, message=UNTRAINED)
        attached = self.data.need_reference() if need_reference else self.data.attached
        if self._cached_predictor is None:
            reference = None if attached is None else attached.reference
            self._cached_predictor = self._recipe.predictor(self._fit, reference, self.module)
        return self._cached_predictor

    def to_device(self, device: str | int | torch.device) -> None:
        """Move the networks to a device, where everything is computed from then on.

        Parameters
        ----------
        device
            `"cpu"`, `"cuda"`, the number of a GPU, or another device of PyTorch. Lazy results of earlier
            calls do not move: impute again.
        """
        check_arguments(StImputeModel.to_device, locals())
        super().to_device(device)
        self._cached_predictor = None  # it holds encoded cells and metacells on the other device

    # ---------------------------------------------------------------- defined beside this file

    complete = _persist.complete

    impute = _impute.impute
    check_request = _impute.check_request
    gene_reliability = _impute.gene_reliability
    estimate = _estimate.estimate
    get_latent_representation = _cells.get_latent_representation
    get_neighbors = _cells.get_neighbors
    get_explained = _explained.get_explained
    transfer_labels = _cells.transfer_labels

    recipe = property(_properties.recipe)
    fit = property(_properties.fit)
    reference = property(_properties.reference)
    shared_genes = property(_properties.shared_genes)
    input_genes = property(_properties.input_genes)
    measured_genes = property(_properties.measured_genes)
    reference_genes = property(_properties.reference_genes)
    relations = property(_properties.relations)
    spatial_setup = property(_properties.spatial_setup)
    reference_setup = property(_properties.reference_setup)
    reference_shape = property(_properties.reference_shape)
    fingerprint = property(_properties.fingerprint)
    sizes = property(_properties.sizes)
    training_record = property(_properties.training_record)

    __repr__ = _properties.summary

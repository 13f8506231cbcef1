"""Define `StImputeModel`: set up, train, impute, save and load."""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
import rich.pretty  # noqa: F401 - scvi-tools' view_anndata_setup uses it without importing it
import scvi
from anndata import AnnData
from mudata import MuData
from scvi.data import AnnDataManager
from scvi.data._constants import _SCVI_UUID_KEY
from scvi.model.base import BaseModelClass

from stimpute._atomic import recover
from stimpute._messages import check_count, check_type
from stimpute._threads import suitable_threads
from stimpute.data._arrays import from_arrays, to_arrays
from stimpute.data._expression import Expression
from stimpute.data._genes import check_genes_present
from stimpute.data._join import References, is_several, join_references, joined_setup, name_references
from stimpute.data._result import without_values
from stimpute.data._space import sample_cells
from stimpute.model import _cells, _data, _estimate, _persist, _properties, _read, _result, _setup
from stimpute.model._chunks import CELLS_PER_CHUNK, GENES_PER_CHUNK, gene_chunks
from stimpute.model._stream import describe_genes, gene_table, predict_chunks
from stimpute.model._values import make_values
from stimpute.module._module import StImputeModule
from stimpute.recipes import OutputOptions, Predictor, Recipe, get_recipe
from stimpute.recipes._registry import check_registered
from stimpute.train._trainer import PhaseTrainer, quiet, seeded

READ_FILES = "Read files with `anndata.read_h5ad`."
MAX_CELLS = 20_000
PATCH = 64  # training cells are sampled in contiguous patches, so that their spatial neighbors are included
UNTRAINED = "The model is not trained. Call `model.train()` first."


class StImputeModel(BaseModelClass):
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
        If the recipe has no such hyperparameter.

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
        if isinstance(recipe, Recipe):
            check_registered(type(recipe))
            recipe_kwargs = {**recipe.hyperparameters(), **recipe_kwargs}
            recipe = recipe.name
        self._recipe = get_recipe(recipe).configure(recipe_kwargs)
        if reference is None and registry is None:
            raise ValueError("A reference is needed: `StImputeModel(spatial, reference)`, both set up.")
        dataset_setups: dict[str, dict[str, Any]] = {}
        if is_several(reference):
            reference, dataset_setups = self._join(reference)
        check_type(AnnData, READ_FILES, spatial=spatial, reference=reference)
        super().__init__(spatial, registry)
        self.init_params_ = self._get_init_params(locals())
        for data in ("spatial", "reference"):  # None would be passed twice when the model is loaded
            self.init_params_["non_kwargs"].pop(data, None)
        weakref.finalize(self, self._per_instance_manager_store.pop, self.id, None)
        self.data = _data.ModelData(self)
        self._fit: Any = None
        self._cached_predictor: Predictor | None = None
        self.module = StImputeModule({})
        if spatial is not None and reference is not None:
            manager = self._get_most_recent_anndata_manager(reference, required=True)
            setup = dict(manager.registry["setup_args"])
            record, self.data.attached = _read.read_pair(
                spatial,
                self.spatial_setup,
                reference,
                setup,
                self._recipe,
                relations,
                self.data.scans,
                dataset_setups,
            )
            if dataset_setups:
                self.release(reference)  # nobody else knows the joined reference
            n_cells = min(spatial.n_obs, MAX_CELLS)
            self.data_record_ = dataclasses.replace(record, n_cells=n_cells).to_dict()
            with seeded(0):
                self.module = StImputeModule(self._recipe.build(self.sizes))

    @classmethod
    def setup_anndata(
        cls,
        adata: AnnData,
        layer: str | None = None,
        batch_key: str | None = None,
        spatial_key: str | None = "spatial",
        expression: Expression = "counts",
        gene_symbols: str | None = None,
        dataset_key: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Register the spatial data or the reference.

        Parameters
        ----------
        adata
            Cells × genes: in memory, backed by a file, lazy, or with Dask arrays. Expression that is not in memory is
            read in one pass when the model is made, then by rows; that of a reference is read into memory. Nothing is
            changed but what scvi-tools writes to `uns` and `obs`.
        layer
            Layer that holds the expression; `X` if None.
        batch_key
            Column of `obs` that tells sections or donors apart.
        spatial_key
            Key of `obsm` that holds the positions; a reference needs none.
        expression
            `"counts"` are log-normalized by totals over the input genes; `"normalized"` values are used as they are.
        gene_symbols
            Column of `var` that holds the names by which genes are matched; `var_names` if None.
        dataset_key
            Column of `obs` that tells the datasets of a joined reference apart, see
            :func:`stimpute.pp.join_references`; one dataset if None.
        kwargs
            For scvi-tools, when a saved setup is repeated.

        Raises
        ------
        ValueError
            If counts are not integers, a value is not finite or negative, or gene names are not unique.
        KeyError
            If a named layer, column or array does not exist.
        """
        setup_args = {
            "layer": layer,
            "batch_key": batch_key,
            "spatial_key": spatial_key,
            "expression": expression,
            "gene_symbols": gene_symbols,
            "dataset_key": dataset_key,
        }
        fields = _setup.registered_fields(adata, **setup_args)  # type: ignore[arg-type]
        _setup.assign_own_identity(adata, cls._setup_adata_manager_store)
        method_args = cls._get_setup_method_args(adata=adata, cls=cls, **setup_args)
        manager = AnnDataManager(fields=fields, setup_method_args=method_args)
        with quiet("scvi"):  # it reports that it names the columns of positions
            manager.register_fields(adata, **kwargs)
        cls.register_manager(manager)

    @classmethod
    def _join(cls, references: References) -> tuple[AnnData, dict[str, dict[str, Any]]]:
        """Join references that were set up, and set up the result; return it with their setups."""
        setups = {}
        for name, adata in name_references(references).items():
            manager = cls._get_most_recent_anndata_manager(adata, required=True)
            setups[name] = {key: manager.registry["setup_args"][key] for key in _read.EXPRESSION_ARGUMENTS}
        joined = join_references(references, setups)
        cls.setup_anndata(joined, **joined_setup(setups))
        return joined, setups

    @classmethod
    def setup_mudata(
        cls,
        mdata: MuData,
        *,
        spatial: str = "spatial",
        reference: str | Sequence[str] = "rna",
        spatial_setup: dict[str, Any] | None = None,
        reference_setup: dict[str, Any] | None = None,
    ) -> None:
        """Register the modalities of a MuData.

        Parameters
        ----------
        mdata
            Holds the spatial data and the reference as modalities. They need not share cells.
        spatial, reference
            Names of the modalities; several references are a list.
        spatial_setup, reference_setup
            Arguments of :meth:`setup_anndata` for each.

        Raises
        ------
        KeyError
            If a modality does not exist.
        """
        cls.setup_anndata(_setup.modality(mdata, spatial), **(spatial_setup or {}))
        for name in [reference] if isinstance(reference, str) else reference:
            cls.setup_anndata(_setup.modality(mdata, name), **(reference_setup or {}))

    @classmethod
    def from_mudata(
        cls, mdata: MuData, spatial: str = "spatial", reference: str | Sequence[str] = "rna", **model_kwargs: Any
    ) -> Self:
        """Make a model on the modalities that :meth:`setup_mudata` registered.

        Parameters
        ----------
        mdata, spatial, reference
            See :meth:`setup_mudata`.
        model_kwargs
            Arguments of the model.
        """
        chosen: AnnData | dict[str, AnnData]
        if isinstance(reference, str):
            chosen = _setup.modality(mdata, reference)
        else:
            chosen = {name: _setup.modality(mdata, name) for name in reference}
        return cls(_setup.modality(mdata, spatial), chosen, **model_kwargs)

    @classmethod
    def release(cls, *datasets: AnnData) -> None:
        """Make scvi-tools forget AnnData that were set up, so that their memory can be freed.

        Models that were made with them keep them, and go on working.

        Parameters
        ----------
        datasets
            AnnData that :meth:`setup_anndata` registered; others are ignored.
        """
        for adata in datasets:
            if _setup.is_registered(adata, cls._setup_adata_manager_store):
                uuid = adata.uns[_SCVI_UUID_KEY]
                for managers in (cls._setup_adata_manager_store, *cls._per_instance_manager_store.values()):
                    managers.pop(uuid, None)

    # ---------------------------------------------------------------- train

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

        If training fails or is interrupted, the model stays as it was.

        Parameters
        ----------
        max_epochs
            Upper bound on the epochs of every phase; the recipe's own numbers if None.
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
            Options of :class:`scvi.train.TrainingPlan` that replace the recipe's, such as `lr`.
        trainer_kwargs
            Options of :class:`scvi.train.Trainer`, such as `enable_progress_bar`.

        Raises
        ------
        TypeError, ValueError
            If an argument makes no sense, or the data were changed since they were set up.
        FloatingPointError
            If the weights are no longer finite.
        """
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
        _read.warn_without_positions(cells, self.spatial_setup["spatial_key"], uses_space=uses_space)
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
        self.history_ = trainer.history
        self.is_trained_ = True

    # ---------------------------------------------------------------- impute

    def impute(
        self,
        adata: AnnData | None = None,
        genes: str | Sequence[str] | None = None,
        *,
        interval: float | None = None,
        variance: Literal["shrunken", "matched"] = "shrunken",
        out: str | Path | None = None,
        lazy: bool = False,
        batch_size: int | None = None,
        progress: bool = True,
    ) -> AnnData:
        """Predict genes for spatial cells.

        A gene's values do not depend on the other genes that are asked for, nor on `batch_size` (to rounding). The work
        is done by the scheduler of Dask that is in use: threads by default, or the workers of a `dask.distributed`
        client.

        Parameters
        ----------
        adata
            A section with the same measured genes; the training data if None. No retraining is needed.
        genes
            Names of reference genes; every gene that is not measured if None. A measured gene is predicted as if it
            had not been measured.
        interval
            Share of the values that an interval should cover, such as 0.9; adds the layers `lower` and `upper`.
        variance
            `"shrunken"` values have the smallest squared error, and vary less than measured ones where a gene is hard
            to predict. `"matched"` values vary as much as the gene is expected to vary.
        out
            Path of a zarr store to stream to, for results that do not fit in memory.
        lazy
            Return Dask arrays, of which only what is asked for is computed. Genes are described at once, cells are
            encoded when a gene is first asked for, and kept for the next one as long as they take less than half of the
            free memory.
        batch_size
            Cells per chunk, of the work and of a store.
        progress
            Whether to draw progress bars.

        Returns
        -------
        AnnData, cells × genes, float32, log-normalized on the scale of the spatial data. `var` has `reliability`,
        `n_edges`, `measured` and `has_protein`; `obs` and `obsm` are copied; `uns["stimpute"]` names the units.

        Raises
        ------
        KeyError
            If a gene is not in the reference; the message names the closest spellings.
        MemoryError
            If the result would not fit.
        RuntimeError
            If the model is not trained, or has no reference.
        """
        check_count(1, batch_size=batch_size)
        if lazy and out is not None:
            raise ValueError(
                'Pass `lazy=True` or `out=`, not both. A lazy result is stored by `result.write_zarr("...")`.'
            )
        options = OutputOptions(interval, variance)
        self._recipe.check_output(options)
        targets, names = self.data.locate(genes, adata)
        predictor = self.predictor()
        adata = self.data.section(adata)
        layers = ["X"] if interval is None else ["X", "lower", "upper"]
        if not lazy:
            _result.check_room(adata.n_obs, len(names), len(layers), out)
        cells = self.data.read_cells(adata)
        chunks = gene_chunks(predictor, targets, self.data.need_reference().reference)
        with self._chunk_threads():
            blocks = list(describe_genes(predictor, chunks, progress=progress))
        var = self._complete(gene_table([block.table for block in blocks], chunks), names, adata)
        about = _result.settings_of(
            self._recipe,
            self.relations,
            self.data.is_counts,
            options,
            self.spatial_setup,
            predictor.highest_interval,
        )
        result = without_values(adata, var, about)
        if lazy:
            order = np.arange(len(cells))
            values = make_values(predictor, cells, chunks, blocks, options, order, batch_size, keep=True)
            _result.put(result, values.lazy())
            return result
        with _result.values(result, layers, out, batch_size) as arrays, self._chunk_threads():
            predict_chunks(predictor, cells, chunks, blocks, arrays, options, batch_size=batch_size, progress=progress)
        return result

    def check_request(
        self,
        genes: str | Sequence[str] | None = None,
        *,
        interval: float | None = None,
        variance: Literal["shrunken", "matched"] = "shrunken",
        adata: AnnData | None = None,
    ) -> None:
        """Check the arguments of :meth:`impute` before time is spent on training; raise what it would raise.

        Parameters
        ----------
        genes, interval, variance, adata
            See :meth:`impute`.
        """
        self._recipe.check_output(OutputOptions(interval, variance))
        self.data.locate(genes, adata)

    def gene_reliability(self, genes: str | Sequence[str] | None = None, *, progress: bool = False) -> pd.DataFrame:
        """Predict how well genes are imputed, without imputing any cell.

        Parameters
        ----------
        genes
            Names of reference genes; every gene that is not measured if None.
        progress
            Whether to draw a progress bar.

        Returns
        -------
        One row per gene, as in `var` of :meth:`impute`.
        """
        targets, names = self.data.locate(genes, None)
        predictor = self.predictor()
        chunks = gene_chunks(predictor, targets, self.data.need_reference().reference)
        with self._chunk_threads():
            tables = [block.table for block in describe_genes(predictor, chunks, progress=progress)]
        return self._complete(gene_table(tables, chunks), names, self.adata)

    def _chunk_threads(self) -> AbstractContextManager[None]:
        """Use the number of threads that suits one chunk of cells and genes."""
        work = self._recipe.work_per_value(self.sizes) * CELLS_PER_CHUNK * GENES_PER_CHUNK
        return suitable_threads(work)

    def _complete(self, table: pd.DataFrame, names: pd.Index, adata: AnnData | None) -> pd.DataFrame:
        """Add to a gene table which genes are measured, and which have a protein."""
        measured = self.input_genes if adata is None else self.data.measured_genes(adata)
        return _result.complete_gene_table(table, names, measured, self.data.need_reference())

    def predictor(self, *, need_reference: bool = True) -> Predictor:
        """Bring what was learned and the reference together, once.

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

    # ---------------------------------------------------------------- save and load

    def save(
        self,
        dir_path: str | Path,
        prefix: str | None = None,
        overwrite: bool = False,
        save_anndata: bool = False,
        *args: Any,
        save_reference: bool = False,
        **kwargs: Any,
    ) -> None:
        """Save the model; the data only on request.

        The model holds the values of the shared genes in up to 1000 spatial cells, without names and positions;
        :func:`stimpute.share.contents` lists all that it holds.

        Parameters
        ----------
        dir_path
            Folder to make.
        prefix
            Prefix of the file names.
        overwrite
            Whether to replace a model that is there; it stays as it was until the new one is written.
        save_anndata, save_reference
            Whether to write the spatial data, and the reference, beside the model, where :meth:`load` finds them.
        args, kwargs
            See :meth:`scvi.model.base.BaseModelClass.save`.

        Raises
        ------
        ValueError
            If the folder exists and `overwrite` is False, or data to be written were changed since the model was made.
        """
        if save_anndata:
            self.data.read_cells(None)  # what could not be loaded again is not written
        if save_reference:
            _read.read_same_reference(self.data.need_reference().adata, self.data.record, self._recipe)
        with _persist.saving(dir_path, prefix or "", overwrite=overwrite) as partial:
            is_plain = self.adata is not None and _persist.is_plain(self.adata)
            super().save(str(partial), prefix, True, save_anndata and is_plain, *args, **kwargs)
            if save_anndata and not is_plain:
                _persist.write_data(self.data.section(None), partial / f"{prefix or ''}{_persist.ADATA_FILE}")
            if save_reference:
                _persist.write_data(self.reference, partial / f"{prefix or ''}{_persist.REFERENCE_FILE}")

    @classmethod
    def load(
        cls,
        dir_path: str | Path,
        adata: AnnData | bool | None = None,
        reference: AnnData | References | bool | None = None,
        accelerator: str = "auto",
        device: int | str = "auto",
        prefix: str | None = None,
        **kwargs: Any,
    ) -> Self:
        """Load a saved model.

        `model.pt` is a pickle, which can run code when it is read: load only what you trust.

        Parameters
        ----------
        dir_path
            Folder that :meth:`save` made.
        adata
            Spatial data with the same measured genes, in any order; need not be set up. If None, the one saved with
            the model, if any; False for none.
        reference
            The reference that the model was trained with; need not be set up. If None, the one saved with the model,
            if any; False for none. Several references as the model got them. Without it the model embeds cells but
            cannot impute.
        accelerator, device, prefix, kwargs
            See :meth:`scvi.model.base.BaseModelClass.load`.

        Raises
        ------
        ValueError
            If the file cannot be read, input genes are missing, or the reference is another one.
        """
        recover(dir_path)
        if "backup_url" not in kwargs:  # from which scvi-tools would fetch it
            _persist.check_exists(dir_path, prefix or "")
        adata = _persist.given_or_stored(dir_path, f"{prefix or ''}{_persist.ADATA_FILE}", adata, "adata")
        reference = _persist.given_or_stored(
            dir_path, f"{prefix or ''}{_persist.REFERENCE_FILE}", reference, "reference"
        )
        with _persist.readable(dir_path), quiet("scvi"), seeded(0):
            model = super().load(str(dir_path), False, accelerator, device, prefix, **kwargs)
        if reference is not None and not isinstance(reference, AnnData):
            reference = join_references(reference, model.data.record.dataset_setups)
        return model.complete(adata, reference)

    def complete(self, adata: AnnData | None, reference: AnnData | None) -> Self:
        """Restore what was learned, and attach data to a model that was just read; used by the loaders.

        Parameters
        ----------
        adata, reference
            See :meth:`load`.
        """
        if self.fit_arrays_ is not None:
            self._fit = from_arrays(self._recipe.fit_type, self.fit_arrays_, self.sizes.dimensions())
        if adata is not None:
            check_genes_present(self.input_genes, self.data.measured_genes(adata))
            self.setup_anndata(adata, **self.spatial_setup)
            self._register_manager_for_instance(self._get_most_recent_anndata_manager(adata, required=True))
            self.adata = adata
        if reference is not None:
            self.data.attached = _read.read_same_reference(reference, self.data.record, self._recipe)
            self._cached_predictor = None
        return self

    # ---------------------------------------------------------------- defined beside this file

    estimate = _estimate.estimate
    get_latent_representation = _cells.get_latent_representation
    get_neighbors = _cells.get_neighbors
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

    def __repr__(self) -> str:
        cells = "not attached" if self.adata is None else f"{self.adata.n_obs} cells × {self.adata.n_vars} genes"
        reference = "not attached"
        if self.data.attached is not None:
            reference = "{} cells × {} genes".format(*self.reference_shape)
        hyperparameters = ", ".join(f"{name}={value}" for name, value in self._recipe.hyperparameters().items())
        return (
            f"StImputeModel, recipe {self._recipe.name!r}, {'trained' if self.is_trained_ else 'not trained'}\n"
            f"  spatial    {cells}\n  reference  {reference}\n  shared     {len(self.shared_genes)} genes\n"
            f"  relations  {', '.join(self.relations) or 'none'}\n  {hyperparameters}"
        )

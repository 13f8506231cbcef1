"""`StImputeModel`: setup, train, impute, transfer. Each is a few lines that call the rooms of the house."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import rich.pretty  # noqa: F401 - scvi-tools' view_anndata_setup uses it without importing it
from anndata import AnnData
from mudata import MuData
from scvi.data import AnnDataManager

from stimpute.data._space import sample_cells, spatial_order
from stimpute.model import _result, _setup
from stimpute.model._cells import NOTHING_HIDDEN, UNTRAINED, CellsMixin
from stimpute.model._persist import PersistenceMixin
from stimpute.model._stream import GeneGroup, allocate, removed_on_error, stream
from stimpute.module._module import StImputeModule
from stimpute.recipes import RECIPES, OutputOptions, Predictor, Reference
from stimpute.train._phases import Phases, seeded

PATCH = 64  # cells that are trained on come in patches, so that the cells around them are there too


class StImputeModel(CellsMixin, PersistenceMixin):
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
        The method: `"crossfit"`, or `"paper"` for Zeng et al. 2024.
    relations
        Gene relations of the reference to use: `"auto"` for all that are there, or names. See
        :func:`stimpute.pp.protein_graph` and :func:`stimpute.pp.add_relation`.
    n_latent, n_neighbors
        Width of the latent space, and reference cells per spatial cell; the recipe's defaults if None.
    recipe_kwargs
        Further hyperparameters of the recipe: the fields of :class:`stimpute.recipes.PaperRecipe` or
        :class:`stimpute.recipes.CrossfitRecipe`.

    Raises
    ------
    ValueError
        If the datasets share fewer than three genes, or the reference is too small.

    Examples
    --------
    >>> StImputeModel.setup_anndata(spatial)
    >>> StImputeModel.setup_anndata(reference)
    >>> model = StImputeModel(spatial, reference)
    >>> model.train()
    >>> imputed = model.impute(genes=["Rorb", "Slc32a1"])
    """

    def __init__(
        self,
        spatial: AnnData | None = None,
        reference: AnnData | None = None,
        registry: dict | None = None,
        *,
        recipe: str = "crossfit",
        relations: str | Sequence[str] = "auto",
        n_latent: int | None = None,
        n_neighbors: int | None = None,
        **recipe_kwargs: Any,
    ) -> None:
        if recipe not in RECIPES:
            raise ValueError(f"`recipe` is {recipe!r}; expected one of {sorted(RECIPES)}.")
        for name, value in (("n_latent", n_latent), ("n_neighbors", n_neighbors)):
            if value is not None and value < 1:
                raise ValueError(f"`{name}` is {value}; expected at least 1.")
        self._recipe = RECIPES[recipe].configure({"n_latent": n_latent, "n_neighbors": n_neighbors, **recipe_kwargs})
        super().__init__(spatial, registry)
        if reference is None and registry is None:
            raise ValueError("A reference is needed: `StImputeModel(spatial, reference)`, both set up.")
        self.init_params_ = self._get_init_params(locals())
        for data in ("spatial", "reference"):  # None would be passed twice when the model is loaded
            self.init_params_["non_kwargs"].pop(data, None)
        self._relations = relations
        self._reference: Reference | None = None
        self._reference_manager: AnnDataManager | None = None
        self._predictors: dict[int, Predictor] = {}
        self.state_ = self._recipe.state
        self.module = StImputeModule({})
        if spatial is not None and reference is not None:
            self._start(reference)

    @classmethod
    def from_mudata(
        cls, mdata: MuData, spatial: str = "spatial", reference: str = "rna", **model_kwargs: Any
    ) -> StImputeModel:
        """A model on two modalities that :meth:`setup_mudata` registered.

        Parameters
        ----------
        mdata
            See :meth:`setup_mudata`.
        spatial, reference
            Names of the modalities.
        model_kwargs
            Arguments of the model.
        """
        return cls(_setup.modality(mdata, spatial), _setup.modality(mdata, reference), **model_kwargs)

    def _start(self, reference: AnnData) -> None:
        """Find the panel, attach the reference and make untrained networks."""
        self._reference_manager = self._get_most_recent_anndata_manager(reference, required=True)
        self.reference_setup_ = dict(self._reference_manager.registry["setup_args"])
        self.panel_ = _setup.find_panel(self.adata_manager, self._reference_manager)
        self.input_genes_ = _setup.find_input(self.adata_manager, self._reference_manager, self.panel_)
        self._attach(reference)
        self._recipe.check(self._need_reference())
        with seeded(0):
            self.module = StImputeModule(self._networks())

    def __repr__(self) -> str:
        panel = f"{len(self.panel_)} genes" if hasattr(self, "panel_") else "unknown"
        reference = "not attached"
        if self._reference is not None:
            reference = f"{self._reference.bank.n_cells} cells × {self._reference.bank.n_genes} genes"
        cells = "not attached" if self.adata is None else f"{self.adata.n_obs} cells × {self.adata.n_vars} genes"
        hyperparameters = ", ".join(f"{key}={value}" for key, value in vars(self._recipe).items() if key != "state")
        return (
            f"StImputeModel, recipe {self._recipe.name!r}, {'trained' if self.is_trained_ else 'not trained'}\n"
            f"  spatial    {cells}\n  reference  {reference}\n  panel      {panel} shared\n"
            f"  relations  {', '.join(getattr(self, 'relations_', []))}\n  {hyperparameters}"
        )

    # ---------------------------------------------------------------- train

    def train(
        self,
        max_epochs: int | None = None,
        accelerator: str = "auto",
        devices: int | list[int] | str = "auto",
        batch_size: int | None = None,
        early_stopping: bool = False,
        max_cells: int = 20_000,
        seed: int = 0,
        plan_kwargs: dict[str, Any] | None = None,
        **trainer_kwargs: Any,
    ) -> None:
        """Train the networks of the recipe, phase by phase.

        Parameters
        ----------
        max_epochs
            Upper bound on the epochs of every phase; the recipe's own numbers if None.
        accelerator, devices
            As in :class:`lightning.pytorch.Trainer`.
        batch_size
            Cells per batch; each phase's own if None.
        early_stopping
            Hold out a tenth of the cells, and end a phase when their loss no longer falls.
        max_cells
            At most so many spatial cells are trained on, sampled evenly over space and batches.
        seed
            Seed of everything random. Torch's global state is left as it was.
        plan_kwargs
            Options of :class:`scvi.train.TrainingPlan` that replace the recipe's, such as `lr`.
        trainer_kwargs
            Options of :class:`scvi.train.Trainer`, such as `enable_progress_bar`.
        """
        reference = self._need_reference()
        if max_cells < 1:
            raise ValueError(f"`max_cells` is {max_cells}; expected at least 1.")
        cells = self._cells(None)
        order = np.arange(len(cells)) if cells.coords is None else spatial_order(cells.coords, cells.batch)
        self.train_indices_ = sample_cells(order, max_cells, run=PATCH)
        phases = Phases(
            accelerator, devices, max_epochs, batch_size, early_stopping, seed, plan_kwargs or {}, trainer_kwargs
        )
        with seeded(seed):
            self.module = StImputeModule(self._networks())
            self.to_device(phases.device)
            self._recipe.fit(cells[self.train_indices_], reference, self.module, phases)
        self.module.eval()
        self.state_, self.history_, self.is_trained_ = self._recipe.state, phases.history, True
        self.fingerprint_ = reference.fingerprint()
        self.reference_shape_ = (reference.bank.n_cells, reference.bank.n_genes)
        self._predictors = {}

    # ---------------------------------------------------------------- impute

    def impute(
        self,
        adata: AnnData | None = None,
        genes: str | Sequence[str] | None = None,
        *,
        interval: float | None = None,
        out: str | Path | None = None,
        batch_size: int | None = None,
        spread: Literal["expected", "matched"] = "expected",
        progress: bool = True,
    ) -> AnnData:
        """Predict genes for spatial cells.

        A gene's values do not depend on the other genes that are asked for, nor on `batch_size`.

        Parameters
        ----------
        adata
            A slice of the same panel; the training data if None. No retraining is needed.
        genes
            Names of reference genes; every gene that is not measured if None. A measured gene is predicted as if it
            were hidden.
        interval
            Probability, such as 0.9, for which to add the layers `lower` and `upper`.
        out
            Path of a zarr store to stream to, for results that do not fit in memory.
        batch_size
            Cells per chunk.
        spread
            `"expected"` values have the least squared error, and vary less than measured ones where a gene is hard to
            predict. `"matched"` values vary as much as the gene is expected to.
        progress
            Whether to draw progress bars.

        Returns
        -------
        AnnData, cells × genes, float32, log-normalised on the scale of the spatial data. `var` has `reliability`,
        `measured`, `has_protein` and `n_edges`; `obs` and `obsm` are copied; `uns["stimpute"]` names the units.

        Raises
        ------
        KeyError
            If a gene is not in the reference; the message names the nearest spellings.
        MemoryError
            If the result would not fit.
        RuntimeError
            If the model is not trained, or has no reference.
        """
        self._need_reference()
        self._check_if_trained(warn=False, message=UNTRAINED)
        options = OutputOptions(interval, spread)
        self._recipe.check_output(options)
        adata = self._validate_anndata(adata)
        measured = _setup.gene_names(self.get_anndata_manager(adata, required=True))
        targets, names = self._targets(genes, measured)

        layers = ["X"] if interval is None else ["X", "lower", "upper"]
        arrays = allocate(adata.n_obs, len(names), layers, out)
        with removed_on_error(out):
            known = stream(
                self._cells(adata),
                self._group(targets),
                arrays,
                options,
                batch_size=batch_size,
                progress=progress,
            )
            var = _result.describe_genes(names, known, measured, self._reference_data().var, targets)
            about = _result.describe_method(self._recipe, self.relations_, self._counts, options)
            return _result.to_anndata(adata, arrays, var, about, out)

    @property
    def _counts(self) -> bool:
        return bool(self.registry_["setup_args"]["expression"] == "counts")

    def _group(self, targets: np.ndarray) -> list[GeneGroup]:
        """Target genes by the hiding under which each is predicted."""
        own = self._need_reference().in_panel(targets)
        hidden_in = np.where(own < 0, NOTHING_HIDDEN, self.state_["hidden_in"][own])
        return [
            GeneGroup(self._predictor(int(hiding)), targets[hidden_in == hiding], np.flatnonzero(hidden_in == hiding))
            for hiding in np.unique(hidden_in)
        ]

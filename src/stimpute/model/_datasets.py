"""The two datasets of a model: spatial cells, which change from slice to slice, and the reference, which does not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from anndata import AnnData
from scvi.data import AnnDataManager
from scvi.data._utils import _check_if_view
from torch import nn

from stimpute.data._genes import locate_genes
from stimpute.data._relations import COEXPRESSION, read_relations
from stimpute.data._spatial import SpatialCells
from stimpute.model import _setup
from stimpute.model._registration import Registration
from stimpute.module._module import StImputeModule
from stimpute.recipes import Predictor, Recipe, Reference


class TwoDatasets(Registration):
    """What every part of the model needs of its data."""

    module: StImputeModule
    panel_: np.ndarray
    input_genes_: np.ndarray
    relations_: list[str]
    _recipe: Recipe
    _relations: str | Sequence[str]
    _reference: Reference | None
    _reference_manager: AnnDataManager | None
    _predictors: dict[int, Predictor]

    def _attach(self, reference: AnnData) -> None:
        """Read the reference's expression and its gene relations."""
        manager = self._get_most_recent_anndata_manager(reference, required=True)
        bank = _setup.read_bank(manager)
        panel = bank.genes.get_indexer(pd.Index(self.panel_))
        registered = reference.uns.get("stimpute", {}).get("relations", {})
        names = self._recipe.relation_names(sorted({COEXPRESSION, *registered}), self._relations)
        relations = read_relations(reference, bank, panel, names, centred=self._recipe.centred)
        self.relations_ = list(relations)
        self._reference_manager = manager
        self._reference, self._predictors = Reference(bank, panel, relations), {}

    def _reference_data(self) -> AnnData:
        """The reference as it was given."""
        self._need_reference()
        return self._reference_manager.adata  # type: ignore[union-attr]

    def _networks(self) -> dict[str, nn.Module]:
        return self._recipe.networks(len(self.panel_), self.relations_)

    def _cells(self, adata: AnnData | None) -> SpatialCells:
        adata = self._validate_anndata(adata)
        return _setup.read_cells(self.get_anndata_manager(adata, required=True), self.input_genes_, self.panel_)

    def _targets(self, genes: str | Sequence[str] | None, measured: pd.Index) -> tuple[np.ndarray, pd.Index]:
        available = self._need_reference().bank.genes
        targets = locate_genes(
            available.difference(measured, sort=False) if genes is None else genes, available, "the reference"
        )
        return targets, available[targets]

    def _predictor(self, hiding: int) -> Predictor:
        """What predicts under one hiding; without a reference, what embeds spatial cells."""
        if hiding not in self._predictors:
            self._predictors[hiding] = self._recipe.predictor(self._reference, self.module, hiding)  # type: ignore[arg-type]
        return self._predictors[hiding]

    def _need_reference(self) -> Reference:
        if self._reference is None:
            raise RuntimeError(
                "The model was loaded without its reference. Load it with "
                "`StImputeModel.load(path, adata=spatial, reference=reference)`."
            )
        return self._reference

    def _validate_anndata(self, adata: AnnData | None = None, copy_if_view: bool = True) -> AnnData:
        """Set up a new slice as the training data were: genes by name, in any order, and sections never seen before.

        Raises
        ------
        ValueError
            If genes of the panel are missing, or there are no spatial data at all.
        """
        if adata is None and self.adata is None:
            raise ValueError("The model was loaded without spatial data. Pass them: `adata=spatial`.")
        adata = self.adata if adata is None else adata
        _check_if_view(adata, copy_if_view)
        if not _setup.registered_in(adata, self._per_instance_manager_store.get(self.id, {})):
            self.setup_anndata(adata, **self.registry_["setup_args"])
            manager = self._get_most_recent_anndata_manager(adata, required=True)
            _setup.check_genes(_setup.gene_names(manager), self.input_genes_)
            self._register_manager_for_instance(manager)
            if self.adata is None:
                self._adata, self._adata_manager = adata, manager
        return super()._validate_anndata(adata, copy_if_view)

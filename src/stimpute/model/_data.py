"""Hold the two datasets of a model, and say clearly what is missing."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from anndata import AnnData

from stimpute._arguments import OF_CONTAINERS
from stimpute._messages import check_type, warn
from stimpute.data._expression import read_gene_names
from stimpute.data._genes import locate_genes
from stimpute.data._lazy import Scans
from stimpute.data._spatial import SpatialCells
from stimpute.model._read import read_cells, warn_of_empty_cells
from stimpute.model._record import DataRecord
from stimpute.model._reference import AttachedReference, are_reference_cells

if TYPE_CHECKING:
    from stimpute.model._model import StImputeModel

NO_CELLS = "The model was loaded without spatial data. Pass them: `adata=spatial`."
NO_REFERENCE = (
    "The model was loaded without its reference. Load it with "
    "`StImputeModel.load(path, adata=spatial, reference=reference)`; a shared model with "
    "`stimpute.share.load(path, reference=reference)`."
)
REFERENCE_CELLS = (
    "The spatial cells are cells of the reference: the names of the first ones and their values of all shared genes "
    "are equal. Pass the cells that were measured in space: `StImputeModel(spatial, reference)`, or "
    "`model.impute(adata=section)`."
)


class NoCellsError(ValueError, AttributeError):
    """Spatial data are needed and not attached.

    It is an AttributeError as well, since scvi-tools reads all properties of a model when it saves one.
    """


class NoReferenceError(RuntimeError, AttributeError):
    """The reference is needed and not attached; an AttributeError for the reason given at :class:`NoCellsError`."""


class _Seen:
    """AnnData that were met before, as long as somebody else keeps them."""

    def __init__(self) -> None:
        self._references: list[weakref.ref[AnnData]] = []

    def __reduce__(self) -> tuple[type[_Seen], tuple[()]]:
        """Let a model be sent to another process, where nothing was met before."""
        return _Seen, ()

    def is_new(self, adata: AnnData) -> bool:
        """Tell whether an AnnData was not met before, and remember it."""
        self._references = [known for known in self._references if known() is not None]
        if any(known() is adata for known in self._references):
            return False
        self._references.append(weakref.ref(adata))
        return True


class ModelData:
    """The two datasets of a model, and what was recorded of them.

    Parameters
    ----------
    model
        The model, which holds the spatial data and the record in the attributes that scvi-tools saves. It is referred
        to weakly, so that the reference is freed with the model, and not when Python looks for cycles.
    """

    def __init__(self, model: StImputeModel) -> None:
        self._model_reference = weakref.ref(model)
        self.attached: AttachedReference | None = None
        self._warned_of = _Seen()
        self._compared = _Seen()
        self.scans = Scans()

    def __getstate__(self) -> dict[str, Any]:
        """Let a model be copied, or sent to another process."""
        return {**vars(self), "_model_reference": self._model}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _model_reference=weakref.ref(state["_model_reference"]))

    @property
    def _model(self) -> StImputeModel:
        model = self._model_reference()
        if model is None:
            raise ReferenceError("The model was deleted, and its data with it. Keep the model.")
        return model

    @property
    def record(self) -> DataRecord:
        """What the model must find again in its data."""
        if self._model.data_record_ is None:
            raise NoCellsError(NO_CELLS)
        return DataRecord.from_dict(self._model.data_record_)

    @property
    def is_counts(self) -> bool:
        """Whether the spatial data are counts."""
        return bool(self._model.spatial_setup["expression"] == "counts")

    def need_reference(self) -> AttachedReference:
        """Return the reference.

        Raises
        ------
        NoReferenceError
            If none is attached.
        """
        if self.attached is None:
            raise NoReferenceError(NO_REFERENCE)
        return self.attached

    def section(self, adata: AnnData | None) -> AnnData:
        """Return the given section, or the training data for None.

        Raises
        ------
        NoCellsError
            If there are no training data.
        """
        if adata is not None:
            advice = 'Name genes by `genes=["..."]`, and read a file with `anndata.read_h5ad`.'
            check_type(AnnData, OF_CONTAINERS.get(type(adata).__name__, advice), adata=adata)
            return adata
        if self._model.adata is None:
            raise NoCellsError(NO_CELLS)
        return self._model.adata

    def measured_genes(self, adata: AnnData | None) -> pd.Index:
        """Return the names of the genes of a section."""
        return read_gene_names(self.section(adata), self._model.spatial_setup["gene_symbols"])

    def read_cells(self, adata: AnnData | None) -> SpatialCells:
        """Read a section, see :func:`read_cells`; the first time, warn of empty cells and of cells of the reference.

        Training data must be as they were when they were set up.
        """
        section = self.section(adata)
        known = self._model.adata_manager.known_cells if section is self._model.adata else None
        cells, n_empty = read_cells(section, self._model.spatial_setup, self.record, self.scans, known)
        self.compare_with_reference(section)
        if self._warned_of.is_new(section):
            warn_of_empty_cells(cells, n_empty, uses_space=self._model.recipe.capabilities.uses_space)
        return cells

    def compare_with_reference(self, section: AnnData) -> None:
        """Warn, once, of spatial cells that are cells of the reference."""
        if self.attached is None or not self._compared.is_new(section):
            return
        if are_reference_cells(section, self._model.spatial_setup, self.attached):
            warn(REFERENCE_CELLS)

    def locate(self, genes: str | Sequence[str] | None, adata: AnnData | None) -> tuple[np.ndarray, pd.Index]:
        """Find positions and names of the genes to predict: the given ones, or all that are not measured.

        Raises
        ------
        KeyError
            If a gene is not in the reference.
        ValueError
            If there is no gene to predict.
        """
        available = self.need_reference().reference.expression.genes
        if genes is None:
            genes = list(available.difference(self.measured_genes(adata), sort=False))
            if not genes:
                raise ValueError("Every gene of the reference is measured. Name the genes to predict by `genes=`.")
        targets = locate_genes(genes, available, "the reference")
        return targets, available[targets]

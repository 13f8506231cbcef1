"""Register AnnData and MuData with scvi-tools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scvi import REGISTRY_KEYS
from scvi.data import AnnDataManager
from scvi.data._constants import _SCVI_UUID_KEY
from scvi.data._utils import _assign_adata_uuid
from scvi.data.fields import BaseAnnDataField, CategoricalObsField, LayerField, ObsmField

from stimpute._arguments import OF_CONTAINERS, READ_FILES
from stimpute._messages import check_type, missing_key, with_article
from stimpute.data._annotations import check_no_missing, in_memory, read_column
from stimpute.data._checksums import KnownCells
from stimpute.data._expression import Expression, expression_arguments, find_matrix
from stimpute.data._lazy import open_expression
from stimpute.data._stored import Stored, check_stored, read_stored

SPATIAL_KEY = "spatial"
DATASET_KEY = "dataset"
OF_MUDATA = 'Call `StImputeModel.setup_mudata(mdata, spatial="...", reference="...")`.'


class DataManager(AnnDataManager):
    """The registration of an AnnData, with what its cells were when it was set up; None where scvi-tools set it up."""

    known_cells: KnownCells | None = None


def registered_fields(
    adata: AnnData,
    layer: str | None,
    batch_key: str | None,
    spatial_key: str | None,
    expression: Expression,
    gene_symbols: str | None,
    dataset_key: str | None,
) -> tuple[list[BaseAnnDataField], KnownCells]:
    """Check an AnnData, and return the fields that scvi-tools should register, and what the cells are now.

    Raises
    ------
    KeyError
        If a named layer, column or array does not exist.
    ValueError
        If the expression is not what it is declared to be, gene names are not unique, or cells have no batch. Of
        expression that is not in memory the first cells are checked here, and all when the model is made.
    """
    if adata is None:
        raise TypeError("`adata` is None; expected an AnnData.")
    check_anndata(OF_MUDATA, adata=adata)
    keys = {"layer": layer, "batch_key": batch_key, "spatial_key": spatial_key, "gene_symbols": gene_symbols}
    keys["dataset_key"] = dataset_key
    for argument, key in keys.items():
        if key is not None and not isinstance(key, str):
            found = repr(key) if isinstance(key, list | int | float) else with_article(type(key))
            raise TypeError(f"`{argument}` is {found}; expected one name. Set up each data set by a call of its own.")
    stored = read_stored(find_matrix(adata, layer), keys)
    matrix = open_expression(adata, layer=layer, expression=expression, gene_symbols=gene_symbols)
    check_batches(adata, batch_key)
    fields: list[BaseAnnDataField] = [
        LayerField(REGISTRY_KEYS.X_KEY, layer, is_count_data=False, correct_data_format=False),
        CategoryField(REGISTRY_KEYS.BATCH_KEY, batch_key),
    ]
    if read_coordinates(adata, spatial_key) is not None:
        fields.append(ObsmField(SPATIAL_KEY, spatial_key))
    if dataset_key is not None:
        check_batches(adata, dataset_key)
        fields.append(CategoryField(DATASET_KEY, dataset_key))
    return fields, KnownCells(adata.obs_names, matrix.genes, matrix.checksums, stored)


def check_anndata(of_mudata: str, **datasets: object) -> None:
    """Check that data are AnnData, and say how the tables of other containers are passed; None passes.

    Raises
    ------
    TypeError
        If they are something else.
    """
    for name, data in datasets.items():
        advice = of_mudata if isinstance(data, MuData) else OF_CONTAINERS.get(type(data).__name__, READ_FILES)
        check_type(AnnData, advice, **{name: data})


class CategoryField(CategoricalObsField):
    """Register the categories that cells have, also of an `obs` that was read lazily, which scvi-tools cannot.

    Categories without cells may name donors, and a model is shared with what is registered.
    """

    def register_field(self, adata: AnnData) -> dict[str, Any]:
        """Write the code of each cell's category to `obs`, as scvi-tools does."""
        column = pd.Series(0, adata.obs_names)
        if not self.is_default:
            column = read_column(adata.obs, self._original_attr_key)
        codes = column.astype("category").cat.remove_unused_categories().cat
        adata.obs[self.attr_key] = codes.codes.to_numpy()
        return {
            self.CATEGORICAL_MAPPING_KEY: codes.categories.to_numpy(copy=True),
            self.ORIGINAL_ATTR_KEY: self.attr_key if self.is_default else self._original_attr_key,
        }


def check_batches(adata: AnnData, batch_key: str | None) -> None:
    """Check that the column of batches exists and has no missing values.

    Raises
    ------
    KeyError
        If there is no such column.
    ValueError
        If a cell has no value.
    """
    if batch_key is None:
        return
    if batch_key not in adata.obs:
        raise missing_key(batch_key, "adata.obs", adata.obs.columns)
    check_no_missing(adata.obs, batch_key, "adata.obs")


def read_datasets(adata: AnnData, dataset_key: str | None) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Read the dataset of every reference cell as a number, and the names of the datasets; None for one dataset.

    The datasets are in the order of the categories, or of their first cells.
    """
    if dataset_key is None:
        return None, ()
    check_batches(adata, dataset_key)
    column = read_column(adata.obs, dataset_key)
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.cat.remove_unused_categories()
        return column.cat.codes.to_numpy().astype(int), tuple(column.cat.categories.astype(str))
    codes, names = pd.factorize(column)
    return codes, tuple(str(name) for name in names)


def read_coordinates(adata: AnnData, spatial_key: str | None) -> np.ndarray | None:
    """Read and check the positions of cells, shape (n_cells, 2 or 3); None if there are none.

    The default key may be absent, for a reference or for data without positions.

    Raises
    ------
    KeyError
        If a key other than the default does not exist.
    ValueError
        If a position is not finite, or the array is not two- or three-dimensional.
    """
    if spatial_key is None:
        return None
    if spatial_key not in adata.obsm:
        if spatial_key == SPATIAL_KEY:
            return None
        raise missing_key(spatial_key, "adata.obsm", adata.obsm.keys())
    coords = np.asarray(in_memory(adata.obsm[spatial_key]))
    if coords.dtype.kind not in "fiu":
        raise ValueError(f"`adata.obsm[{spatial_key!r}]` holds values of type {coords.dtype}; expected numbers.")
    if coords.ndim != 2 or coords.shape[1] not in (2, 3):
        raise ValueError(
            f"`adata.obsm[{spatial_key!r}]` has shape {coords.shape}; expected one row per cell, 2 or 3 columns."
        )
    n_bad = int((~np.isfinite(coords.astype(float))).any(1).sum())
    if n_bad:
        raise ValueError(
            f"`adata.obsm[{spatial_key!r}]` has {n_bad} cell(s) without a finite position. Drop them, or pass "
            "`spatial_key=None` to do without positions."
        )
    return coords.astype(np.float64)


def assign_own_identity(adata: AnnData, managers: Mapping[str, AnnDataManager]) -> None:
    """Assign a new scvi-tools identifier to a copy of a registered AnnData.

    A copy carries the identifier of the original, which scvi-tools would otherwise replace by the copy.

    Raises
    ------
    ValueError
        If the AnnData is a view.
    """
    if adata.is_view:
        raise ValueError("This AnnData is a view of another one. Call `adata = adata.copy()` first.")
    if adata.uns.get(_SCVI_UUID_KEY) in managers and not is_registered(adata, managers):
        _assign_adata_uuid(adata, overwrite=True)


def is_registered(adata: AnnData, managers: Mapping[str, AnnDataManager]) -> bool:
    """Tell whether this very AnnData, and not one that it was copied from, is registered."""
    manager = managers.get(adata.uns.get(_SCVI_UUID_KEY, ""))
    return manager is not None and manager.adata is adata


def check_set_up(managers: Mapping[str, AnnDataManager], datasets: Mapping[str, AnnData | None]) -> None:
    """Check that AnnData, by the names of their arguments, were set up; None passes.

    Raises
    ------
    ValueError
        If one was not, or is a copy or a part of one that was.
    """
    for name, adata in datasets.items():
        if adata is not None and not is_registered(adata, managers):
            found = "is not set up"
            if _SCVI_UUID_KEY in adata.uns:
                found = "was released, or is a copy or a part of data that were set up"
            raise ValueError(f"`{name}` {found}. Call `StImputeModel.setup_anndata({name})` first.")


def check_as_set_up(adata: AnnData, manager: DataManager) -> None:
    """Check that the expression of an AnnData is what it was when it was set up.

    Raises
    ------
    KeyError, ValueError
        As `setup_anndata`; and if values were changed.
    """
    setup = manager.registry["setup_args"]
    check_files(adata, setup, manager.known_cells)
    matrix = open_expression(adata, **expression_arguments(setup))
    if manager.known_cells is not None:
        manager.known_cells.check(adata.obs_names, matrix.genes, matrix.checksums)


def check_files(adata: AnnData, setup: Mapping[str, Any], known: KnownCells | None) -> Stored:
    """Check that the files of an AnnData hold what they held when it was set up; return what they hold now.

    Raises
    ------
    ChangedDataError
        If they hold other names, positions or labels.
    """
    stored = read_stored(find_matrix(adata, setup.get("layer")), setup)
    if known is not None:
        check_stored(stored, known.stored)
    return stored


def modality(mdata: MuData, name: str) -> AnnData:
    """Return one modality of a MuData.

    Raises
    ------
    KeyError
        If it does not exist.
    """
    if name not in mdata.mod:
        raise KeyError(
            f"The MuData has no modality {name!r}; it has {list(mdata.mod)}. Name them: "
            '`StImputeModel.setup_mudata(mdata, spatial="...", reference="...")`.'
        )
    return mdata.mod[name]

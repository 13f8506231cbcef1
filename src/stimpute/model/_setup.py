"""Between AnnData and the rooms below: what is registered, checked and read."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scipy import sparse
from scvi import REGISTRY_KEYS, settings
from scvi.data import AnnDataManager
from scvi.data._constants import _SCVI_UUID_KEY
from scvi.data._utils import _assign_adata_uuid
from scvi.data.fields import BaseAnnDataField, CategoricalObsField, LayerField, ObsmField

from stimpute.data._expression import Expression, check_expression
from stimpute.data._genes import check_unique, shared_genes
from stimpute.data._reference import ReferenceBank
from stimpute.data._spatial import SpatialCells

SPATIAL_KEY = "spatial"


def registered_fields(
    adata: AnnData,
    layer: str | None,
    batch_key: str | None,
    spatial_key: str | None,
    expression: Expression,
    gene_symbols: str | None,
) -> list[BaseAnnDataField]:
    """Check an AnnData, and say which of its parts scvi-tools should register.

    Raises
    ------
    KeyError
        If a named layer, column or array does not exist.
    ValueError
        If the expression is not what it is said to be or not in memory, gene names are not unique, or cells have no
        batch.
    """
    for key, where, what in (
        (layer, adata.layers, "layers"),
        (batch_key, adata.obs, "obs"),
        (gene_symbols, adata.var, "var"),
        (spatial_key if spatial_key != SPATIAL_KEY else None, adata.obsm, "obsm"),
    ):
        if key is not None and key not in where:
            raise KeyError(f"{key!r} is not in `adata.{what}`, which has {sorted(map(str, where.keys()))}.")
    if adata.isbacked:
        raise ValueError("This AnnData is backed by a file. Call `adata = adata.to_memory()` first.")
    if batch_key is not None and adata.obs[batch_key].isna().any():
        n = int(adata.obs[batch_key].isna().sum())
        raise ValueError(f"`adata.obs[{batch_key!r}]` has no value for {n} cell(s). Fill it in, or drop the cells.")
    names = adata.var_names if gene_symbols is None else pd.Index(adata.var[gene_symbols].astype(str))
    check_unique(names, "data set")
    check_expression(adata.X if layer is None else adata.layers[layer], expression, adata.obs_names, names)

    fields: list[BaseAnnDataField] = [
        LayerField(REGISTRY_KEYS.X_KEY, layer, is_count_data=False),
        CategoricalObsField(REGISTRY_KEYS.BATCH_KEY, batch_key),
    ]
    if spatial_key in adata.obsm:
        _check_coordinates(np.asarray(adata.obsm[spatial_key]), str(spatial_key))
        fields.append(ObsmField(SPATIAL_KEY, spatial_key))
    return fields


def claim_identity(adata: AnnData, managers: Mapping[str, AnnDataManager]) -> None:
    """Give a copy of a registered AnnData an identity of its own, or scvi-tools would take the original for lost.

    Raises
    ------
    ValueError
        If the AnnData is a view.
    """
    if adata.is_view:
        raise ValueError("This AnnData is a view of another one. Call `adata = adata.copy()` first.")
    if adata.uns.get(_SCVI_UUID_KEY) in managers and not registered_in(adata, managers):
        _assign_adata_uuid(adata, overwrite=True)


def registered_in(adata: AnnData, managers: Mapping[str, AnnDataManager]) -> bool:
    """Whether this very AnnData, and not one that it was copied from, has a manager."""
    manager = managers.get(adata.uns.get(_SCVI_UUID_KEY, ""))
    return manager is not None and manager.adata is adata


def _check_coordinates(coords: np.ndarray, key: str) -> None:
    if coords.ndim != 2 or coords.shape[1] not in (2, 3):
        raise ValueError(f"`adata.obsm[{key!r}]` has shape {coords.shape}; expected one row per cell, 2 or 3 columns.")
    if not np.isfinite(coords.astype(float)).all():
        bad = int((~np.isfinite(coords.astype(float))).any(1).sum())
        raise ValueError(
            f"`adata.obsm[{key!r}]` has {bad} cell(s) without a finite position. Drop them, or pass `spatial_key=None` "
            "to do without positions."
        )


def setup_argument(manager: AnnDataManager, name: str) -> Any:
    """What was passed to `setup_anndata`."""
    return manager.registry["setup_args"].get(name)


def gene_names(manager: AnnDataManager) -> pd.Index:
    """Names by which genes are matched: `var_names`, or the column that was named."""
    column = setup_argument(manager, "gene_symbols")
    var = manager.adata.var
    return pd.Index((var.index if column is None else var[column]).astype(str))


def find_panel(spatial: AnnDataManager, reference: AnnDataManager) -> np.ndarray:
    """Genes that both datasets name and both have seen, in the order of the spatial data.

    A shared gene that is zero everywhere in one of them carries nothing; it is left out of the panel with a warning,
    and can still be imputed.
    """
    names, other = gene_names(spatial), gene_names(reference)
    shared = shared_genes(names, other)
    seen = np.ones(len(shared), dtype=bool)
    for manager, index in ((spatial, names), (reference, other)):
        sums = np.asarray(_expression(manager).sum(0)).ravel()
        seen &= sums[index.get_indexer(shared)] > 0
    if not seen.all():
        warnings.warn(
            f"{(~seen).sum()} shared gene(s) are zero in every cell of one dataset and are not used as input: "
            f"{', '.join(shared[~seen][:5])}.",
            UserWarning,
            stacklevel=settings.warnings_stacklevel,
        )
    return shared_genes(shared[seen], other).to_numpy().astype(str)


def find_input(spatial: AnnDataManager, reference: AnnDataManager, panel: np.ndarray) -> np.ndarray:
    """Genes that a cell's total counts: the panel, and what the reference does not have.

    A shared gene outside the panel is predicted as an unmeasured one is, so that nothing may depend on it.
    """
    names = gene_names(spatial)
    return names[names.isin(panel) | ~names.isin(gene_names(reference))].to_numpy().astype(str)


def _expression(manager: AnnDataManager) -> Any:
    return manager.get_from_registry(REGISTRY_KEYS.X_KEY)


def read_cells(manager: AnnDataManager, genes: np.ndarray, panel: np.ndarray) -> SpatialCells:
    """The spatial cells of a registered AnnData.

    Parameters
    ----------
    manager
        Of the AnnData, whose genes may be in any order and more than these.
    genes
        From :func:`find_input`.
    panel
        From :func:`find_panel`.
    """
    has_place = SPATIAL_KEY in manager.data_registry
    columns = gene_names(manager).get_indexer(pd.Index(genes))
    cells = SpatialCells.from_matrix(
        sparse.csr_matrix(_expression(manager))[:, columns],
        pd.Index(genes).get_indexer(pd.Index(panel)),
        counts=setup_argument(manager, "expression") == "counts",
        coords=np.asarray(manager.get_from_registry(SPATIAL_KEY)) if has_place else None,
        batch=np.asarray(manager.get_from_registry(REGISTRY_KEYS.BATCH_KEY)),
    )
    empty = int((np.diff(cells.panel.indptr) == 0).sum())
    if empty:
        warnings.warn(
            f"{empty} of {len(cells)} spatial cells have no count of any gene shared with the reference. They are "
            "kept; their prediction is little more than an average.",
            UserWarning,
            stacklevel=settings.warnings_stacklevel,
        )
    return cells


def read_bank(manager: AnnDataManager) -> ReferenceBank:
    """The reference cells of a registered AnnData."""
    counts = setup_argument(manager, "expression") == "counts"
    return ReferenceBank(_expression(manager), gene_names(manager), counts=counts)


def modality(mdata: MuData, name: str) -> AnnData:
    """One modality of a MuData.

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


def check_genes(found: pd.Index, needed: np.ndarray) -> None:
    """Check that a slice has every gene that the model reads, in whatever order.

    Raises
    ------
    ValueError
        If genes are missing.
    """
    missing = pd.Index(needed).difference(found)
    if len(missing):
        raise ValueError(
            f"The model was trained on a panel of {len(needed)} genes; {len(missing)} of them are not in this AnnData "
            f"({len(found)} genes): {', '.join(missing[:5])}{', ...' if len(missing) > 5 else ''}. A model serves "
            "slices of the panel that it was trained on; train a new one with `StImputeModel(adata, reference)`."
        )

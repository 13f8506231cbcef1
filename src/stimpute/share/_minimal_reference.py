"""Reduce a reference to what a model reads of it."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd

from stimpute._messages import missing_key
from stimpute.data._annotations import read_annotations
from stimpute.data._relation_store import PROTEIN, copy_relations
from stimpute.model import StImputeModel
from stimpute.model._reference import read_same_reference

REFERENCE_FILE = "reference.h5ad"


def minimal_reference(model: StImputeModel, labels: Sequence[str] = ()) -> ad.AnnData:
    """Keep expression, gene names, which genes have vectors, and the relations that the model uses.

    Cell names, all other columns of `obs` and `var`, and names of batches that no cell has are dropped, because they
    may identify donors. Names of the other batches and of datasets are kept.

    Parameters
    ----------
    model
        Has a reference.
    labels
        Columns of the reference's `obs` to keep, for `transfer_labels`.

    Raises
    ------
    KeyError
        If a label does not exist.
    RuntimeError
        If the model has no reference.
    ValueError
        If the reference was changed since the model read it: the model could not be loaded with it.
    """
    reference = model.data.need_reference().adata
    read_same_reference(reference, model.data.record, model.recipe)
    for name in labels:
        if name not in reference.obs:
            raise missing_key(name, "reference.obs", reference.obs.columns, "Name other `labels=`.")
    setup = model.reference_setup
    columns = list(labels)
    for key in (setup["batch_key"], setup.get("dataset_key")):
        if key is not None and key not in columns:
            columns.append(key)
    reference = read_annotations(reference)
    obs = reference.obs[columns].set_axis(pd.RangeIndex(reference.n_obs).astype(str))
    obs = obs.apply(lambda column: column.cat.remove_unused_categories() if hasattr(column, "cat") else column)
    about_genes = [name for name in (setup["gene_symbols"], f"has_{PROTEIN}") if name in reference.var]
    minimal = ad.AnnData(obs=obs, var=reference.var[about_genes].set_axis(reference.var_names.astype(object)))
    if setup["layer"] is None:
        minimal.X = reference.X
    else:
        minimal.layers[setup["layer"]] = reference.layers[setup["layer"]]
    spatial_key = setup["spatial_key"]
    if spatial_key in reference.obsm:
        minimal.obsm[spatial_key] = np.asarray(reference.obsm[spatial_key])
    copy_relations(reference, minimal, model.relations)
    return minimal


def to_bytes(adata: ad.AnnData) -> np.ndarray:
    """Convert an AnnData to the bytes of an .h5ad file, uint8, shape (n_bytes,)."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / REFERENCE_FILE
        adata.write_h5ad(path, compression="gzip")
        return np.frombuffer(path.read_bytes(), dtype=np.uint8)


def from_bytes(content: np.ndarray) -> ad.AnnData:
    """Convert the bytes of :func:`to_bytes` to an AnnData."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / REFERENCE_FILE
        path.write_bytes(np.asarray(content, dtype=np.uint8).tobytes())
        return ad.read_h5ad(path)

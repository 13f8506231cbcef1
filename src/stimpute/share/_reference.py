"""The reference as far as a model reads it, and nothing else of it."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd

from stimpute.model import StImputeModel


def slim_reference(model: StImputeModel, labels: Sequence[str] = ()) -> ad.AnnData:
    """Expression, gene names and the relations that the model uses.

    Cell names and all other columns of `obs` stay at home: they may say who the donors are.

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
    """
    model._need_reference()
    manager: Any = model._reference_manager
    reference, setup = manager.adata, model.reference_setup_
    missing = [name for name in labels if name not in reference.obs]
    if missing:
        raise KeyError(f"labels={missing} are not in the reference's `obs`, which has {sorted(reference.obs.columns)}.")
    layer, batch_key, spatial_key = (setup.get(key) for key in ("layer", "batch_key", "spatial_key"))
    columns = list(dict.fromkeys([*([batch_key] if batch_key else []), *labels]))
    obs = reference.obs[columns].set_axis(pd.RangeIndex(reference.n_obs).astype(str))
    slim = ad.AnnData(obs=obs, var=reference.var.copy())
    if layer is None:
        slim.X = reference.X
    else:
        slim.layers[layer] = reference.layers[layer]
    if spatial_key in reference.obsm:
        slim.obsm[spatial_key] = np.asarray(reference.obsm[spatial_key])
    _keep_relations(slim, reference, model.relations_)
    return slim


def _keep_relations(slim: ad.AnnData, reference: ad.AnnData, names: Sequence[str]) -> None:
    known = reference.uns.get("stimpute", {}).get("relations", {})
    records = {name: dict(known[name]) for name in names if name in known}
    for record in records.values():
        for where, given, kept in (("varm", reference.varm, slim.varm), ("varp", reference.varp, slim.varp)):
            if where in record:
                kept[record[where]] = given[record[where]]
        if "source" in record:
            record["source"] = Path(str(record["source"])).name  # not where it lies on this machine
    told = {name: {k: v for k, v in record.items() if v is not None} for name, record in records.items()}
    slim.uns["stimpute"] = {"relations": told}


def to_bytes(adata: ad.AnnData) -> np.ndarray:
    """An .h5ad file as uint8, shape (n_bytes,)."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "reference.h5ad"
        adata.write_h5ad(path, compression="gzip")
        return np.frombuffer(path.read_bytes(), dtype=np.uint8)


def from_bytes(content: np.ndarray) -> ad.AnnData:
    """The AnnData of :func:`to_bytes`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "reference.h5ad"
        path.write_bytes(np.asarray(content, dtype=np.uint8).tobytes())
        return ad.read_h5ad(path)

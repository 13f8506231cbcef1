"""Save and load a trained model without pickle: a folder of safetensors, JSON and, on request, the reference."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import torch

from stimpute.model import StImputeModel
from stimpute.model._cells import UNTRAINED
from stimpute.share import _document, _tensors
from stimpute.share._reference import slim_reference

JSON_FILE, TENSOR_FILE, REFERENCE_FILE = "stimpute.json", "stimpute.safetensors", "reference.h5ad"


def save(
    model: StImputeModel,
    path: str | Path,
    include_reference: bool = False,
    *,
    labels: Sequence[str] = (),
    overwrite: bool = False,
) -> Path:
    """Save a trained model for others, in files that hold no code.

    A `crossfit` model holds the panel's values of up to 1000 spatial cells, without names and positions.

    Parameters
    ----------
    model
        A trained model.
    path
        Folder to make. It gets `stimpute.json` (hyperparameters, panel, setup, registry, history, versions and the
        fingerprint of the reference) and `stimpute.safetensors` (networks and learnt arrays).
    include_reference
        Whether to add `reference.h5ad`: expression, gene names and gene relations, but neither cell names nor labels.
        Without it, whoever loads the model needs the reference.
    labels
        Columns of the reference's `obs` to include, for :meth:`stimpute.StImputeModel.transfer_labels`.
    overwrite
        Whether to replace a model that is there.

    Returns
    -------
    The folder.

    Raises
    ------
    FileExistsError
        If the folder exists and `overwrite` is False.
    ImportError
        If safetensors is not installed.
    RuntimeError
        If the model is not trained, or has no reference to include.
    """
    model._check_if_trained(warn=False, message=UNTRAINED)
    path = Path(path)
    reference = slim_reference(model, labels) if include_reference else None
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists. Name another folder, or pass `overwrite=True`.")
    path.mkdir(parents=True, exist_ok=True)
    for name in (JSON_FILE, REFERENCE_FILE):
        (path / name).unlink(missing_ok=True)
    if reference is not None:
        reference.write_h5ad(path / REFERENCE_FILE, compression="gzip")
    about = _tensors.write(_tensors.collect(model.module, model.state_), path / TENSOR_FILE)
    _document.write({**_document.describe(model), **about}, path / JSON_FILE)  # last: it says that all is there
    return path


def load(
    path: str | Path,
    adata: ad.AnnData | None = None,
    reference: ad.AnnData | bool | None = None,
    *,
    accelerator: str = "auto",
    device: int | str = "auto",
) -> StImputeModel:
    """Load a shared model. No code of its files is run: they hold numbers and text, which are checked.

    Parameters
    ----------
    path
        Folder of :func:`save`.
    adata
        Spatial data of the same panel; may come later, with `model.impute(adata=...)`.
    reference
        The reference that the model was trained with. If None, the one in the folder, if any; False for none.
    accelerator, device
        See :meth:`scvi.model.base.BaseModelClass.load`.

    Returns
    -------
    The model; it imputes bit by bit what the saved one did on the same machine.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ValueError
        If a file is truncated or does not fit the others, if genes of the panel are missing, or the reference is
        another one.
    """
    path = Path(path)
    document = _document.read(path / JSON_FILE)
    arrays = _tensors.read(path / TENSOR_FILE, document["tensors"], document["digest"])
    model = _restore(document, arrays, path)
    model.to_device(_device(accelerator, device))
    model.module.eval()
    if adata is not None:
        model._validate_anndata(adata)
    if reference is None and (path / REFERENCE_FILE).exists():
        reference = _read_reference(path / REFERENCE_FILE)
    if isinstance(reference, ad.AnnData):
        model._reattach(reference)
    return model


def _restore(document: dict[str, Any], arrays: dict[str, np.ndarray], path: Path) -> StImputeModel:
    """A model from checked parts."""
    registry = _document.restored_registry(document["registry"], path / JSON_FILE)
    registry["setup_args"] = document["setup"]
    model = StImputeModel(registry=registry, **_document.restored_init(document["init"]))
    model.panel_, model.input_genes_ = np.array(document["panel"]), np.array(document["input_genes"])
    model.relations_ = document["relations"]
    model.reference_setup_ = document["reference"]["setup"]
    model.reference_shape_ = tuple(document["reference"]["shape"])
    model.fingerprint_ = document["reference"]["fingerprint"]
    model.history_ = _document.restored_history(document["history"], path / JSON_FILE)

    _tensors.check_networks(arrays, model._networks, path / TENSOR_FILE)
    _tensors.check_state(arrays, len(model.panel_), model.reference_shape_[0], path / TENSOR_FILE)
    model.state_ = _named(arrays, _tensors.STATE)
    model.is_trained_ = True
    model.module.on_load(model)
    weights = {name: torch.from_numpy(value) for name, value in _named(arrays, _tensors.NETWORKS).items()}
    model.module.load_state_dict(weights)
    return model


def _named(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}


def _device(accelerator: str, device: int | str) -> torch.device:
    from scvi.model._utils import parse_device_args

    return parse_device_args(accelerator, device, return_device="torch", validate_single_device=True)[2]


def _read_reference(path: Path) -> ad.AnnData:
    try:
        return ad.read_h5ad(path)
    except (OSError, KeyError, AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as .h5ad: {error}. Fetch it again, or pass `reference=`.") from error

"""Save and load a trained model without pickle: a folder of safetensors, JSON and, on request, the reference."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anndata as ad
import torch

from stimpute._arguments import check_arguments
from stimpute._atomic import filling, recover
from stimpute._hdf5 import read_h5ad
from stimpute._reading import readable
from stimpute.data._arrays import Arrays
from stimpute.data._join import References
from stimpute.model import StImputeModel
from stimpute.model._persist import SHARED_FILE, given_or_stored
from stimpute.module._module import StImputeModule
from stimpute.share import _document, _tensors
from stimpute.share._minimal_reference import REFERENCE_FILE, minimal_reference
from stimpute.train._contexts import seeded

TENSOR_FILE = "stimpute.safetensors"


def save(
    model: StImputeModel,
    path: str | Path,
    *,
    save_reference: bool = False,
    labels: Sequence[str] = (),
    overwrite: bool = False,
) -> Path:
    """Save a trained model for others, in files that hold no code.

    The model holds the values of the shared genes in up to 1000 spatial cells, without names and positions;
    :func:`contents` lists all that it holds. The names of batches and datasets are in `stimpute.json` and in the
    reference: rename them before you set up the data if they name persons.

    Parameters
    ----------
    model
        A trained model.
    path
        Folder to make. It gets `stimpute.json` (hyperparameters, genes, setup, registry, history, versions and the
        fingerprint of the reference) and `stimpute.safetensors` (networks and learned arrays).
    save_reference
        Whether to add `reference.h5ad`: expression, gene names, gene relations and batches, but neither cell names nor
        labels. Without it, whoever loads the model needs the reference.
    labels
        Columns of the reference's `obs` to include, for :meth:`stimpute.StImputeModel.transfer_labels`.
    overwrite
        Whether to replace a model that is there; it stays as it was until the new one is written.

    Returns
    -------
    The folder.

    Raises
    ------
    FileExistsError
        If the folder exists and `overwrite` is False, or it holds a model of `model.save`.
    ImportError
        If safetensors is not installed.
    RuntimeError
        If the model is not trained, or has no reference to include.
    ValueError
        If the reference to include was changed since the model was made.

    Examples
    --------
    >>> stimpute.share.save(model, "for_others", save_reference=True)
    """
    check_arguments(save, locals())
    model.predictor(need_reference=False)  # raises if the model is not trained
    path = Path(path)
    reference = minimal_reference(model, labels) if save_reference else None
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists. Name another folder, or pass `overwrite=True`.")
    if any(path.glob("*model.pt")):
        raise FileExistsError(
            f"{path} holds a model of `model.save`, which may have data that are not for others. Name another folder."
        )
    digest = None
    with filling(path, stale=(REFERENCE_FILE,)) as partial:
        if reference is not None:
            reference.write_h5ad(partial / REFERENCE_FILE, compression="gzip")
            digest = _tensors.file_digest(partial / REFERENCE_FILE)
        listed = _tensors.write(_tensors.collect(model), partial / TENSOR_FILE)
        described = {**_document.describe(model), **listed, "reference_digest": digest}
        _document.write(described, partial / SHARED_FILE)
    return path


def load(
    path: str | Path,
    adata: ad.AnnData | None = None,
    reference: ad.AnnData | References | bool | None = None,
    *,
    accelerator: str = "auto",
    device: int | str = "auto",
) -> StImputeModel:
    """Load a shared model. No code in its files is run: they hold numbers and text, which are checked.

    Parameters
    ----------
    path
        Folder of :func:`save`.
    adata
        Spatial data with the same measured genes; may come later, with `model.impute(adata=...)`.
    reference
        The reference that the model was trained with; several references by name, or the same list. If None, the one in
        the folder, if any; False for none.
    accelerator, device
        See :meth:`scvi.model.base.BaseModelClass.load`.

    Returns
    -------
    The model. On the same machine it imputes, to the last bit, the values that the saved one imputed.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    TypeError
        If the reference is something else.
    ValueError
        If a file is truncated or does not fit the others, if input genes are missing, or the reference is another one.

    Examples
    --------
    >>> stimpute.share.save(model, "for_others", save_reference=True, overwrite=True)
    >>> model = stimpute.share.load("for_others", adata=spatial)
    """
    check_arguments(load, locals(), but=("reference",))
    path = Path(path)
    recover(path)
    document = _document.read(path / SHARED_FILE)
    arrays = _tensors.read(path / TENSOR_FILE, document["tensors"], document["digest"])
    model = _restore(document, arrays, path)
    model.to_device(_device(accelerator, device))
    if reference is None and (path / REFERENCE_FILE).exists():
        reference = _read_reference(path / REFERENCE_FILE, document.get("reference_digest"))
    return model.complete(adata, given_or_stored(path, REFERENCE_FILE, reference, "reference"))


def _restore(document: dict[str, Any], arrays: Arrays, path: Path) -> StImputeModel:
    """Make a model from a document and arrays, which are checked."""
    registry = _document.restored_registry(document["registry"], path / SHARED_FILE)
    registry["setup_args"] = document["spatial_setup"]
    init = _document.restored_init(document["init"], path / SHARED_FILE)
    with readable(path / SHARED_FILE, "Fetch it again, or save the model again."):
        model = StImputeModel(registry=registry, **init)
    model.data_record_ = document["data_record"]
    model.training_record_ = document.get("training_record")
    model.history_ = _document.restored_history(document["history"], path / SHARED_FILE)
    weights = _tensors.checked_weights(arrays, model.recipe, model.sizes, path / TENSOR_FILE)
    model.fit_arrays_ = _tensors.checked_fit(arrays, model.recipe, model.sizes, path / TENSOR_FILE)
    with seeded(0):  # building draws random weights; the global state is left as it was
        model.module = StImputeModule(model.recipe.build(model.sizes))
    model.module.load_state_dict(weights)
    model.module.eval()
    model.is_trained_ = True
    return model


def _device(accelerator: str, device: int | str) -> torch.device:
    from scvi.model._utils import parse_device_args

    return parse_device_args(accelerator, device, return_device="torch", validate_single_device=True)[2]


def _read_reference(path: Path, digest: Any) -> ad.AnnData:
    if digest is not None and _tensors.file_digest(path) != digest:
        raise ValueError(
            f"{path} is damaged or was changed: its digest is not the one in {SHARED_FILE}. Fetch it again, or pass "
            "`reference=`."
        )
    with readable(path, "Fetch it again, or pass `reference=`."):
        return read_h5ad(path)

"""Write and read the arrays of a model, networks and learned arrays, as one safetensors file."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from stimpute._messages import missing_extra
from stimpute.data._arrays import Arrays, from_arrays
from stimpute.model import StImputeModel
from stimpute.recipes import DataSizes, Recipe
from stimpute.share._document import need

NETWORKS = "network/"
FIT = "fit/"
MISSING = ("Sharing needs safetensors", "hub")


def collect(model: StImputeModel) -> Arrays:
    """Collect the weights of the networks and the learned arrays, by their names in the file."""
    arrays = {NETWORKS + name: value.detach().cpu().numpy() for name, value in model.module.state_dict().items()}
    arrays.update({FIT + name: value for name, value in (model.fit_arrays_ or {}).items()})
    return {name: np.require(value, requirements="C") for name, value in arrays.items()}


def write(arrays: Arrays, path: Path) -> dict[str, Any]:
    """Write arrays, and return their description for the document.

    Raises
    ------
    ImportError
        If safetensors is not installed.
    OSError
        If the file cannot be written.
    """
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import save_file
    except ImportError as error:
        raise missing_extra(*MISSING) from error
    try:
        save_file(arrays, path)
    except SafetensorError as error:
        raise OSError(f"{path.name} cannot be written; the disk may be full ({error}).") from error
    return {"tensors": _describe(arrays), "digest": file_digest(path)}


def read(path: Path, listed: dict[str, Any], digest: str) -> Arrays:
    """Read the arrays that a document lists, and no others.

    Raises
    ------
    FileNotFoundError
        If there is no file.
    ImportError
        If safetensors is not installed.
    ValueError
        If the file is truncated or is not the one that the document describes.
    """
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    except ImportError as error:
        raise missing_extra(*MISSING) from error
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; it belongs beside the JSON. Fetch the whole folder.")
    need(file_digest(path) == digest, path, "its digest is not the one in the JSON; it may be truncated")
    try:
        arrays = load_file(path)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a safetensors file of numbers: {error}. Fetch it again.") from error
    need(_describe(arrays) == listed, path, "its arrays are not those that the JSON lists")
    return arrays


def checked_weights(arrays: Arrays, recipe: Recipe, sizes: DataSizes, path: Path) -> dict[str, torch.Tensor]:
    """Return the weights of the networks, after comparing their shapes with those that the recipe builds.

    Raises
    ------
    ValueError
        If a weight is missing, unknown, of another shape, or not finite.
    """
    try:
        with torch.device("meta"):  # which takes no memory
            networks = nn.ModuleDict(recipe.build(sizes))
    except (RuntimeError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{path} cannot hold the networks of {recipe}. Fetch it again.") from error
    expected = {f"networks.{name}": tuple(value.shape) for name, value in networks.state_dict().items()}
    weights = _with_prefix(arrays, NETWORKS)
    found = {name: value.shape for name, value in weights.items()}
    for name in sorted(expected.keys() | found.keys()):
        problem = f"the weight {name} has shape {found.get(name)}, expected {expected.get(name)}"
        need(expected.get(name) == found.get(name), path, problem)
        need(weights[name].dtype.kind in "fiub", path, f"the weight {name} has type {weights[name].dtype}")
        need(bool(np.isfinite(weights[name]).all()), path, f"the weight {name} has values that are not finite")
    return {name: torch.from_numpy(value) for name, value in weights.items()}


def checked_fit(arrays: Arrays, recipe: Recipe, sizes: DataSizes, path: Path) -> Arrays:
    """Return the learned arrays, after comparing them with what the recipe declares.

    Raises
    ------
    ValueError
        If one does not fit.
    """
    fit = _with_prefix(arrays, FIT)
    try:
        from_arrays(recipe.fit_type, fit, sizes.dimensions())
    except ValueError as error:
        need(False, path, str(error))
    return fit


def _with_prefix(arrays: Arrays, prefix: str) -> Arrays:
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}


def _describe(arrays: Arrays) -> dict[str, Any]:
    return {name: {"dtype": str(value.dtype), "shape": list(value.shape)} for name, value in arrays.items()}


def file_digest(path: Path) -> str:
    """Compute the digest by which a file is recognized, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()

"""What of a model is numbers: networks and learnt arrays in one safetensors file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from stimpute.share._document import need

NETWORKS, STATE = "network/", "state/"
PER_GENE = ("hidden_in", "mean", "std", "panel_")  # arrays of a recipe's state that go along the panel
MISSING = "Sharing needs safetensors: `pip install 'stimpute[hub]'`."

Arrays = dict[str, np.ndarray]


def collect(module: nn.Module, state: Arrays) -> Arrays:
    """Weights of the networks and the recipe's state, by their names in the file."""
    networks = {NETWORKS + name: value.detach().cpu().numpy() for name, value in module.state_dict().items()}
    arrays = networks | {STATE + name: np.asarray(value) for name, value in state.items()}
    return {name: np.require(value, requirements="C") for name, value in arrays.items()}


def write(arrays: Arrays, path: Path) -> dict[str, Any]:
    """Write the arrays; what the document says of them.

    Raises
    ------
    ImportError
        If safetensors is not installed.
    """
    try:
        from safetensors.numpy import save_file
    except ImportError as error:
        raise ImportError(MISSING) from error
    save_file(arrays, path)
    listed = {name: {"dtype": str(value.dtype), "shape": list(value.shape)} for name, value in arrays.items()}
    return {"tensors": listed, "digest": _digest(path)}


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
        raise ImportError(MISSING) from error
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; it belongs beside the JSON. Fetch the whole folder.")
    need(_digest(path) == digest, path, "its digest is not the one in the JSON; it may be truncated")
    try:
        arrays = load_file(path)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a safetensors file of numbers: {error}. Fetch it again.") from error
    found = {name: {"dtype": str(value.dtype), "shape": list(value.shape)} for name, value in arrays.items()}
    need(found == listed, path, "its arrays are not those that the JSON lists")
    return arrays


def check_networks(arrays: Arrays, make: Callable[[], Mapping[str, nn.Module]], path: Path) -> None:
    """Compare shapes with the networks that the hyperparameters ask for, before these take any memory.

    Raises
    ------
    ValueError
        If a weight is missing, unknown or of another shape.
    """
    with torch.device("meta"):
        networks = nn.ModuleDict(dict(make()))
    expected = {f"{NETWORKS}networks.{name}": tuple(value.shape) for name, value in networks.state_dict().items()}
    found = {name: value.shape for name, value in arrays.items() if name.startswith(NETWORKS)}
    wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    if wrong:
        name = wrong[0]
        need(False, path, f"{name} has shape {found.get(name)}, expected {expected.get(name)}")


def check_state(arrays: Arrays, n_panel: int, n_cells: int, path: Path) -> None:
    """Compare the learnt arrays with the panel and the reference.

    Raises
    ------
    ValueError
        If one is of another length, points outside the data or is not finite.
    """
    need(STATE + "hidden_in" in arrays, path, "the folds of the genes, state/hidden_in, are missing")
    for name, value in arrays.items():
        if value.dtype.kind == "f":
            need(bool(np.isfinite(value).all()), path, f"{name} has values that are not finite")
        if not name.startswith(STATE):
            continue
        if value.dtype.kind in "iu" and value.size:
            need(value.min() >= -1 and value.max() < max(n_panel, n_cells), path, f"{name} points outside the data")
        if name.removeprefix(STATE).startswith(PER_GENE):
            need(value.shape[:1] == (n_panel,), path, f"{name} has shape {value.shape}, expected {n_panel} genes")
        if name == STATE + "metacell":
            need(value.shape == (n_cells,), path, f"{name} has shape {value.shape}, expected {n_cells} cells")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()

"""What of a model is text: one JSON document, checked before anything is made from it."""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Mapping
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stimpute.model import StImputeModel
from stimpute.recipes import RECIPES

FORMAT, FORMAT_VERSION = "stimpute", 1
PACKAGES = ("stimpute", "scvi-tools", "anndata", "torch", "numpy")
CONTENT: dict[str, type] = {
    "init": dict,
    "setup": dict,
    "reference": dict,
    "registry": dict,
    "panel": list,
    "input_genes": list,
    "relations": list,
    "history": dict,
    "tensors": dict,
    "digest": str,
}


def describe(model: StImputeModel) -> dict[str, Any]:
    """Everything about a trained model that is not an array of numbers."""
    init = model.init_params_
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "versions": {name: version(name) for name in PACKAGES},
        "init": plain({**init["non_kwargs"], **init["kwargs"].get("recipe_kwargs", {})}),
        "setup": plain(model.registry_["setup_args"]),
        "reference": {
            "setup": plain(model.reference_setup_),
            "shape": plain(model.reference_shape_),
            "fingerprint": model.fingerprint_,
        },
        "registry": plain(model.registry_),
        "panel": plain(model.panel_),
        "input_genes": plain(model.input_genes_),
        "relations": plain(model.relations_),
        "history": {name: _from_table(table) for name, table in (model.history_ or {}).items()},
    }


def write(document: Mapping[str, Any], path: Path) -> None:
    """Write strict JSON."""
    path.write_text(json.dumps(document, indent=1, allow_nan=False), encoding="utf-8")


def read(path: Path) -> dict[str, Any]:
    """Read a document and check what it is made of.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        If it is not a document of :func:`write`, or one of a later version.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist. Pass a folder that `stimpute.share.save` wrote.")
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON: {error}. It may be truncated: fetch it again.") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ValueError(f"{path} does not describe a stimpute model. Pass a folder that `stimpute.share.save` wrote.")
    if document.get("format_version") != FORMAT_VERSION:
        raise ValueError(
            f"{path} has format version {document.get('format_version')!r}; this stimpute reads {FORMAT_VERSION}. "
            "Install the version of stimpute that is named in its `versions`."
        )
    for key, kind in CONTENT.items():
        need(isinstance(document.get(key), kind), path, f"`{key}` should be a {kind.__name__}")
    for key in ("panel", "input_genes", "relations"):
        need(all(isinstance(name, str) for name in document[key]), path, f"`{key}` should hold names")
    need(set(document["panel"]) <= set(document["input_genes"]), path, "`panel` should be part of `input_genes`")
    need(len(set(document["panel"])) == len(document["panel"]) > 0, path, "`panel` should hold each gene once")
    _check_init(document["init"], path)
    _check_reference(document["reference"], path)
    _check_setup(document["setup"], path)
    return document


def need(condition: bool, path: Path, what: str) -> None:
    """Raise ValueError unless a file is as it should be."""
    if not condition:
        raise ValueError(f"{path} is damaged or was changed by hand: {what}. Fetch it again, or save the model again.")


def restored_init(init: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of the model; JSON knows lists only, hyperparameters may be tuples."""
    tuples = {field.name for field in fields(RECIPES[init["recipe"]]) if isinstance(field.default, tuple)}  # type: ignore[arg-type]
    return {key: tuple(value) if key in tuples and isinstance(value, list) else value for key, value in init.items()}


def restored_registry(registry: dict[str, Any], path: Path) -> dict[str, Any]:
    """Registry of scvi-tools, with the arrays that it holds."""
    registered: Any = registry.get("field_registries")
    need(isinstance(registered, dict) and "X" in registered, path, "`registry` should have `field_registries`")
    for part in registered.values():
        state: Any = part.get("state_registry") if isinstance(part, dict) else None
        need(isinstance(state, dict), path, "`registry` should have a `state_registry` for each field")
        lists = {key: value for key, value in state.items() if isinstance(value, list)}
        for key, value in lists.items():
            state[key] = np.array(value, dtype=object if any(isinstance(v, str) for v in value) else None)
    return registry


def restored_history(history: Mapping[str, Any], path: Path) -> dict[str, pd.DataFrame]:
    """Tables of what was logged in training."""
    tables = {}
    for name, table in history.items():
        epochs, values = (table.get(key) if isinstance(table, dict) else None for key in ("epoch", "value"))
        valid = isinstance(epochs, list) and isinstance(values, list) and len(epochs) == len(values)
        need(valid, path, f"`history` should hold an epoch for each value of {name!r}")
        index = pd.Index(epochs, name=table.get("index"))
        series = pd.Series(values, index=index, dtype=float)
        tables[name] = pd.DataFrame({str(table.get("column")): series})
    return tables


def plain(value: Any) -> Any:
    """Arrays, tuples and numpy's numbers as JSON has them."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def _from_table(table: pd.DataFrame) -> dict[str, Any]:
    values = pd.to_numeric(pd.Series(np.ravel(table), index=table.index)).tolist()
    return {
        "index": table.index.name,
        "column": str(table.columns[0]),
        "epoch": plain(table.index.to_numpy()),
        "value": [value if math.isfinite(value) else None for value in values],
    }


def _check_init(init: dict[str, Any], path: Path) -> None:
    need(init.get("recipe") in RECIPES, path, f"`init` should name a recipe of {sorted(RECIPES)}")
    known = {field.name: field.default for field in fields(RECIPES[init["recipe"]])}  # type: ignore[arg-type]
    for key, value in init.items():
        if key in known and value is not None:
            numbers = value if isinstance(value, list) else [value]
            need(all(isinstance(v, (bool, int, float)) for v in numbers), path, f"`init` has {key}={value!r}")
        elif key == "relations":
            need(isinstance(value, (str, list)), path, f"`init` has {key}={value!r}")
        elif key != "recipe":
            need(key in known, path, f"`init` has an unknown argument {key!r}")


def _check_reference(reference: dict[str, Any], path: Path) -> None:
    shape = reference.get("shape")
    valid = isinstance(shape, list) and len(shape) == 2 and all(isinstance(n, int) and n > 0 for n in shape)
    need(valid, path, "`reference` should have a `shape` of two numbers")
    need(isinstance(reference.get("fingerprint"), str), path, "`reference` should have a `fingerprint`")
    need(isinstance(reference.get("setup"), dict), path, "`reference` should have a `setup`")
    _check_setup(reference["setup"], path)


def _check_setup(setup: dict[str, Any], path: Path) -> None:
    known = set(inspect.signature(StImputeModel.setup_anndata).parameters) - {"adata", "kwargs"}
    valid = set(setup) <= known and all(value is None or isinstance(value, (str, bool)) for value in setup.values())
    need(valid, path, f"`setup` should hold names for {sorted(known)}")

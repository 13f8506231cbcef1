"""Describe a model as one JSON document, and check such a document before anything is made from it."""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stimpute.data._result import package_versions
from stimpute.model import StImputeModel
from stimpute.recipes import RECIPES
from stimpute.train._trainer import UNTRAINED

FORMAT = "stimpute"
FORMAT_VERSION = 2
CONTENT: dict[str, type] = {
    "init": dict,
    "spatial_setup": dict,
    "data_record": dict,
    "registry": dict,
    "history": dict,
    "tensors": dict,
    "digest": str,
}
NAMES_IN_RECORD = ("shared_genes", "input_genes", "relations")
RECORD = {*NAMES_IN_RECORD, "reference_setup", "reference_shape", "fingerprint", "n_cells", "dataset_setups"}


def describe(model: StImputeModel) -> dict[str, Any]:
    """Describe everything about a trained model that is not an array of numbers."""
    init = model.init_params_
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "versions": package_versions(),
        "init": plain({**init["non_kwargs"], **init["kwargs"].get("recipe_kwargs", {})}),
        "spatial_setup": plain(model.spatial_setup),
        "data_record": plain(model.data_record_),
        "training_record": plain(model.training_record),
        "registry": plain(model.registry_),
        "history": {name: _describe_table(table) for name, table in (model.history_ or {}).items()},
    }


def write(document: Mapping[str, Any], path: Path) -> None:
    """Write strict JSON."""
    path.write_text(json.dumps(document, indent=1, allow_nan=False), encoding="utf-8")


def read(path: Path) -> dict[str, Any]:
    """Read a document and check its parts.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        If it is not a document of :func:`write`, or one of another version.
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
    _check_init(document["init"], path)
    _check_record(document["data_record"], path)
    _check_setup(document["spatial_setup"], path)
    _check_training(document.get("training_record"), path)
    return document


def need(condition: bool, path: Path, problem: str) -> None:
    """Raise ValueError unless a file is as it should be."""
    if not condition:
        raise ValueError(
            f"{path} is damaged or was changed by hand: {problem}. Fetch it again, or save the model again."
        )


def restored_init(init: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Restore the arguments of the model; JSON has lists where hyperparameters are tuples.

    Raises
    ------
    ValueError
        If the recipe refuses its hyperparameters.
    """
    defaults = {field.name: field.default for field in fields(RECIPES[init["recipe"]])}  # type: ignore[arg-type]
    restored = dict(init)
    for key, value in init.items():
        if isinstance(value, list) and isinstance(defaults.get(key), tuple):
            restored[key] = tuple(value)
    hyperparameters = {key: value for key, value in restored.items() if key not in ("recipe", "relations")}
    try:
        RECIPES[init["recipe"]].configure(hyperparameters)
    except (TypeError, ValueError, OverflowError) as error:
        need(False, path, str(error))
    return restored


def restored_registry(registry: dict[str, Any], path: Path) -> dict[str, Any]:
    """Restore the registry of scvi-tools, with its arrays."""
    registered: Any = registry.get("field_registries")
    need(isinstance(registered, dict) and "X" in registered, path, "`registry` should have `field_registries`")
    for part in registered.values():
        state: Any = part.get("state_registry") if isinstance(part, dict) else None
        need(isinstance(state, dict), path, "`registry` should have a `state_registry` for each field")
        for key, value in state.items():
            if isinstance(value, list):
                has_text = any(isinstance(item, str) for item in value)
                state[key] = np.array(value, dtype=object if has_text else None)
    return registry


def restored_history(history: Mapping[str, Any], path: Path) -> dict[str, pd.DataFrame]:
    """Restore the tables that were logged in training."""
    tables = {}
    for name, table in history.items():
        problem = f"`history` should hold an epoch for each value of {name!r}"
        need(isinstance(table, dict), path, problem)
        epochs = table.get("epoch")
        values = table.get("value")
        valid = isinstance(epochs, list) and isinstance(values, list) and len(epochs) == len(values)
        valid = valid and isinstance(table.get("index"), str | None)
        valid = valid and _is_list_of([*epochs, *values], (int, float, type(None)))
        need(valid, path, problem)
        series = pd.Series(values, index=pd.Index(epochs, name=table.get("index")), dtype=float)
        tables[name] = pd.DataFrame({str(table.get("column")): series})
        if table.get(UNTRAINED) is not None:
            need(isinstance(table[UNTRAINED], (int, float)), path, problem)
            tables[name].attrs[UNTRAINED] = float(table[UNTRAINED])
    return tables


def plain(value: Any) -> Any:
    """Convert arrays, tuples and numpy's numbers to what JSON has."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def _describe_table(table: pd.DataFrame) -> dict[str, Any]:
    values = pd.to_numeric(pd.Series(np.ravel(table), index=table.index)).tolist()
    return {
        "index": table.index.name,
        "column": str(table.columns[0]),
        "epoch": plain(table.index.to_numpy()),
        "value": [value if math.isfinite(value) else None for value in values],
        UNTRAINED: table.attrs.get(UNTRAINED),
    }


def _check_init(init: dict[str, Any], path: Path) -> None:
    """Check that the arguments of the model are numbers, and names of relations."""
    need(init.get("recipe") in list(RECIPES), path, f"`init` should name a recipe of {sorted(RECIPES)}")
    hyperparameters = {field.name for field in fields(RECIPES[init["recipe"]])}  # type: ignore[arg-type]
    for key, value in init.items():
        if key == "recipe":
            continue
        if key == "relations":
            valid = isinstance(value, str) or _is_list_of(value, str)
        else:
            need(key in hyperparameters, path, f"`init` has an unknown argument {key!r}")
            valid = value is None or _is_list_of(value if isinstance(value, list) else [value], (bool, int, float))
        need(valid, path, f"`init` has {key}={value!r}")


def _check_record(record: dict[str, Any], path: Path) -> None:
    """Check the record of the data: genes by name, and the reference."""
    need(set(record) == RECORD, path, f"`data_record` should have {sorted(RECORD)}")
    for key in NAMES_IN_RECORD:
        need(_is_list_of(record[key], str), path, f"`{key}` should hold names")
    shared = record["shared_genes"]
    need(set(shared) <= set(record["input_genes"]), path, "`shared_genes` should be part of `input_genes`")
    need(len(set(shared)) == len(shared) > 0, path, "`shared_genes` should hold each gene once")
    shape = record["reference_shape"]
    valid = _is_list_of(shape, int) and len(shape) == 2 and min(shape) > 0
    need(valid, path, "`reference_shape` should be two numbers")
    need(isinstance(record["n_cells"], int) and record["n_cells"] > 0, path, "`n_cells` should be a number")
    need(isinstance(record["fingerprint"], str), path, "`fingerprint` should be text")
    datasets = record["dataset_setups"]
    need(isinstance(datasets, dict), path, "`dataset_setups` should be a dict")
    for setup in (record["reference_setup"], *datasets.values()):
        need(isinstance(setup, dict), path, "the setup of a reference should be a dict")
    _check_setup(record["reference_setup"], path)
    for setup in datasets.values():
        _check_setup(setup, path, whole=False)


def _check_training(record: Any, path: Path) -> None:
    plain_types = (bool, int, float, str, type(None))
    valid = record is None or (isinstance(record, dict) and _is_list_of(list(record.values()), plain_types))
    need(valid, path, "`training_record` should hold numbers and texts")


def _check_setup(setup: dict[str, Any], path: Path, *, whole: bool = True) -> None:
    known = set(inspect.signature(StImputeModel.setup_anndata).parameters) - {"adata", "kwargs"}
    valid = set(setup) <= known and all(value is None or isinstance(value, (str, bool)) for value in setup.values())
    need(valid, path, f"a setup should hold names for {sorted(known)}")
    missing = known - set(setup)
    need(not (whole and missing), path, f"a setup lacks {sorted(missing)}")


def _is_list_of(value: Any, kind: type | tuple[type, ...]) -> bool:
    return isinstance(value, list) and all(isinstance(item, kind) for item in value)

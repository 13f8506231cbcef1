"""Steps that several commands share: read and check data, make or load a model, write results."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stimpute._messages import missing_key
from stimpute.cli._datasets import Pair, read_pair, read_references, read_spatial
from stimpute.cli._errors import name_file
from stimpute.cli._files import is_fasta, read_lines
from stimpute.cli._groups import changed_options
from stimpute.cli._options import DataFiles, DataOptions, ModelOptions

if TYPE_CHECKING:
    import pandas as pd

    from stimpute import StImputeModel
    from stimpute.cli._console import Console
    from stimpute.cli._datasets import References
    from stimpute.recipes import Recipe

REPORT_INTERVAL = 0.9  # probability of the intervals that a report checks


def make_recipe(options: ModelOptions) -> Recipe:
    """Make the recipe of `--recipe` with the hyperparameters of `--set`.

    Raises
    ------
    ValueError
        If there is no such recipe or hyperparameter, or a value makes no sense.
    """
    from stimpute.recipes import get_recipe

    recipe = get_recipe(options.recipe)
    try:
        _check_types(recipe, options.hyperparameters)
        return recipe.configure(options.hyperparameters)
    except (TypeError, ValueError) as error:  # TypeError: an unknown hyperparameter, or a value of another type
        raise ValueError(f"--set: {error}") from error


def _check_types(recipe: type[Recipe], values: dict[str, Any]) -> None:
    """Raise TypeError if a value is not a number, or not an integer, where the default is one."""
    defaults = {option.name: option.default for option in fields(recipe)}
    for name, value in values.items():
        kind = type(defaults.get(name))
        allowed = (int, float) if kind is float else kind
        is_wrong = not isinstance(value, allowed) or (isinstance(value, bool) and kind is not bool)
        if kind in (bool, int, float) and is_wrong:
            raise TypeError(f"`{name}` is {value!r}; expected a value such as {defaults[name]}.")


def model_kwargs(options: ModelOptions) -> dict[str, Any]:
    """Return the arguments of `StImputeModel` that the options stand for."""
    return {"recipe": make_recipe(options), "relations": options.relation_names}


def train_kwargs(options: ModelOptions, console: Console) -> dict[str, Any]:
    """Return the arguments of `StImputeModel.train` that the options stand for."""
    return {"seed": options.seed, "enable_progress_bar": console.progress}


def read_and_check(data: DataOptions, options: ModelOptions) -> tuple[Pair, StImputeModel]:
    """Read the data and make an untrained model, which checks everything before time is spent."""
    from stimpute import StImputeModel

    kwargs = model_kwargs(options)  # cheap: before the files are read
    pair = read_pair(data)
    with name_file(f"{data.spatial} and {_listed(data)}", "--", "--reference-"):
        model = StImputeModel(pair.spatial, pair.reference, **kwargs)
    return pair, model


def check_groups(pair: Pair, data: DataFiles, groupby: str | None) -> None:
    """Check that the spatial data have the column of `--groupby`, if there is one.

    Raises
    ------
    ValueError
        If they have no such column.
    """
    if groupby is not None and groupby not in pair.spatial.obs:
        with name_file(str(data.spatial), "--"):
            raise missing_key(groupby, "obs", pair.spatial.obs.columns, "Name the column of groups by --groupby.")


def load_model(folder: Path, data: DataFiles, options: ModelOptions) -> StImputeModel:
    """Load a trained model with its data.

    Raises
    ------
    ValueError
        If options ask for something that was decided when the model was trained, or a reference is missing.
    """
    allowed = {"--spatial", "--reference", "--markers", "--marker-columns", "--proteins"}
    refused = [option for option in changed_options(data) + changed_options(options) if option not in allowed]
    if refused:
        raise ValueError(f"--model is a trained model, which settles {', '.join(refused)}. Leave the option out.")
    from stimpute import StImputeModel

    has_references = bool(data.references)
    with name_file(folder, "--"):
        model = StImputeModel.load(str(folder), adata=False, reference=False if has_references else None)
    references = _read_same_references(folder, data, model) if has_references else None
    spatial = read_spatial(data, model.spatial_setup)
    with name_file(str(data.spatial), "--"):
        model.complete(spatial, None)
    with name_file(_listed(data), "--reference-"):
        model.complete(None, references)
    if model.reference is None:
        raise ValueError(f"The model in {folder} was saved without its reference. Pass it: {_how_to_pass(model)}.")
    return model


def _read_same_references(folder: Path, data: DataFiles, model: StImputeModel) -> References:
    """Read the references that a model was trained with, in their order then.

    Raises
    ------
    ValueError
        If they have other names.
    """
    setups = model.data.record.dataset_setups
    names = list(data.references)
    trained_with = f"The model in {folder} was trained with {', '.join(setups) or 'one reference'}"
    if set(names) == set(setups):
        references = read_references(data, setups)
        return {name: references[name] for name in setups}
    if len(names) > 1:
        raise ValueError(f"{trained_with}; found {', '.join(names)}. Pass the same: {_how_to_pass(model)}.")
    try:
        (reference,) = read_references(data, {names[0]: model.reference_setup}).values()
    except ValueError as error:
        if not setups:
            raise
        raise ValueError(f"{error} {trained_with}. Pass the same: {_how_to_pass(model)}.") from error
    return reference


def _how_to_pass(model: StImputeModel) -> str:
    """Write the options that name the references of a model."""
    names = list(model.data.record.dataset_setups)
    return " ".join(f"--reference {name}=FILE" for name in names) or "--reference FILE"


def _listed(data: DataFiles) -> str:
    """List the files of the references."""
    return ", ".join(str(path) for path in data.references.values())


def check_report(path: Path | None) -> None:
    """Check that a report can be made, if there is to be one.

    Raises
    ------
    ImportError
        If jinja2 is not installed.
    """
    if path is not None:
        from stimpute.report._write import load_template

        load_template()


def write_report(path: Path | None, data: DataOptions, **results: Any) -> list[str]:
    """Write a report on results from some data, if there is to be one, and return its name."""
    if path is None:
        return []
    import matplotlib as mpl

    from stimpute import report

    mpl.use("agg")
    report.write(path, inputs=data.inputs, **results)
    return [str(path)]


def validation_kwargs(pair: Pair, folds: int, options: ModelOptions, console: Console) -> dict[str, Any]:
    """Return the arguments of `tl.cross_validate` and `tl.relation_ablation`."""
    return {
        **pair.setups,
        **model_kwargs(options),
        "n_folds": folds,
        "seed": options.seed,
        "progress": console.progress,
    }


def read_sequences(path: Path, organism: str, url: str | None, console: Console) -> pd.DataFrame:
    """Read protein sequences from a FASTA file, or fetch those of the genes that a file names."""
    from stimpute import pp

    if is_fasta(path):
        return pp.read_fasta(path)
    address: dict[str, Any] = {} if url is None else {"url": url}
    found = pp.fetch_proteins(read_lines(path), organism, progress=console.progress, **address)
    n_found = int((found["status"] == "found").sum())
    console.print(f"{n_found} of {len(found)} genes have a protein.")
    return found

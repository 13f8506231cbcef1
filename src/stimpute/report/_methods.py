"""Sections on the data and on how the results were made."""

from __future__ import annotations

import platform
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd

from stimpute import pl
from stimpute._messages import name_list
from stimpute.data._result import package_versions
from stimpute.report._page import Section, Table, format_value, make_figure
from stimpute.report._results import Results

N_NAMED = 20
IMPUTED_SETTINGS = ("recipe", "relations", "variance", "interval", "version")


def data_summary(results: Results) -> Section | None:
    """Show the size of both datasets and the genes that they share."""
    model = results.model
    if model is None or not results.has_data:
        return None
    n_cells, n_genes = model.reference_shape
    rows = {
        "spatial cells": model.adata.n_obs,
        "measured genes": len(model.measured_genes),
        "reference cells": n_cells,
        "genes in the reference": n_genes,
        "shared genes, expressed in both": len(model.shared_genes),
        "unmeasured genes that can be imputed": len(model.reference_genes.difference(model.measured_genes)),
    }
    text = f"The model uses {len(model.shared_genes)} genes that both datasets share and express."
    absent = model.measured_genes.difference(model.reference_genes, sort=False)
    if len(absent):
        text += f" {len(absent)} measured genes are not in the reference: {name_list(absent, N_NAMED)}."
    table = Table("Size of the data.", ["", ""], [[name, format_value(value)] for name, value in rows.items()])
    return Section("Genes and cells", [text], [table])


@dataclass(frozen=True)
class Origin:
    """What the page was made by, and from.

    Attributes
    ----------
    command
        Command or script, None in a notebook.
    inputs
        Files by their names.
    """

    command: str | None
    inputs: Mapping[str, str | Path]

    @classmethod
    def of(cls, command: str | None, inputs: Mapping[str, str | Path]) -> Origin:
        """Take the command of the process if none is given."""
        script = Path(sys.argv[0] if sys.argv else "")
        program = "stimpute" if script.parts[-3:] == ("stimpute", "cli", "__main__.py") else script.name
        if command is None and program not in ("", "-", "-c", "ipykernel_launcher.py"):
            command = shlex.join([program, *sys.argv[1:]])
        return cls(command, inputs)

    def rows(self) -> list[list[str]]:
        """Return the rows of a table."""
        rows = [["command", self.command]] if self.command else []
        for name, path in self.inputs.items():
            text = str(path)
            if Path(path).is_file():
                status = Path(path).stat()
                changed = date.fromtimestamp(status.st_mtime).isoformat()
                text += f" ({status.st_size:,} bytes, changed {changed})"
            rows.append([name, text])
        return rows


def methods(results: Results, origin: Origin) -> Section:
    """Show everything that is needed to make the results again."""
    tables = []
    if origin.rows():
        tables.append(Table("Command and files.", ["", ""], origin.rows()))
    columns = _settings(results)
    if columns:
        tables.append(_settings_table(columns, "Method and hyperparameters.", "setting"))
    setups = _setups(results)
    if setups:
        tables.append(_settings_table(setups, "How the data were set up.", "argument"))
    tables.append(_settings_table(_versions(results), "Versions.", "package"))
    figures = []
    if results.model is not None and results.model.history:
        axes = pl.history(results.model, ncols=3, return_ax=True)
        figures.append(make_figure(axes, "Training of the model, phase by phase."))
    return Section("What made this page", [], tables, figures)


def _settings(results: Results) -> dict[str, dict[str, Any]]:
    """Collect recipe, hyperparameters and settings, one column per result."""
    columns = {}
    if results.model is not None:
        recipe = results.model.recipe
        columns["model"] = {"recipe": recipe.name, "relations": results.model.relations, **recipe.hyperparameters()}
        columns["model"]["seed"] = (results.model.training_record or {}).get("seed")
    elif results.imputed is not None:
        about = results.imputed.uns.get("stimpute", {})
        columns["imputed"] = {name: about[name] for name in IMPUTED_SETTINGS if name in about}
    for name, result in (("cross-validation", results.validation), ("ablation", results.ablation)):
        settings = None if result is None else result.settings
        if settings is not None:
            columns[name] = {
                "recipe": settings.recipe,
                "relations": settings.relations,
                **settings.hyperparameters,
                "folds": _describe_folds(settings.folds, settings.n_folds),
                "seed": settings.seed,
                "totals": settings.totals,
                "interval": settings.interval,
                "groups": settings.groupby,
            }
    return columns


def _describe_folds(folds: list[int], n_folds: int) -> str:
    """Name the folds that were run, or their number if all were."""
    if len(folds) == n_folds:
        return str(n_folds)
    return f"{', '.join(map(str, folds))} of {n_folds}"


def _setups(results: Results) -> dict[str, dict[str, Any]]:
    """Collect the arguments of `setup_anndata`, one column per dataset."""
    if results.model is not None:
        several = results.model.data.record.dataset_setups
        return _columns(results.model.spatial_setup, several or results.model.reference_setup)
    if results.validation is not None:
        settings = results.validation.settings
        return _columns(settings.spatial_setup, settings.reference_setup)
    return {}


def _columns(spatial: Mapping[str, Any], reference: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Make one column for the spatial data and for each reference."""
    columns = {"spatial": dict(spatial)}
    if any(isinstance(value, Mapping) for value in reference.values()):
        columns |= {f"reference {name}": dict(setup) for name, setup in reference.items()}
    else:
        columns["reference"] = dict(reference)
    return columns


def _versions(results: Results) -> dict[str, dict[str, Any]]:
    """Collect versions of packages: those of now and, where they differ, those of the cross-validation."""
    now = package_versions()
    columns = {"this page": {**now, "Python": platform.python_version()}}
    if results.validation is not None:
        then = dict(results.validation.settings.versions)
        if any(now.get(name, number) != number for name, number in then.items()):
            columns["cross-validation"] = then
    return columns


def _settings_table(columns: dict[str, dict[str, Any]], caption: str, corner: str) -> Table:
    """Make a table with one row per setting and one column per dictionary."""
    frame = pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in columns.items()})
    order = list(dict.fromkeys(key for values in columns.values() for key in values))
    return Table.from_frame(frame.reindex(order).map(_format_setting), caption, corner)


def _format_setting(value: Any) -> str:
    """Format a setting with all its digits."""
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, float) and value == value:
        return f"{value:g}"
    return format_value(value)

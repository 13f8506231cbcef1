"""Options that several commands share, grouped in dataclasses."""

from __future__ import annotations

import ast
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from stimpute.cli._references import MARKERS, ONLY, check_names, name_references, value_for

Expression = Literal["counts", "normalized"]
Folds = Annotated[int, typer.Option("--folds", min=2, help="Number of folds of genes.")]
Groupby = Annotated[
    str | None, typer.Option("--groupby", help="Column of obs, e.g. cell_type: accuracy within groups of cells, too.")
]
Report = Annotated[Path | None, typer.Option("--report", help="Report on the result, one .html file.")]

NO_KEY = "none"  # `--spatial-key none` stands for None
FORMATS = ".h5ad, .zarr, 10x .h5 or folder, .csv"
SPATIAL_HELP = (
    f"Spatial data, cells × measured genes: {FORMATS}, or the output folder of Xenium, MERSCOPE, CosMx or seqFISH."
)
REFERENCE_HELP = f"Single-cell RNA-seq reference: {FORMATS}. Several: repeat the option, as NAME=FILE."
FOR_ONE = "Of one of several references: NAME=VALUE; may be repeated."


def data_option(name: str, text: str, **kwargs: Any) -> Any:
    """Make an option of the help panel "Data"."""
    return typer.Option(name, help=text, rich_help_panel="Data", **kwargs)


def model_option(name: str, text: str, **kwargs: Any) -> Any:
    """Make an option of the help panel "Model"."""
    return typer.Option(name, help=text, rich_help_panel="Model", **kwargs)


Spatial = Annotated[Path | None, data_option("--spatial", SPATIAL_HELP)]
SpatialOrNone = Annotated[Path | None, data_option("--spatial", f"{SPATIAL_HELP} Without it, a simulated tissue.")]
Reference = Annotated[list[str], data_option("--reference", REFERENCE_HELP, metavar="[NAME=]FILE")]
Markers = Annotated[
    Path | None, data_option("--markers", "Table of marker genes as a further reference: .csv, one gene per row.")
]
MarkerColumns = Annotated[
    str,
    data_option("--marker-columns", "Columns of the cell type, the gene and, if there is one, the score of a marker."),
]
Proteins = Annotated[Path | None, data_option("--proteins", "Protein embeddings of the genes, .npz or .h5ad.")]
Layer = Annotated[str | None, data_option("--layer", "Layer of the spatial data to read; else X.")]
ReferenceLayer = Annotated[
    list[str], data_option("--reference-layer", f"Layer of the reference to read; else X. {FOR_ONE}", metavar="LAYER")
]
Symbols = Annotated[str | None, data_option("--gene-symbols", "Column of var with the gene names of the spatial data.")]
ReferenceSymbols = Annotated[
    list[str],
    data_option(
        "--reference-gene-symbols", f"Column of var with the gene names of the reference. {FOR_ONE}", metavar="COLUMN"
    ),
]
SpatialExpression = Annotated[
    Expression, data_option("--expression", "Spatial values: counts or normalized.", metavar="KIND")
]
ReferenceExpression = Annotated[
    list[str],
    data_option(
        "--reference-expression", f"Reference values: counts (default) or normalized. {FOR_ONE}", metavar="KIND"
    ),
]
BatchKey = Annotated[str | None, data_option("--batch-key", "Column of obs with the section of each spatial cell.")]
SpatialKey = Annotated[
    str, data_option("--spatial-key", f"Key of obsm with the positions; {NO_KEY} to ignore positions.")
]
Recipe = Annotated[str, model_option("--recipe", "Method: crossfit or paper.")]
Relations = Annotated[str, model_option("--relations", "Gene relations to use, separated by commas; auto for all.")]
Assignments = Annotated[
    list[str], model_option("--set", "Hyperparameter of the recipe; may be repeated.", metavar="NAME=VALUE")
]
Seed = Annotated[int, model_option("--seed", "Seed of all random numbers.", min=0)]


@dataclass(frozen=True, kw_only=True)
class DataFiles:
    """Files of the datasets."""

    spatial: Spatial
    reference: Reference
    markers: Markers = None
    marker_columns: MarkerColumns = "cell_type,gene"
    proteins: Proteins = None

    @property
    def references(self) -> dict[str, Path]:
        """Files of the references, also of a table of markers, by name."""
        return name_references(self.reference, self.markers)

    @property
    def inputs(self) -> dict[str, Path]:
        """All files by what they are."""
        files = {"spatial": self.spatial}
        for name, path in self.references.items():
            files[name if name in (ONLY, MARKERS) else f"reference {name}"] = path
        files["proteins"] = self.proteins
        return {name: path for name, path in files.items() if path is not None}


@dataclass(frozen=True, kw_only=True)
class SavedModelFiles(DataFiles):
    """Files of the datasets, of which the references may be saved beside the model."""

    reference: Reference = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class DataOptions(DataFiles):
    """Files of the datasets, and how to read them."""

    layer: Layer = None
    reference_layer: ReferenceLayer = field(default_factory=list)
    gene_symbols: Symbols = None
    reference_gene_symbols: ReferenceSymbols = field(default_factory=list)
    expression: SpatialExpression = "counts"
    reference_expression: ReferenceExpression = field(default_factory=list)
    batch_key: BatchKey = None
    spatial_key: SpatialKey = "spatial"

    @property
    def spatial_setup(self) -> dict[str, Any]:
        """Arguments of `StImputeModel.setup_anndata` for the spatial data."""
        return {
            "layer": self.layer,
            "batch_key": self.batch_key,
            "spatial_key": None if self.spatial_key == NO_KEY else self.spatial_key,
            "expression": self.expression,
            "gene_symbols": self.gene_symbols,
        }

    def reference_setup(self, name: str = ONLY) -> dict[str, Any]:
        """Return the arguments of `StImputeModel.setup_anndata` for a reference.

        Raises
        ------
        ValueError
            If an option is for a reference that there is not.
        """
        if name == MARKERS and self.markers is not None:
            return {"expression": "normalized"}
        options = {
            "layer": ("--reference-layer", self.reference_layer, None),
            "expression": ("--reference-expression", self.reference_expression, "counts"),
            "gene_symbols": ("--reference-gene-symbols", self.reference_gene_symbols, None),
        }
        setup = {}
        for argument, (option, values, default) in options.items():
            check_names(option, values, list(self.references))
            setup[argument] = value_for(name, values, default)
        return setup


@dataclass(frozen=True, kw_only=True)
class ImputeDataOptions(DataOptions):
    """Data options of a command that may find the reference beside a saved model."""

    reference: Reference = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class DemoDataOptions(DataOptions):
    """Data options of a command that simulates a tissue if there are no data."""

    spatial: SpatialOrNone = None
    reference: Reference = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Recipe of the model and its hyperparameters."""

    recipe: Recipe = "crossfit"
    relations: Relations = "auto"
    assignments: Assignments = field(default_factory=list)
    seed: Seed = 0

    @property
    def relation_names(self) -> str | list[str]:
        """Value of the model's argument `relations`."""
        return self.relations if self.relations == "auto" else split_names(self.relations)

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """Values of `--set`, by name.

        Raises
        ------
        ValueError
            If one is not of the form NAME=VALUE.
        """
        values = {}
        for assignment in self.assignments:
            name, equals, value = assignment.partition("=")
            if not equals or not name.strip():
                raise ValueError(f"--set is {assignment!r}; expected NAME=VALUE, for example n_steps=500.")
            values[name.strip()] = parse_value(value.strip())
        return values


def split_names(text: str) -> list[str]:
    """Split names at commas, and leave out empty ones."""
    return [name.strip() for name in text.split(",") if name.strip()]


def parse_value(text: str) -> Any:
    """Read a Python literal such as `0.1`, or a JSON literal such as `true`; other text stays text."""
    for parse in (ast.literal_eval, json.loads):
        try:
            return parse(text)
        except (ValueError, SyntaxError):
            continue
    return text

"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Spatial = Annotated[Path, typer.Option("--spatial", help="Spatial data, .h5ad or .zarr, cells × measured genes.")]
Reference = Annotated[Path, typer.Option("--reference", help="scRNA-seq reference, .h5ad or .zarr.")]
Proteins = Annotated[
    Path | None, typer.Option("--proteins", help="Protein vectors, .npz or .h5ad, for a graph of genes by proteins.")
]
Layer = Annotated[str | None, typer.Option("--layer", help="Layer of the spatial data with the expression.")]
BatchKey = Annotated[str | None, typer.Option("--batch-key", help="Column of obs that tells sections apart.")]
Expression = Annotated[str, typer.Option("--expression", help="What the spatial values are: counts or normalized.")]
ReferenceExpression = Annotated[
    str, typer.Option("--reference-expression", help="What the reference's values are: counts or normalized.")
]
Recipe = Annotated[str, typer.Option("--recipe", help="Method: crossfit or paper.")]
Folds = Annotated[int, typer.Option("--folds", min=2, help="Folds of genes.")]
Report = Annotated[Path | None, typer.Option("--report", help="Page on the result, .html, complete in itself.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of everything random.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no tables: only errors.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]

"""The command line: thin over the same calls as in Python."""

from __future__ import annotations

import json
import logging
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    import anndata as ad
    import pandas as pd

app = typer.Typer(
    help="Predict the genes that imaging-based spatial transcriptomics did not measure.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Spatial = Annotated[Path | None, typer.Option("--spatial", help="Spatial data, .h5ad, cells × measured genes.")]
Reference = Annotated[Path | None, typer.Option("--reference", help="scRNA-seq reference, .h5ad.")]
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
Seed = Annotated[int, typer.Option("--seed", help="Seed of everything random.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no tables: only errors.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]


@dataclass(frozen=True)
class Screen:
    """Where things are said: progress and tables to people, JSON to programs."""

    quiet: bool
    as_json: bool

    @property
    def progress(self) -> bool:
        """Whether to draw bars."""
        return not (self.quiet or self.as_json)

    def say(self, text: str) -> None:
        """One line for a person."""
        if self.progress:
            Console(stderr=True).print(text, highlight=False)

    def table(self, frame: pd.DataFrame, title: str) -> None:
        """A table for a person."""
        if not self.progress:
            return
        table = Table("method", *map(str, frame.columns), title=title, title_justify="left")
        for name, row in frame.iterrows():
            table.add_row(str(name), *(f"{value:.3f}" for value in row))
        Console(width=max(100, Console().width)).print(table)

    def result(self, values: dict[str, Any]) -> None:
        """The result for a program."""
        if self.as_json:
            sys.stdout.write(json.dumps(values, indent=1, default=str) + "\n")


@app.command()
def demo(
    spatial: Spatial = None,
    reference: Reference = None,
    proteins: Proteins = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for the result and the pictures.")] = Path("stimpute_demo"),
    layer: Layer = None,
    expression: Expression = "counts",
    reference_expression: ReferenceExpression = "counts",
    recipe: Recipe = "crossfit",
    seed: Seed = 0,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Hide a fifth of the measured genes, predict them and all unmeasured ones, compare, and draw.

    Without data of your own it makes a tissue whose truth is known.

    Example: stimpute demo --spatial cortex.h5ad --reference smartseq.h5ad
    """
    from stimpute._demo import run_demo

    screen = Screen(quiet, as_json)
    if (spatial is None) != (reference is None):
        raise ValueError("Pass both --spatial and --reference, or neither for a synthetic tissue.")
    pair = None if spatial is None else (_read(spatial), _read(reference, proteins))
    setups = ({"layer": layer, "expression": expression}, {"expression": reference_expression})
    summary, files = run_demo(pair, setups, out, recipe, seed, screen)
    screen.result({"summary": summary.to_dict("index"), "files": files})


@app.command()
def impute(
    spatial: Spatial,
    reference: Reference,
    out: Annotated[Path, typer.Option("--out", "-o", help="Result: .h5ad, or .zarr to stream to disk.")],
    genes: Annotated[
        str | None, typer.Option("--genes", help="Names with commas between, or a file of names; else all unmeasured.")
    ] = None,
    proteins: Proteins = None,
    layer: Layer = None,
    batch_key: BatchKey = None,
    expression: Expression = "counts",
    reference_expression: ReferenceExpression = "counts",
    recipe: Recipe = "crossfit",
    interval: Annotated[float | None, typer.Option("--interval", help="Add intervals, for example 0.9.")] = None,
    plots: Annotated[Path | None, typer.Option("--plots", help="Folder for pictures of the genes.")] = None,
    model: Annotated[Path | None, typer.Option("--save-model", help="Folder to save the trained model to.")] = None,
    seed: Seed = 0,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Impute genes for every spatial cell.

    Example: stimpute impute --spatial osmfish.h5ad --reference mop.h5ad --genes Rorb,Cux2 -o imputed.h5ad --plots plots
    """
    from stimpute import StImputeModel

    screen = Screen(quiet, as_json)
    _refuse_existing(out)
    tissue, cells = _read(spatial), _read(reference, proteins)
    StImputeModel.setup_anndata(tissue, layer=layer, batch_key=batch_key, expression=expression)
    StImputeModel.setup_anndata(cells, expression=reference_expression)
    trained = StImputeModel(tissue, cells, recipe=recipe)
    trained.train(seed=seed, enable_progress_bar=screen.progress)
    store = out if out.suffix == ".zarr" else None
    imputed = trained.impute(genes=_names(genes), interval=interval, out=store, progress=screen.progress)
    if store is None:
        imputed.write_h5ad(out)
    if model is not None:
        trained.save(str(model))
    files = [str(out)] + (_draw(tissue, imputed, plots, layer, expression) if plots is not None else [])
    screen.say(f"{imputed.n_obs} cells × {imputed.n_vars} genes, reliability in `var`: {', '.join(files)}")
    screen.result({"cells": imputed.n_obs, "genes": imputed.n_vars, "files": files})


@app.command()
def validate(
    spatial: Spatial,
    reference: Reference,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Table of every gene and method, .csv.")] = None,
    proteins: Proteins = None,
    layer: Layer = None,
    batch_key: BatchKey = None,
    expression: Expression = "counts",
    reference_expression: ReferenceExpression = "counts",
    recipe: Recipe = "crossfit",
    folds: Annotated[int, typer.Option("--folds", help="Folds of genes.")] = 5,
    seed: Seed = 0,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Predict every measured gene by a model that never saw it, beside the plain baselines.

    Example: stimpute validate --spatial cortex.h5ad --reference smartseq.h5ad -o accuracy.csv
    """
    from stimpute import tl

    screen = Screen(quiet, as_json)
    result = tl.cross_validate(
        _read(spatial),
        _read(reference, proteins),
        n_folds=folds,
        seed=seed,
        layer=layer,
        batch_key=batch_key,
        expression=expression,
        reference_setup={"expression": reference_expression},
        progress=screen.progress,
        recipe=recipe,
    )
    if out is not None:
        result.genes.to_csv(out, index=False)
    screen.table(result.summary, "Mean over genes that the model never saw")
    screen.result({"summary": result.summary.to_dict("index")})


@app.command()
def embed(
    genes: Annotated[Path, typer.Argument(help="Gene names, one a line; or proteins, .fasta.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Protein vectors, .h5ad or .npz.")],
    organism: Annotated[str, typer.Option("--organism", help="mouse, human, rat, ... or a taxon number.")] = "mouse",
    model: Annotated[str, typer.Option("--model", help="fair-esm name or checkpoint file.")] = "esm2_t33_650M_UR50D",
    pooling: Annotated[str, typer.Option("--pooling", help="mean over residues, or last.")] = "mean",
    url: Annotated[str | None, typer.Option("--url", help="Another address of UniProt's service.")] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Protein vectors from gene names: sequences from UniProt, vectors from ESM-2. An interrupted run resumes.

    Example: stimpute embed genes.txt --organism mouse --model esm2_t33_650M_UR50D -o proteins.h5ad
    """
    from stimpute import pp

    screen = Screen(quiet, as_json)
    if {".fasta", ".fa", ".faa"} & set(genes.suffixes):
        sequences = pp.read_fasta(genes)
    else:
        names = genes.read_text().split()
        address = {} if url is None else {"url": url}
        sequences = pp.fetch_proteins(names, organism, progress=screen.progress, **address)
        lost = sequences[sequences["status"] != "found"]
        screen.say(f"{len(sequences) - len(lost)} of {len(sequences)} genes have a protein.")
        for status, part in lost.groupby("status"):
            screen.say(f"  {status}: {', '.join(map(str, part['gene'] if 'gene' in part else part.index))}")
    embedded = pp.embed_proteins(sequences, model=model, output=out, pooling=pooling, progress=screen.progress)
    screen.say(f"{len(embedded.genes)} vectors of length {embedded.embedding.shape[1]}: {out}")
    screen.result({"genes": len(embedded.genes), "dimensions": embedded.embedding.shape[1], "file": str(out)})


def _read(path: Path | None, proteins: Path | None = None) -> ad.AnnData:
    import anndata as ad

    if path is None or not path.exists():
        raise FileNotFoundError(f"{path} does not exist.")
    try:
        adata = ad.read_h5ad(path)
    except (OSError, KeyError, AttributeError) as error:
        raise ValueError(f"{path} cannot be read as .h5ad: {error}") from error
    if proteins is not None:
        from stimpute import pp

        pp.protein_graph(adata, proteins)
    return adata


def _refuse_existing(out: Path) -> None:
    if out.suffix not in (".h5ad", ".zarr"):
        raise ValueError(f"--out is {out}; expected a name that ends in .h5ad or .zarr.")
    if out.exists():
        raise FileExistsError(f"{out} exists. Name another --out, or remove it first.")


def _names(genes: str | None) -> list[str] | None:
    if genes is None:
        return None
    return Path(genes).read_text().split() if Path(genes).is_file() else [g.strip() for g in genes.split(",")]


def _draw(spatial: ad.AnnData, imputed: ad.AnnData, folder: Path, layer: str | None, expression: str) -> list[str]:
    from stimpute._demo import draw_genes

    return draw_genes(spatial, imputed, list(imputed.var_names), folder, layer=layer, expression=expression)


def main(argv: list[str] | None = None) -> None:
    """Run the command line; a mistake of the user's ends in one message and status 2, not in a traceback."""
    warnings.simplefilter("ignore", FutureWarning)
    logging.getLogger("scvi").setLevel(logging.WARNING)
    try:
        app(argv)
    except (ValueError, KeyError, TypeError, OSError, MemoryError, RuntimeError, ImportError) as error:
        message = error.args[0] if isinstance(error, KeyError) and error.args else error
        Console(stderr=True).print(f"[bold red]Error:[/] {str(message)}", highlight=False, soft_wrap=True)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()

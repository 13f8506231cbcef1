"""The command line: thin over the same calls as in Python."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from stimpute import _options as opt
from stimpute import _workflow as steps
from stimpute._files import check_inputs, check_outputs, is_fasta, read_dataset, read_names
from stimpute._terminal import Screen, polite

EPILOG = "Exit status: 0 done, 1 interrupted, 2 wrong input. With --json, an error is JSON too."

app = typer.Typer(
    help="Predict the genes that imaging-based spatial transcriptomics did not measure.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command(epilog=EPILOG)
def demo(
    spatial: Annotated[Path | None, typer.Option("--spatial", help="Spatial data; else a synthetic tissue.")] = None,
    reference: Annotated[Path | None, typer.Option("--reference", help="Its scRNA-seq reference.")] = None,
    proteins: opt.Proteins = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the result and pictures.")] = Path(
        "stimpute_demo"
    ),
    layer: opt.Layer = None,
    expression: opt.Expression = "counts",
    reference_expression: opt.ReferenceExpression = "counts",
    recipe: opt.Recipe = "crossfit",
    seed: opt.Seed = 0,
    quiet: opt.Quiet = False,
    as_json: opt.AsJson = False,
) -> None:
    """Hide a fifth of the measured genes, predict them and all unmeasured ones, compare, and draw.

    Without data of your own it makes a tissue whose truth is known.

    Example: stimpute demo --spatial cortex.h5ad --reference smartseq.h5ad
    """
    screen = Screen(quiet, as_json)
    if (spatial is None) != (reference is None):
        raise ValueError("Pass both --spatial and --reference, or neither for a synthetic tissue.")
    check_inputs(spatial, reference, proteins)
    check_outputs(("--out", out, ()))
    from stimpute._demo import run_demo

    pair = None
    if spatial is not None and reference is not None:
        pair = read_dataset(spatial), read_dataset(reference, proteins)
    setups = ({"layer": layer, "expression": expression}, {"expression": reference_expression})
    summary, files = run_demo(pair, setups, out, recipe, seed, screen)
    screen.result({"summary": summary.to_dict("index"), "files": files})


@app.command(epilog=EPILOG)
def impute(
    spatial: opt.Spatial,
    reference: opt.Reference,
    out: Annotated[Path, typer.Option("--out", "-o", help="Result: .h5ad, or .zarr to stream to disk.")],
    genes: Annotated[
        str | None, typer.Option("--genes", help="Names with commas between, or a file of names; else all unmeasured.")
    ] = None,
    proteins: opt.Proteins = None,
    layer: opt.Layer = None,
    batch_key: opt.BatchKey = None,
    expression: opt.Expression = "counts",
    reference_expression: opt.ReferenceExpression = "counts",
    recipe: opt.Recipe = "crossfit",
    interval: Annotated[float | None, typer.Option("--interval", help="Add intervals, for example 0.9.")] = None,
    plots: Annotated[Path | None, typer.Option("--plots", help="Folder for pictures of the genes.")] = None,
    report: opt.Report = None,
    model: Annotated[Path | None, typer.Option("--save-model", help="Folder to save the trained model to.")] = None,
    seed: opt.Seed = 0,
    quiet: opt.Quiet = False,
    as_json: opt.AsJson = False,
) -> None:
    """Impute genes for every spatial cell.

    Example: stimpute impute --spatial osmfish.h5ad --reference mop.h5ad --genes Rorb,Cux2 -o imputed.h5ad --plots plots
    """
    screen, names = Screen(quiet, as_json), read_names(genes)
    check_inputs(spatial, reference, proteins)
    check_outputs(
        ("--out", out, (".h5ad", ".zarr")),
        ("--plots", plots, ()),
        ("--report", report, (".html",)),
        ("--save-model", model, ()),
        new=(out, model),
    )
    steps.check_request(recipe, interval, report)
    setup = {"layer": layer, "batch_key": batch_key, "expression": expression}
    tissue, cells = read_dataset(spatial), read_dataset(reference, proteins)
    trained = steps.make_model(tissue, cells, recipe, setup, reference_expression)
    trained._targets(names, tissue.var_names)  # a misspelt name should not cost a training
    trained.train(seed=seed, enable_progress_bar=screen.progress)
    store = out if out.suffix == ".zarr" else None
    imputed = trained.impute(genes=names, interval=interval, out=store, progress=screen.progress)
    if store is None:
        imputed.write_h5ad(out)
    if model is not None:
        trained.save(str(model))
    files = [str(out), *([str(model)] if model is not None else [])]
    if plots is not None:
        from stimpute._demo import draw_genes

        files += draw_genes(tissue, imputed, list(imputed.var_names), plots, layer=layer, expression=expression)
    files += steps.write_report(report, trained, imputed)
    screen.say(f"{imputed.n_obs} cells × {imputed.n_vars} genes, reliability in `var`: {', '.join(files)}")
    screen.result({"cells": imputed.n_obs, "genes": imputed.n_vars, "files": files})


@app.command(epilog=EPILOG)
def validate(
    spatial: opt.Spatial,
    reference: opt.Reference,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Table of every gene and method, .csv.")] = None,
    proteins: opt.Proteins = None,
    layer: opt.Layer = None,
    batch_key: opt.BatchKey = None,
    expression: opt.Expression = "counts",
    reference_expression: opt.ReferenceExpression = "counts",
    recipe: opt.Recipe = "crossfit",
    folds: opt.Folds = 5,
    report: opt.Report = None,
    seed: opt.Seed = 0,
    quiet: opt.Quiet = False,
    as_json: opt.AsJson = False,
) -> None:
    """Predict every measured gene by a model that never saw it, beside the plain baselines.

    Example: stimpute validate --spatial cortex.h5ad --reference smartseq.h5ad -o accuracy.csv --report report.html
    """
    screen = Screen(quiet, as_json)
    check_inputs(spatial, reference, proteins)
    check_outputs(("--out", out, (".csv",)), ("--report", report, (".html",)))
    from stimpute import tl

    steps.check_request(recipe, report=report)
    setup = {"layer": layer, "batch_key": batch_key, "expression": expression}
    options = steps.validation_options(recipe, folds, seed, setup, reference_expression, screen)
    if report is not None:
        options |= steps.interval_option(recipe)
    result = tl.cross_validate(read_dataset(spatial), read_dataset(reference, proteins), **options)
    if out is not None:
        result.genes.to_csv(out, index=False)
    files = ([str(out)] if out is not None else []) + steps.write_report(report, result)
    screen.table(result.summary, "Mean over genes that the model never saw")
    screen.result({"summary": result.summary.to_dict("index"), "files": files})


@app.command(epilog=EPILOG)
def report(
    spatial: opt.Spatial,
    reference: opt.Reference,
    out: Annotated[Path, typer.Option("--out", "-o", help="The page, .html, complete in itself.")] = Path(
        "report.html"
    ),
    proteins: opt.Proteins = None,
    layer: opt.Layer = None,
    batch_key: opt.BatchKey = None,
    expression: opt.Expression = "counts",
    reference_expression: opt.ReferenceExpression = "counts",
    recipe: opt.Recipe = "crossfit",
    folds: opt.Folds = 5,
    control: Annotated[
        str | None, typer.Option("--control", help="Gene relation to compare with none and a random one: protein.")
    ] = None,
    title: Annotated[str, typer.Option("--title", help="Heading of the page.")] = "Imputed spatial expression",
    seed: opt.Seed = 0,
    quiet: opt.Quiet = False,
    as_json: opt.AsJson = False,
) -> None:
    """Cross-validate, train on everything, and write one page: accuracy, reliability, intervals, maps, parameters.

    Example: stimpute report --spatial cortex.h5ad --reference smartseq.h5ad --proteins esm2.npz --control protein
    """
    screen = Screen(quiet, as_json)
    check_inputs(spatial, reference, proteins)
    check_outputs(("--out", out, (".html",)))
    from stimpute import tl

    steps.check_request(recipe, report=out)
    tissue, cells = read_dataset(spatial), read_dataset(reference, proteins)
    setup = {"layer": layer, "batch_key": batch_key, "expression": expression}
    options = steps.validation_options(recipe, folds, seed, setup, reference_expression, screen)
    results: list[Any] = []
    if control is not None:
        screen.say(f"Comparing the relation {control!r} with none and a random one ...")
        results.append(tl.graph_control(tissue, cells, control, **options))
    screen.say(f"Cross-validating over {folds} folds of genes ...")
    results.append(tl.cross_validate(tissue, cells, **options, **steps.interval_option(recipe)))
    screen.say("Training on all genes ...")
    trained = steps.make_model(tissue, cells, recipe, setup, reference_expression)
    trained.train(seed=seed, enable_progress_bar=screen.progress)
    files = steps.write_report(out, trained, *results, title=title)
    screen.table(results[-1].summary, "Mean over genes that the model never saw")
    screen.say(f"Wrote {files[0]}")
    screen.result({"summary": results[-1].summary.to_dict("index"), "files": files})


@app.command(epilog=EPILOG)
def embed(
    genes: Annotated[Path, typer.Argument(help="Gene names, one a line; or proteins, .fasta.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Protein vectors, .h5ad or .npz.")],
    organism: Annotated[str, typer.Option("--organism", help="mouse, human, rat, ... or a taxon number.")] = "mouse",
    model: Annotated[str, typer.Option("--model", help="fair-esm name or checkpoint file.")] = "esm2_t33_650M_UR50D",
    pooling: Annotated[
        Literal["mean", "last"], typer.Option("--pooling", help="mean over residues, or last.")
    ] = "mean",
    url: Annotated[str | None, typer.Option("--url", help="Another address of UniProt's service.")] = None,
    quiet: opt.Quiet = False,
    as_json: opt.AsJson = False,
) -> None:
    """Protein vectors from gene names: sequences from UniProt, vectors from ESM-2. An interrupted run resumes.

    Example: stimpute embed genes.txt --organism mouse --model esm2_t33_650M_UR50D -o proteins.h5ad
    """
    screen = Screen(quiet, as_json)
    check_inputs(genes)
    check_outputs(("--out", out, (".h5ad", ".npz")))
    from stimpute import pp

    sequences = pp.read_fasta(genes) if is_fasta(genes) else steps.fetch_sequences(genes, organism, url, screen)
    embedded = pp.embed_proteins(sequences, model=model, output=out, pooling=pooling, progress=screen.progress)
    screen.say(f"{len(embedded.genes)} vectors of length {embedded.embedding.shape[1]}: {out}")
    screen.result({"genes": len(embedded.genes), "dimensions": embedded.embedding.shape[1], "file": str(out)})


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("stimpute"))
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Predict the genes that imaging-based spatial transcriptomics did not measure."""


def main(argv: list[str] | None = None) -> None:
    """Run the command line; a mistake of the user's ends in one message and status 2, not in a traceback."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    with polite(arguments):
        app(arguments)


if __name__ == "__main__":
    main()

"""The commands `stimpute demo` and `stimpute impute`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from stimpute._messages import warn
from stimpute.cli import _options as opt
from stimpute.cli import _steps as steps
from stimpute.cli._console import Console
from stimpute.cli._files import (
    check_different,
    check_inputs,
    check_output_file,
    check_output_folder,
    read_gene_list,
)

if TYPE_CHECKING:
    from stimpute import StImputeModel


def demo(
    *,
    data: opt.DemoDataOptions,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the result and the figures.")] = Path(
        "stimpute_demo"
    ),
    options: opt.ModelOptions,
    console: Console,
) -> None:
    """Hold out a fifth of the measured genes, predict them, compare with baselines, impute unmeasured genes, and draw.

    Without data, it simulates a tissue whose true expression is known.

    Example: stimpute demo --spatial cortex.h5ad --reference smartseq.h5ad
    """
    if (data.spatial is None) != (not data.references):
        raise ValueError("Pass both --spatial and --reference, or neither to simulate a tissue.")
    check_inputs(*data.inputs.values())
    check_output_folder("--out", out)
    from stimpute.cli._demo import run_demo

    summaries, files = run_demo(data, options, out, console)
    console.write_result({**summaries, "files": files})


def impute(
    *,
    data: opt.ImputeDataOptions,
    out: Annotated[Path, typer.Option("--out", "-o", help="Result, streamed to disk: .h5ad or .zarr.")],
    genes: Annotated[
        str | None,
        typer.Option("--genes", help="Names separated by commas, or a file with one per line; else all unmeasured."),
    ] = None,
    interval: Annotated[
        float | None,
        typer.Option("--interval", help="Add intervals that cover this share of values, e.g. 0.9."),
    ] = None,
    variance: Annotated[
        Literal["shrunken", "matched"],
        typer.Option("--variance", help="Variance of the imputed values: least error, or that of measured values."),
    ] = "shrunken",
    plots: Annotated[Path | None, typer.Option("--plots", help="Folder for maps of the genes.")] = None,
    report: opt.Report = None,
    saved: Annotated[
        Path | None, typer.Option("--model", help="Folder of a saved model to use instead of training one.")
    ] = None,
    save_model: Annotated[
        Path | None, typer.Option("--save-model", help="Folder to save the trained model to.")
    ] = None,
    save_reference: Annotated[
        bool, typer.Option("--save-reference", help="Save the reference beside the model, where --model finds it.")
    ] = False,
    options: opt.ModelOptions,
    console: Console,
) -> None:
    """Impute genes for every spatial cell.

    Example: stimpute impute --spatial osmfish.h5ad --reference mop.h5ad --genes Rorb,Cux2 -o imputed.h5ad --plots plots
    """
    check_inputs(*data.inputs.values(), saved)
    check_output_file("--out", out, (".h5ad", ".zarr"), new=True)
    check_output_file("--report", report, (".html",))
    check_output_folder("--plots", plots)
    check_output_folder("--save-model", save_model, new=True)
    check_different(out=out, report=report, plots=plots, save_model=save_model)
    if saved is not None and save_model is not None:
        raise ValueError("--model is saved already: leave out --save-model.")
    if save_reference and save_model is None:
        raise ValueError("--save-reference needs a folder to save to: --save-model FOLDER.")
    steps.check_report(report)
    names = read_gene_list(genes)
    model = _untrained_or_loaded(saved, data, options)
    model.check_request(names, interval=interval, variance=variance)
    if plots is not None:
        from stimpute.cli._figures import check_positions

        check_positions(model)

    files = []
    if not model.is_trained:
        model.train(**steps.train_kwargs(options, console))
    if save_model is not None:  # first: it took the most time to make
        model.save(str(save_model), save_reference=save_reference)
        files.append(str(save_model))
    if model.adata is not None:  # the command's own copy, whose columns go into the result
        _add_explained(model)
    imputed = model.impute(genes=names, interval=interval, variance=variance, out=out, progress=console.progress)
    files.append(str(out))
    if plots is not None:
        from stimpute.cli._figures import draw_genes

        files += draw_genes(model, imputed, plots, console)
    files += steps.write_report(report, data, model=model, imputed=imputed)
    console.print(f"Imputed {imputed.n_vars} genes of {imputed.n_obs} cells.")
    written = [str(path) for path in (save_model, out, plots, report) if path is not None]
    console.print(f"Wrote {', '.join(written)}")
    console.write_result({"cells": imputed.n_obs, "genes": imputed.n_vars, "files": files})


def _add_explained(model: StImputeModel) -> None:
    """Add a column to the cells that says how well the reference explains them; one of that name is kept."""
    if "explained" in model.adata.obs:
        warn("The cells have a column 'explained' already, which is kept as it is.")
    else:
        model.adata.obs["explained"] = model.get_explained()


def _untrained_or_loaded(saved: Path | None, data: opt.DataOptions, options: opt.ModelOptions) -> StImputeModel:
    """Load the model of `--model`, or make an untrained one."""
    if saved is not None:
        return steps.load_model(saved, data, options)
    _, model = steps.read_and_check(data, options)
    return model

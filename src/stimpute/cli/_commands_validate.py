"""The commands `stimpute validate` and `stimpute report`, which hold measured genes out and predict them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stimpute._atomic import replacing
from stimpute.cli import _options as opt
from stimpute.cli import _steps as steps
from stimpute.cli._console import Console
from stimpute.cli._files import check_inputs, check_output_file

if TYPE_CHECKING:
    from stimpute import StImputeModel
    from stimpute.tl import CrossValidation

TITLE = "Mean over held-out genes"


def validate(
    *,
    data: opt.DataOptions,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Accuracy of each gene and method, .csv.")] = None,
    report: opt.Report = None,
    folds: opt.Folds = 5,
    groupby: opt.Groupby = None,
    options: opt.ModelOptions,
    console: Console,
) -> None:
    """Predict every measured gene by a model that was trained without it, and compare with simple baselines.

    Example: stimpute validate --spatial cortex.h5ad --reference smartseq.h5ad -o accuracy.csv --report report.html
    """
    check_inputs(*data.inputs.values())
    check_output_file("--out", out, (".csv",), inputs=data.inputs.values())
    check_output_file("--report", report, (".html",))
    steps.check_report(report)
    from stimpute import tl

    pair, model = steps.read_and_check(data, options)
    steps.check_groups(pair, data, groupby)
    interval = _interval(model) if report is not None else None
    kwargs = steps.validation_kwargs(pair, folds, options, console)
    result = tl.cross_validate(pair.spatial, pair.reference, interval=interval, groupby=groupby, **kwargs)
    files = []
    if out is not None:
        with replacing(out) as path:
            result.genes.to_csv(path, index=False)
        files.append(str(out))
    files += steps.write_report(report, data, validation=result)
    _write_tables(result, files, console)


def report(
    *,
    data: opt.DataOptions,
    out: Annotated[Path, typer.Option("--out", "-o", help="The report, one .html file.")] = Path("report.html"),
    folds: opt.Folds = 5,
    groupby: opt.Groupby = None,
    ablation: Annotated[
        str | None,
        typer.Option("--ablation", help="Gene relation to compare with none and with a permuted one, e.g. protein."),
    ] = None,
    title: Annotated[str, typer.Option("--title", help="Heading of the report.")] = "Imputed spatial expression",
    options: opt.ModelOptions,
    console: Console,
) -> None:
    """Cross-validate, train on all genes, and write one page: accuracy, reliability, intervals, maps, parameters.

    Example: stimpute report --spatial cortex.h5ad --reference smartseq.h5ad --proteins esm2.npz --ablation protein
    """
    check_inputs(*data.inputs.values())
    check_output_file("--out", out, (".html",))
    steps.check_report(out)
    from stimpute import tl

    pair, model = steps.read_and_check(data, options)
    steps.check_groups(pair, data, groupby)
    kwargs = steps.validation_kwargs(pair, folds, options, console)
    results: dict[str, Any] = {}
    if ablation is not None:
        console.print(f"Comparing the relation {ablation!r} with none and with a permuted one ...")
        results["ablation"] = tl.relation_ablation(pair.spatial, pair.reference, ablation, **kwargs)
    console.print(f"Cross-validating over {folds} folds of genes ...")
    validation = tl.cross_validate(pair.spatial, pair.reference, interval=_interval(model), groupby=groupby, **kwargs)
    console.print("Training on all genes ...")
    model.train(**steps.train_kwargs(options, console))
    files = steps.write_report(out, data, model=model, validation=validation, title=title, **results)
    console.print(f"Wrote {out}")
    _write_tables(validation, files, console)


def _write_tables(validation: CrossValidation, files: list[str], console: Console) -> None:
    """Print the accuracy for humans or as JSON, also within groups if there are some."""
    result: dict[str, Any] = {"summary": validation.summary.to_dict("index")}
    console.print_scores(validation.summary, TITLE)
    if validation.groups is not None:
        table = validation.by_group()
        console.print_table("group", table, f"Mean pcc of held-out genes, by {validation.settings.groupby}")
        result["by_group"] = table.to_dict("index")
    console.write_result({**result, "files": files})


def _interval(model: StImputeModel) -> float | None:
    """Return the probability of the intervals for a report, None if the recipe has no intervals."""
    return steps.REPORT_INTERVAL if model.recipe.capabilities.intervals else None

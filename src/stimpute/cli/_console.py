"""Print tables and progress for humans, and JSON for programs."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console as RichConsole
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    import pandas as pd

EXPLAINED = ("ssim", "rmse_z")  # metrics whose difference to other methods has a known reason
FILE_WIDTH = 140  # characters per line where the output goes to a file, which has no width


@dataclass(frozen=True, kw_only=True)
class Console:
    """Output of a command; its fields are options of every command."""

    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only: no progress, no tables.")] = False
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")] = False
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of every error.")] = False

    @property
    def is_for_humans(self) -> bool:
        """Whether to print text, which `--quiet` and `--json` suppress."""
        return not (self.quiet or self.as_json)

    @property
    def progress(self) -> bool:
        """Whether to draw progress bars: on a terminal, never into a file."""
        return self.is_for_humans and sys.stdout.isatty() and sys.stderr.isatty()

    def print(self, text: str) -> None:
        """Print one line on standard error."""
        if self.is_for_humans:
            RichConsole(stderr=True, emoji=False).print(text, highlight=False, markup=False, soft_wrap=True)

    def print_table(self, heading: str, table: pd.DataFrame, title: str) -> None:
        """Print a table of numbers on standard output; `heading` is that of its index."""
        if not self.is_for_humans:
            return
        drawn = Table(heading, title=escape(title), title_justify="left")
        for name in table.columns:
            drawn.add_column(escape(str(name)), justify="right")
        for name, *values in table.astype(object).itertuples():
            drawn.add_row(escape(str(name)), *map(_format_number, values))
        RichConsole(emoji=False, width=None if sys.stdout.isatty() else FILE_WIDTH).print(drawn)

    def print_scores(self, summary: pd.DataFrame, title: str) -> None:
        """Print a table of methods and metrics on standard output, and how to read it."""
        if not self.is_for_humans:
            return
        from stimpute import tl

        headings = [f"{metric} {'↓' if is_lower_better(metric) else '↑'}" for metric in summary.columns]
        self.print_table("method", summary.set_axis(headings, axis=1), title)
        for sentence in explain_scores(summary, tl.MODEL_NAME):
            RichConsole(emoji=False).print(sentence, highlight=False, soft_wrap=True)

    def write_result(self, values: dict[str, Any]) -> None:
        """Print the result as JSON if `--json` asks for it."""
        if self.as_json:
            write_json(values)


def _format_number(value: float) -> str:
    """Write a count in full and any other number with three decimals."""
    return f"{value:,}" if isinstance(value, Integral) else f"{value:.3f}"


def is_lower_better(metric: object) -> bool:
    """Tell whether a lower value of a metric is better, per gene or (with `cell_`) per cell."""
    from stimpute import tl

    return str(metric).removeprefix("cell_") in tl.LOWER_IS_BETTER


def explain_scores(summary: pd.DataFrame, model: str) -> list[str]:
    """Say how to read a table of scores, and why the model may be behind in a column.

    Parameters
    ----------
    summary
        Methods in rows, metrics in columns.
    model
        The row of the model.
    """
    sentences = [f"Compare the row {model} with the others: ↑ higher is better, ↓ lower is better."]
    own = summary.loc[model]
    if "ssim" in summary and own["ssim"] < summary["ssim"].max():
        sentences.append(
            f"ssim: values of {model} are expected values and vary less than measured ones, which ssim counts against "
            "them. `stimpute impute --variance matched` makes them vary as much, where the recipe can."
        )
    if "rmse_z" in summary and own["rmse_z"] > 1:
        sentences.append("rmse_z: 1 for a constant, and more than 1 for any gene whose pcc is below 0.5.")
    sentences += [_advise_on(name, metrics, model) for name, metrics in _methods_ahead(summary, model).items()]
    return sentences


def _methods_ahead(summary: pd.DataFrame, model: str) -> dict[str, list[str]]:
    """Map each method that is best in some columns to those, without the columns that have a reason of their own."""
    ahead: dict[str, list[str]] = {}
    for metric in summary.columns.difference(EXPLAINED, sort=False):
        scores = summary[metric]
        best = scores.idxmin() if is_lower_better(metric) else scores.idxmax()
        if best != model and scores[best] != scores[model]:
            ahead.setdefault(str(best), []).append(str(metric))
    return ahead


def _advise_on(method: str, metrics: list[str], model: str) -> str:
    return (
        f"{', '.join(metrics)}: {method} is ahead of {model} on these data. Over few genes a small difference is "
        "chance: repeat it over all measured genes and with another seed, `stimpute validate --seed 1`. If it stays, "
        f"{method} is the better choice for them."
    )


def write_json(values: dict[str, Any]) -> None:
    """Print strict JSON on standard output; NaN and infinite numbers become null."""
    text = json.dumps(values, default=str)
    strict = json.loads(text, parse_constant=lambda _: None)
    sys.stdout.write(json.dumps(strict, indent=1) + "\n")
    sys.stdout.flush()  # a program that waits for the address of a page reads it from a pipe

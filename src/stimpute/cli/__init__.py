"""The command line of stimpute: `stimpute demo`, `impute`, `explore`, `validate`, `report` and `embed`."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from stimpute.cli._commands_embed import embed
from stimpute.cli._commands_explore import explore
from stimpute.cli._commands_impute import demo, impute
from stimpute.cli._commands_validate import report, validate
from stimpute.cli._errors import report_errors
from stimpute.cli._groups import expand_options

__all__ = ["app", "main"]

EPILOG = "Exit status: 0 success, 2 wrong input, 3 bug in stimpute, 130 interrupted. With --json, errors are JSON too."

app = typer.Typer(
    help="Predict the genes that imaging-based spatial transcriptomics did not measure.",
    epilog=EPILOG,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

COMMANDS: tuple[Callable[..., None], ...] = (demo, impute, explore, validate, report, embed)
for command in COMMANDS:
    app.command(epilog=EPILOG)(expand_options(command))


def _show_version(is_requested: bool) -> None:
    """Print the version and exit."""
    if is_requested:
        from importlib.metadata import version

        typer.echo(version("stimpute"))
        raise typer.Exit


@app.callback()
def _common_options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Predict the genes that imaging-based spatial transcriptomics did not measure."""


def main(argv: list[str] | None = None) -> None:
    """Run the command line and exit.

    Parameters
    ----------
    argv
        Arguments; those of the process if None.

    Raises
    ------
    SystemExit
        Always; the status is 0 for success, 2 for a user error, 3 for a bug and 130 after an interrupt.
    """
    for stream in (sys.stdout, sys.stderr):  # which may not know every character that is printed
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    arguments = sys.argv[1:] if argv is None else list(argv)
    with report_errors(arguments):
        status = app(arguments or ["--help"], prog_name="stimpute", standalone_mode=False)
    sys.exit(status)

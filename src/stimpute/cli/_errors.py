"""Turn errors into one line and an exit status."""

from __future__ import annotations

import contextlib
import logging
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import typer
from rich.console import Console as RichConsole
from rich.markup import escape

from stimpute._messages import StImputeWarning
from stimpute.cli._console import write_json

USER_ERRORS = (ValueError, LookupError, OSError, MemoryError, ImportError, FloatingPointError)
USAGE_ERROR: type[Exception] = typer.BadParameter.__bases__[0]  # unknown and missing options
WRONG_INPUT = 2
BUG = 3
VERBOSE_LOGGERS = ("scvi", "lightning.pytorch", "lightning.fabric", "matplotlib")

# What an error advises in Python, and the option that does the same. An option for one dataset lacks its beginning.
DATA_OPTIONS = (
    (r"`layer=`", "layer NAME"),
    (r"`\S*setup_anndata\([^`]*gene_symbols=[^`]*\)`", "gene-symbols COLUMN"),
    (r"`expression=\"(\w+)\"`", r"expression \1"),
)
OPTIONS = (
    (r"`spatial_key=None`", "--spatial-key none"),
    (r"the `spatial_key` of `setup_anndata` says", "--spatial-key says"),
    (r"`(interval|variance|relations|recipe)=[\"']?([\w.]+)[\"']?`", r"--\1 \2"),
    (r"`relations=\[?\]?`", "--relations NAMES"),
    (r"`(genes|interval|variance|relations|recipe)=?`", r"--\1"),
    (r"`n_folds=`", "--folds"),
    (r"`(n_neighbors=\d+)`", r"--set \1"),
    (r"`train\(plan_kwargs=\{\"lr\": ([\d.e-]+)\}\)`", r"--set lr=\1"),
    (r"`out=\"(\S+)\"`", r"--out \1"),
    (r"`cell_type=`, `gene=`, `score=`", "--marker-columns CELL_TYPE,GENE,SCORE"),
    (r"[Cc]all `\S*add_protein_embeddings\([^`]*\)`", "Pass --proteins FILE"),
    (r"train a new one with `StImputeModel\([^`]*\)`", "leave out --model to train a new one"),
    (r"read sequences from a file: `read_fasta\(path\)`", "give a .fasta file instead of gene names"),
    (r"pass its path\.$", "pass its path by --model."),
    (r", or call `adata\.var_names_make_unique\(\)`", " in the file"),
)


def describe_error(error: BaseException, prefixes: Sequence[str] = ("--", "--reference-")) -> str:
    """Return the message of an error as one line, with options of the command line where it names Python arguments.

    Parameters
    ----------
    error
        The error.
    prefixes
        Beginnings of the options for the datasets that the error may concern.
    """
    has_quoted_message = isinstance(error, KeyError) and len(error.args) > 0
    text = str(error.args[0] if has_quoted_message else error)
    message = " ".join(text.split())
    if not message:
        return f"{type(error).__name__} (no message)"
    for pattern, option in DATA_OPTIONS:
        message = re.sub(pattern, " or ".join(prefix + option for prefix in prefixes), message)
    for pattern, option in OPTIONS:
        message = re.sub(pattern, option, message)
    return message


@contextlib.contextmanager
def name_file(path: Path | str, *prefixes: str) -> Iterator[None]:
    """Put the name of an input file in front of the errors of a block.

    Parameters
    ----------
    path
        The file, or the files, that the block reads or checks.
    prefixes
        Beginnings of the options for this file, `"--"` or `"--reference-"`.

    Raises
    ------
    ValueError
        For every error that a user can cause.
    """
    try:
        yield
    except USER_ERRORS as error:
        message = describe_error(error, prefixes)
        raise ValueError(message if str(path) in message else f"{path}: {message}") from error


@contextlib.contextmanager
def report_errors(arguments: Sequence[str]) -> Iterator[None]:
    """Print errors and warnings of a block as one line each, and exit with a status.

    Status 2 for an error that the user can mend, 3 with a traceback for a bug of the package.

    Parameters
    ----------
    arguments
        Arguments of the command line, for `--quiet`, `--json` and `--debug`.
    """
    as_json = "--json" in arguments
    for name in (None, *VERBOSE_LOGGERS):
        logging.getLogger(name).setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if not {"-q", "--quiet"} & set(arguments):
            warnings.simplefilter("default", StImputeWarning)
        warnings.showwarning = _warn_once()
        try:
            yield
        except USAGE_ERROR as error:
            _fail(_describe_usage_error(error), WRONG_INPUT, as_json)
        except USER_ERRORS as error:
            if "--debug" in arguments:
                traceback.print_exc()
            _fail(describe_error(error), WRONG_INPUT, as_json)
        except Exception as error:  # noqa: BLE001 - every other error is a bug, and is told as one
            traceback.print_exc()
            message = f"This is a bug in stimpute, please report it: {type(error).__name__}: {error}"
            _fail(message, BUG, as_json)


def _describe_usage_error(error: Any) -> str:
    """Return the message of a usage error, and where to read more."""
    message = error.format_message()
    return message if error.ctx is None else f"{message} See `{error.ctx.command_path} --help`."


def _fail(message: str, status: int, as_json: bool) -> None:
    """Print an error, and exit."""
    _print("bold red", "Error", message)
    if as_json:
        write_json({"error": message})
    sys.exit(status)


def _warn_once() -> Callable[..., None]:
    """Make a function that prints each warning as one line, the first time only."""
    printed: set[str] = set()

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        text = str(message)
        if text not in printed:
            printed.add(text)
            _print("yellow", "Warning", text)

    return show


def _print(color: str, kind: str, message: str) -> None:
    console = RichConsole(stderr=True, emoji=False)
    console.print(f"[{color}]{kind}:[/] {escape(message)}", highlight=False, soft_wrap=True)

"""Where the command line says things: tables and progress to people, JSON to programs, errors to either."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    import pandas as pd

LOUD = ("scvi", "lightning.pytorch", "lightning.fabric", "matplotlib", "root")
MISTAKES = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    OSError,
    MemoryError,
    RuntimeError,
    ImportError,
    ArithmeticError,
)
WRONG_INPUT = 2


@dataclass(frozen=True)
class Screen:
    """Where things are said: progress and tables to people, JSON to programs."""

    quiet: bool
    as_json: bool

    @property
    def talks(self) -> bool:
        """Whether a person listens."""
        return not (self.quiet or self.as_json)

    @property
    def progress(self) -> bool:
        """Whether to draw bars: to a person at a terminal, not into a file."""
        return self.talks and sys.stdout.isatty()

    def say(self, text: str) -> None:
        """One line for a person."""
        if self.talks:
            Console(stderr=True).print(text, highlight=False, markup=False, soft_wrap=True)

    def table(self, frame: pd.DataFrame, title: str) -> None:
        """A table for a person."""
        if not self.talks:
            return
        table = Table("method", *map(str, frame.columns), title=title, title_justify="left")
        for name, row in frame.iterrows():
            table.add_row(escape(str(name)), *(f"{value:.3f}" for value in row))
        Console(width=max(100, Console().width)).print(table)

    def result(self, values: dict[str, Any]) -> None:
        """The result for a program."""
        if self.as_json:
            write_json(values)


def write_json(values: dict[str, Any]) -> None:
    """Strict JSON on standard output; what is not finite becomes null."""
    text = json.dumps(json.loads(json.dumps(values, default=str), parse_constant=lambda _: None), indent=1)
    sys.stdout.write(text + "\n")


@contextlib.contextmanager
def polite(arguments: Sequence[str]) -> Iterator[None]:
    """Turn a mistake of the user's into one message and exit status 2; warnings into one line each.

    Parameters
    ----------
    arguments
        Of the command line, to know who listens.
    """
    quiet, as_json = bool({"-q", "--quiet"} & set(arguments)), "--json" in arguments
    for name in LOUD:
        logging.getLogger(None if name == "root" else name).setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if not quiet:
            warnings.filterwarnings("default", category=UserWarning, module="stimpute")
        warnings.showwarning = _once()
        try:
            yield
        except MISTAKES as error:
            message = _message(error)
            _say("bold red", "Error", message)
            if as_json:
                write_json({"error": message})
            raise SystemExit(WRONG_INPUT) from None


def _once() -> Any:
    """What shows a warning as one line, and says the same thing only once."""
    said: set[str] = set()

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        if str(message) not in said:
            said.add(str(message))
            _say("yellow", "Warning", message)

    return show


def _message(error: BaseException) -> str:
    told = error.args[0] if isinstance(error, KeyError) and error.args else error
    return str(told) or f"{type(error).__name__}, without further words."


def _say(colour: str, what: str, message: object) -> None:
    Console(stderr=True).print(f"[{colour}]{what}:[/] {escape(str(message))}", highlight=False, soft_wrap=True)

"""What a user gets to see: where progress bars can be drawn, and what other packages say that is left out."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from importlib.util import find_spec

# Beginnings of warnings that other packages give at their import or first use, and that a user can do nothing about.
FOREIGN_WARNINGS = (
    r"IProgress not found",  # tqdm, in a notebook without ipywidgets
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",  # lightning, about torch
    r"'\w+' is not a valid key",  # docrep, about squidpy
)


def ignore_foreign_warnings() -> None:
    """Add filters for those warnings; all others are shown as before."""
    for message in FOREIGN_WARNINGS:
        warnings.filterwarnings("ignore", message)


def can_draw_progress() -> bool:
    """Tell whether a progress bar can be drawn: on a terminal, or in a notebook that has widgets; not into a file.

    None are drawn if the user asked for errors only, `scvi.settings.verbosity = logging.ERROR`.
    """
    if logging.getLogger("scvi").level >= logging.ERROR:
        return False
    from rich import get_console

    console = get_console()
    if console.is_jupyter:
        return find_spec("ipywidgets") is not None
    return console.is_terminal


@contextlib.contextmanager
def quiet(*names: str) -> Iterator[None]:
    """Silence messages of some loggers below a warning."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)

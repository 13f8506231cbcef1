"""Wording that error messages share, and warnings at the line of the user."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Iterable
from difflib import get_close_matches
from numbers import Integral, Real

LARGEST = 10**6  # rate or weight that an optimizer can work with; the same numbers overflow above 1e38
MAX_WIDTH = 10_000  # of a layer
INSIDE = ("stimpute", "scvi", "lightning", "torch", "contextlib", "functools")  # packages that call this one


class StImputeWarning(UserWarning):
    """A warning of this package."""


def warn(message: str) -> None:
    """Warn at the line of the user's code that called the package, however deep the cause is."""
    frame = inspect.currentframe()
    level = 1
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in INSIDE:
        frame = frame.f_back
        level += 1
    warnings.warn(message, StImputeWarning, stacklevel=level)


def name_list(names: Iterable[object], n_shown: int = 5) -> str:
    """Join the first few names with commas, and say how many more there are."""
    items = [str(name) for name in names]
    text = ", ".join(items[:n_shown])
    if len(items) > n_shown:
        text += f" and {len(items) - n_shown} more"
    return text


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """Ask whether one of the known names was meant; empty if none is similar."""
    close = ", ".join(dict.fromkeys(get_close_matches(str(name), sorted(known))))
    return f" Did you mean {close}?" if close else ""


def missing_key(key: object, where: str, available: Iterable[object], advice: str = "") -> KeyError:
    """Make the error for a key that a container does not have.

    Parameters
    ----------
    key
        What was asked for.
    where
        The container, as the user would write it: `adata.obs`.
    available
        Keys that the container has; those of scvi-tools are not listed.
    advice
        What to do next, a whole sentence.
    """
    names = [str(name) for name in available if name is not None]  # None: `X`, of the layers of AnnData 0.13
    found = sorted(name for name in names if not name.startswith("_scvi"))
    return KeyError(f"{key!r} is not in `{where}`, which has {found}.{' ' + advice if advice else ''}")


def missing_extra(what: str, extra: str) -> ImportError:
    """Make the error for an optional package that is not installed.

    Parameters
    ----------
    what
        What cannot be done without it, and by which package, a clause without a full stop.
    extra
        Extra of stimpute that installs it.
    """
    return ImportError(f"{what}, which is not installed. In a checkout of stimpute: `pip install '.[{extra}]'`.")


def check_at_least(minimum: float, **arguments: float | None) -> None:
    """Check that numbers are finite and not below a minimum; None passes.

    Raises
    ------
    TypeError
        If one is not a number.
    ValueError
        If one is infinite or smaller; the message names the argument, its value and the minimum.
    """
    for name, value in arguments.items():
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, Real):
            raise TypeError(f"`{name}` is {value!r}; expected a number.")
        if not value >= minimum:
            raise ValueError(f"`{name}` is {value}; expected at least {minimum}.")
        if math.isinf(value):
            raise ValueError(f"`{name}` is {value}; expected a finite number.")


def check_at_most(maximum: float, **arguments: float | None) -> None:
    """Check that numbers are not above a maximum; None passes.

    Raises
    ------
    ValueError
        If one is larger; the message names the argument, its value and the maximum.
    """
    for name, value in arguments.items():
        if value is not None and value > maximum:
            raise ValueError(f"`{name}` is {value}; expected at most {maximum}.")


def check_count(minimum: int, **arguments: int | None) -> None:
    """Check that integers are not below a minimum, like :func:`check_at_least`.

    Raises
    ------
    TypeError
        If one is not an integer.
    ValueError
        If one is smaller.
    """
    for name, value in arguments.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, Integral)):
            raise TypeError(f"`{name}` is {value!r}; expected an integer.")
    check_at_least(minimum, **arguments)


def check_flag(**arguments: bool) -> None:
    """Check that arguments are True or False.

    Raises
    ------
    TypeError
        If one is something else.
    """
    for name, value in arguments.items():
        if not isinstance(value, bool):
            raise TypeError(f"`{name}` is {value!r}; expected True or False.")


def check_type(expected: type, advice: str = "", **arguments: object) -> None:
    """Check the type of arguments; None passes.

    Raises
    ------
    TypeError
        Names the argument and both types.
    """
    for name, value in arguments.items():
        if value is not None and not isinstance(value, expected):
            found = f"`{name}` is {with_article(type(value))}; expected {with_article(expected)}."
            raise TypeError(f"{found}{' ' + advice if advice else ''}")


def with_article(kind: type) -> str:
    """Return the name of a type with its article: `"an AnnData"`."""
    article = "an" if kind.__name__[0] in "AEIOUaeiou" else "a"
    return f"{article} {kind.__name__}"

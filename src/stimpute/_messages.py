"""Wording that error messages share."""

from __future__ import annotations

from collections.abc import Iterable


def name_list(names: Iterable[object], n_shown: int = 5) -> str:
    """Join the first few names with commas, and say how many more there are."""
    items = [str(name) for name in names]
    text = ", ".join(items[:n_shown])
    if len(items) > n_shown:
        text += f" and {len(items) - n_shown} more"
    return text


def missing_key(key: object, where: str, available: Iterable[object], advice: str = "") -> KeyError:
    """Make the error for a key that a container does not have.

    Parameters
    ----------
    key
        What was asked for.
    where
        The container, as the user would write it: `adata.obs`.
    available
        Keys that the container has.
    advice
        What to do next, a whole sentence.
    """
    found = sorted(map(str, available))
    return KeyError(f"{key!r} is not in `{where}`, which has {found}.{' ' + advice if advice else ''}")


def check_at_least(minimum: float, **arguments: float | None) -> None:
    """Raise ValueError for the first argument below a minimum; None passes.

    Raises
    ------
    ValueError
        Names the argument, its value and the minimum.
    """
    for name, value in arguments.items():
        if value is not None and not value >= minimum:
            raise ValueError(f"`{name}` is {value}; expected at least {minimum}.")

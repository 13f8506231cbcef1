"""Names of the references of a command, and options that may differ between them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

ONLY = "reference"  # name of a reference that is the only one and was given none
MARKERS = "markers"  # name of a table of marker genes


def name_references(texts: Sequence[str], markers: Path | None = None) -> dict[str, Path]:
    """Return the files of `--reference` and `--markers` by name, in their order.

    Parameters
    ----------
    texts
        `NAME=FILE` or `FILE` each. One of several files without a name gets that of the file, without its ending.
    markers
        Table of marker genes, if any.

    Raises
    ------
    ValueError
        If a name or a file is missing, or two references have the same name.
    """
    is_only = len(texts) == 1 and markers is None
    files: dict[str, Path] = {}
    for text in texts:
        name, path = _split(text)
        name = name or (ONLY if is_only else path.stem)
        _add(files, name, path)
    if markers is not None:
        _add(files, MARKERS, markers)
    return files


def _split(text: str) -> tuple[str, Path]:
    """Split `NAME=FILE`; the name is empty for a file without one, also if there is a `=` in its path."""
    name, equals, path = text.partition("=")
    if not equals or Path(text).exists():
        return "", Path(text)
    if not name.strip() or not path:
        raise ValueError(f"--reference is {text!r}; expected FILE, or NAME=FILE for one of several.")
    return name.strip(), Path(path)


def _add(files: dict[str, Path], name: str, path: Path) -> None:
    if name in files:
        raise ValueError(
            f"Two references have the name {name!r}: {files[name]} and {path}. Name them: --reference NAME={path}."
        )
    files[name] = path


def value_for(name: str, values: Sequence[str], default: str | None = None) -> str | None:
    """Choose the value of an option for one reference.

    Parameters
    ----------
    name
        Name of the reference.
    values
        `VALUE`, for all references, or `NAME=VALUE`, for one.
    default
        The value if there is none.
    """
    own = [value.removeprefix(f"{name}=") for value in values if value.startswith(f"{name}=")]
    common = [value for value in values if "=" not in value]
    for chosen in (own, common):
        if chosen:
            return chosen[-1]
    return default


def check_names(option: str, values: Sequence[str], names: Sequence[str]) -> None:
    """Check that the values of an option name references.

    Raises
    ------
    ValueError
        If there is no reference of a name.
    """
    for value in values:
        name, equals, _ = value.partition("=")
        if equals and name not in names:
            raise ValueError(f"{option} is {value!r}, but the references are {', '.join(names)}.")

"""Write files and folders under another name, and move them to their place when they are whole."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

MAX_STEM = 100  # characters of a name that are kept in its temporary name, which is longer


def _partial_path(path: Path) -> Path:
    """Return a hidden name beside a path, on the same disk, that keeps the ending."""
    return path.with_name(f".{path.stem[:MAX_STEM]}.{os.getpid()}.partial{path.suffix}")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary name to write a file or a folder to; move it to `path` if nothing failed.

    An older file is replaced in one step. A folder must not exist before.
    """
    path = Path(path).absolute()
    partial = _partial_path(path)
    _remove(partial)
    try:
        yield partial
        os.replace(partial, path)
    finally:
        _remove(partial)


@contextlib.contextmanager
def filling(folder: str | Path, stale: tuple[str, ...] = ()) -> Iterator[Path]:
    """Yield a temporary folder to write files to; move them into `folder` if nothing failed.

    Parameters
    ----------
    folder
        Made if it does not exist. Files that are not replaced stay.
    stale
        Names of older files that are removed if they are not replaced.
    """
    folder = Path(folder).absolute()
    partial = _partial_path(folder)
    _remove(partial)
    partial.mkdir(parents=True)
    try:
        yield partial
        folder.mkdir(parents=True, exist_ok=True)
        written = sorted(partial.iterdir())
        for file in written:
            os.replace(file, folder / file.name)
        for name in set(stale) - {file.name for file in written}:
            (folder / name).unlink(missing_ok=True)
    finally:
        _remove(partial)

"""Write files and folders under another name, and move them to their place when they are whole."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

N_REMOVALS = 20  # at most, of what is written again while it is removed
SECONDS_BETWEEN = 0.05
MAX_STEM = 100  # characters of a name that are kept in its temporary name, which is longer
COMPLETE = ".complete.partial"  # folder of new files that are valid, and not yet moved to their places
WRITE_FAILURES = ("inline_container", "iostream error", "write failed")  # in messages of torch and of h5py
STALE = ".stale.json"  # names of the older files that they make invalid


def _partial_path(path: Path) -> Path:
    """Return a hidden name beside a path, on the same disk, that keeps the ending."""
    return path.with_name(f".{path.stem[:MAX_STEM]}.{os.getpid()}.partial{path.suffix}")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _remove_for_good(path: Path) -> None:
    """Remove a path, also if a thread of zarr or a worker still writes to it, whose task was just given up."""
    for _ in range(N_REMOVALS):
        if not path.exists():
            return
        _remove(path)
        time.sleep(SECONDS_BETWEEN)


@contextlib.contextmanager
def _failures_of_disks(path: Path) -> Iterator[None]:
    """Turn the errors that torch and h5py raise when a disk is full into one of the system.

    Raises
    ------
    OSError
        If a file could not be written.
    """
    try:
        yield
    except RuntimeError as error:
        if not any(sign in str(error) for sign in WRITE_FAILURES):
            raise
        raise OSError(f"{path} cannot be written; the disk may be full ({error}).") from error


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary name to write a file or a folder to; move it to `path` if nothing failed.

    An older file is replaced in one step. A folder must not exist before.
    """
    path = Path(path).absolute()
    partial = _partial_path(path)
    _remove(partial)
    try:
        with _failures_of_disks(path):
            yield partial
        os.replace(partial, path)
    except FileNotFoundError as error:
        if partial.name not in str(error):
            raise
        raise FileNotFoundError(
            f"{path} is not written: {partial.name}, its name until it is whole, was moved or removed by somebody "
            "else. Call again."
        ) from error
    finally:
        _remove_for_good(partial)


@contextlib.contextmanager
def filling(folder: str | Path, stale: tuple[str, ...] = ()) -> Iterator[Path]:
    """Yield a temporary folder to write files to; move them into `folder` if nothing failed.

    Nothing has the name of a new folder until all is written. In an older folder, the new files become valid all at
    once, by one renaming, and are then moved to their places. If the process is killed while they are moved,
    :func:`recover` moves the others.

    Parameters
    ----------
    folder
        Made if it does not exist. Files that are not replaced stay.
    stale
        Names of older files that are removed if they are not replaced.
    """
    folder = Path(folder).absolute()
    recover(folder)
    is_new = not folder.exists()
    partial = _partial_path(folder if is_new else folder / "files")
    _remove(partial)
    partial.mkdir(parents=True)
    try:
        with _failures_of_disks(folder):
            yield partial
        if is_new:
            os.rename(partial, folder)
            return
        written = {file.name for file in partial.iterdir()}
        (partial / STALE).write_text(json.dumps(sorted(set(stale) - written)), encoding="utf-8")
        os.rename(partial, folder / COMPLETE)
        recover(folder)
    finally:
        _remove(partial)


def recover(folder: str | Path) -> None:
    """Move the files of :func:`filling` to their places, if the process that wrote them was killed."""
    complete = Path(folder) / COMPLETE
    if not complete.is_dir():
        return
    list_of_stale = complete / STALE
    if list_of_stale.exists():  # it is removed last
        for name in json.loads(list_of_stale.read_text(encoding="utf-8")):
            (complete.parent / name).unlink(missing_ok=True)
        for file in sorted(complete.iterdir()):
            if file.name != STALE:
                os.replace(file, complete.parent / file.name)
    _remove(complete)

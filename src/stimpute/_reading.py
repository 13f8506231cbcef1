"""Read files that may be damaged."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path


def check_file_or_folder(path: Path) -> None:
    """Refuse a named pipe or a device, whose reader may wait for ever; a path with nothing there passes.

    Raises
    ------
    ValueError
        If there is one at this path.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise ValueError(
            f"{path} is a named pipe or a device; expected a file or a folder. Write its content to a file first."
        )


@contextlib.contextmanager
def readable(path: str | Path, advice: str) -> Iterator[None]:
    """Turn whatever the reader of a damaged file raises into one error that names the file.

    Parameters
    ----------
    path
        The file.
    advice
        What to do next, a whole sentence.

    Raises
    ------
    FileNotFoundError, PermissionError, ImportError
        As they are: the file is not damaged.
    ValueError
        For every other error. One that names the file stays as it is. Also for a named pipe, before it is opened.
    """
    check_file_or_folder(Path(path))
    try:
        yield
    except (FileNotFoundError, PermissionError, ImportError):
        raise
    except Exception as error:  # readers of HDF5, zarr and zip raise anything for damaged files
        if isinstance(error, ValueError) and str(path) in str(error):
            raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{path} cannot be read: {reason}. {advice}") from error

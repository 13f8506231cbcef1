"""Read HDF5 files that may be damaged.

The HDF5 library reads some damaged files for ever, for example one with a text of size 0 among its texts, and crashes
on others. Neither can be caught in the process in which it happens.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from stimpute import _walk_hdf5

if TYPE_CHECKING:
    from anndata import AnnData

SECONDS = 30.0  # until reading the structure counts as endless, and
BYTES_PER_SECOND = 20 * 2**20  # in addition, for a large file on a slow disk
WINDOWS_CRASH = 0x80000000  # exit codes from here on are those of crashes


def check_hdf5(path: str | Path) -> None:
    """Refuse an HDF5 file on which the library does not come back, by reading its structure in another process.

    This takes a tenth of a second. Large arrays are not read.

    Raises
    ------
    ValueError
        If the library crashes, or does not end. All other damage is left to whoever reads the file.
    """
    path = Path(path)
    seconds = SECONDS + path.stat().st_size / BYTES_PER_SECOND
    command = [sys.executable, "-P", _walk_hdf5.__file__, str(path)]
    try:
        ended = subprocess.run(command, timeout=seconds, capture_output=True, check=False)
    except subprocess.TimeoutExpired:
        problem = f"did not end within {seconds:.0f} seconds"
    except OSError:  # no other process can be started here
        return
    else:
        if 0 <= ended.returncode < WINDOWS_CRASH:
            return
        problem = f"crashed ({ended.returncode})"
    raise ValueError(
        f"{path} cannot be read: the HDF5 library {problem} on it. The file is damaged: fetch or write it again."
    )


def read_h5ad(path: str | Path) -> AnnData:
    """Read an .h5ad file that may be damaged, see :func:`check_hdf5`."""
    from anndata import read_h5ad

    check_hdf5(path)
    return read_h5ad(path)

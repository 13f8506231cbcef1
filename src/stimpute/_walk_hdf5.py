"""Read the structure of an HDF5 file; run in a process of its own by `_hdf5`, without the rest of the package."""

import contextlib
import sys
from typing import Any

import h5py

SMALL = 2**20  # bytes of an array that is read whole


def walk(item: Any, visited: set[int]) -> None:
    """Read all attributes and texts, and where arrays are stored, of an object and what is in it.

    Errors are left to the reader, who reports them; what matters here is that the library comes back.
    """
    address = h5py.h5o.get_info(item.id).addr
    if address in visited:
        return
    visited.add(address)
    for name in item.attrs:
        with contextlib.suppress(Exception):
            item.attrs[name]
    if isinstance(item, h5py.Dataset):
        is_read_whole = item.dtype.hasobject or item.nbytes <= SMALL
        item[() if is_read_whole else (0,) * item.ndim]
        return
    for name in item:
        with contextlib.suppress(Exception):
            walk(item[name], visited)


if __name__ == "__main__":
    with contextlib.suppress(Exception), h5py.File(sys.argv[1], "r") as file:
        walk(file, set())

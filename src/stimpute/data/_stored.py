"""Notice that names, positions or labels were changed in the file that expression is read from."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from anndata.abc import CSCDataset, CSRDataset
from pandas.util import hash_array

from stimpute._messages import name_list
from stimpute.data._checksums import WHY, ChangedDataError, readable_data
from stimpute.data._sources import check_file, sources_of

ROWS_PER_BLOCK = 2**18
KEYS_OF_SETUP = {"spatial_key": "obsm", "batch_key": "obs", "dataset_key": "obs", "gene_symbols": "var"}

Stored = Mapping[str, Mapping[str, str]]


def read_stored(matrix: Any, setup: Mapping[str, Any]) -> Stored:
    """Read what the files behind a matrix hold beside its values, as digests.

    Parameters
    ----------
    matrix
        Expression of an AnnData.
    setup
        Arguments of `setup_anndata`, which name positions and labels.

    Returns
    -------
    By file: names of genes and cells, positions, labels, and the form of the matrix. Empty for a matrix in memory, and
    for a Dask array whose file is unknown.

    Raises
    ------
    ValueError
        If a file cannot be read, is open for writing, or is not the one that was opened.
    """
    check_file(matrix.group if isinstance(matrix, CSRDataset | CSCDataset) else matrix)
    stored: dict[str, dict[str, str]] = {}
    for source in sources_of(matrix):
        with readable_data(str(source)), source.opened() as element:
            stored.setdefault(str(source), {}).update(_read_source(element, source.name.strip("/"), setup))
    return stored


def _read_source(element: Callable[[str], Any], name: str, setup: Mapping[str, Any]) -> dict[str, str]:
    found = {name: _form(element(name))}
    group = _anndata_group(element, name)
    if group is None:
        return found
    names = [f"{part}/{group[part].attrs['_index']}" for part in ("obs", "var") if "_index" in group[part].attrs]
    keys = [f"{part}/{setup[key]}" for key, part in KEYS_OF_SETUP.items() if setup.get(key) is not None]
    for part in [*names, *keys]:
        if part in group:
            found[f"{group.name}/{part}".strip("/")] = _digest(group[part])
    return found


def _anndata_group(element: Callable[[str], Any], name: str) -> Any:
    """Return the group of the AnnData that holds a matrix; None if there is none."""
    while name:
        name = name.rpartition("/")[0]
        with contextlib.suppress(FileNotFoundError):  # folders of a zarr store that are no groups
            group = element(name)
            if "obs" in group and "var" in group:
                return group
    return None


def _form(matrix: Any) -> str:
    """Describe how a matrix is stored."""
    if hasattr(matrix, "shape"):
        return f"dense {tuple(matrix.shape)}"
    shape = tuple(int(size) for size in matrix.attrs.get("shape", ()))
    return f"{matrix.attrs.get('encoding-type')} {shape}"


def _digest(element: Any) -> str:
    """Compute a digest of the values of an element, whatever their type and chunks are."""
    digest = hashlib.blake2b(digest_size=16)
    if not hasattr(element, "shape"):
        for name in sorted(element):
            digest.update(f"{name} {_digest(element[name])}".encode())
        return digest.hexdigest()
    digest.update(repr(tuple(element.shape)).encode())
    for start in range(0, element.shape[0], ROWS_PER_BLOCK):
        values = np.asarray(element[start : start + ROWS_PER_BLOCK])
        if values.dtype.kind in "fiub":
            digest.update(values.astype(np.float64).tobytes())
        else:
            digest.update(hash_array(values.astype(object).ravel(), categorize=False).tobytes())
    return digest.hexdigest()


def check_stored(found: Stored, expected: Stored) -> None:
    """Compare what files hold beside expression with what they held.

    Raises
    ------
    ChangedDataError
        If it differs. A file from which expression is no longer read is not compared.
    """
    for path in found.keys() & expected.keys():
        parts = found[path].keys() | expected[path].keys()
        changed = sorted(part for part in parts if found[path].get(part) != expected[path].get(part))
        if changed:
            raise ChangedDataError(
                f"{path} was written again: {name_list(f'`{part}`' for part in changed)} is not what it was when the "
                f"file was first read. {WHY}"
            )

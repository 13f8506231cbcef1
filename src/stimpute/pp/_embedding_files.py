"""Read and write the two file formats of protein vectors, `.npz` and `.h5ad`."""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import h5py
import numpy as np
import pandas as pd
from anndata import AnnData, read_h5ad

from stimpute._atomic import replacing
from stimpute._hdf5 import check_hdf5
from stimpute._messages import missing_key
from stimpute._reading import readable

UNKNOWN = "unknown"
SUFFIXES = (".npz", ".h5ad")
TEXTS = ("model", "pooling", "release")
REQUIRED = ("genes", "embedding")
OPTIONAL = ("accessions", "digests", *TEXTS, "settings")
OBS_COLUMNS = {"accessions": "accession", "digests": "digest"}  # name of the field, name of the column
# 200,000 proteins of the largest ESM-2 (5120 dimensions) fit; what is larger is a mistake or an attack.
MAX_BYTES = 4 * 2**30
WRITE_AGAIN = "It is damaged, or not what its name says: write it again."
MAX_TEXT_BYTES = 2**20  # of a text such as the name of the model


def check_suffix(path: Path) -> None:
    """Raise ValueError unless the name of a file ends in `.npz` or `.h5ad`."""
    if path.suffix not in SUFFIXES:
        raise ValueError(f"Found the file name {path.name!r}; expected a name that ends in .npz or .h5ad.")


def read_fields(path: Path) -> dict[str, Any]:
    """Read the fields of :class:`ProteinEmbeddings` from a file.

    Raises
    ------
    FileNotFoundError
        If there is no file.
    KeyError
        If an array is missing.
    ValueError
        If the file is damaged, too large, or holds pickled objects.
    """
    check_suffix(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"There are no embeddings at {path}. Make them by `stimpute.pp.embed_proteins(..., output={str(path)!r})`."
        )
    if path.suffix == ".npz":
        return _read_npz(path)
    return _read_h5ad(path)


def write_fields(fields: Mapping[str, Any], path: Path) -> Path:
    """Write the fields of :class:`ProteinEmbeddings` to a file, under a temporary name until it is complete."""
    check_suffix(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {**fields, "settings": json.dumps(dict(fields["settings"]))}
    with replacing(path) as temporary:
        if path.suffix == ".npz":
            np.savez(temporary, allow_pickle=False, **content)
        else:
            columns = {column: content[name] for name, column in OBS_COLUMNS.items()}
            obs = pd.DataFrame(columns, index=content["genes"])
            uns = {name: content[name] for name in (*TEXTS, "settings")}
            AnnData(X=content["embedding"], obs=obs, uns=uns).write_h5ad(temporary)
    return path


def fields_of_anndata(adata: AnnData) -> dict[str, Any]:
    """Take the fields of :class:`ProteinEmbeddings` from an AnnData with one gene per row."""
    vectors = adata.X.toarray() if hasattr(adata.X, "toarray") else np.asarray(adata.X)
    fields: dict[str, Any] = {"genes": adata.obs_names.to_numpy(), "embedding": vectors}
    for name, column in OBS_COLUMNS.items():
        if column in adata.obs:
            fields[name] = adata.obs[column].astype(str).to_numpy()
    return fields | _text_fields(adata.uns)


def _read_npz(path: Path) -> dict[str, Any]:
    with readable(path, WRITE_AGAIN), zipfile.ZipFile(path) as archive:
        headers = _read_headers(archive)
    for name in REQUIRED:
        if name not in headers:
            raise missing_key(name, str(path), headers, "Write it by `np.savez(path, genes=..., embedding=...)`.")
    for name, header in headers.items():
        _check_size(name, *header, path)
    with readable(path, WRITE_AGAIN), np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in headers}
        return arrays | _text_fields(arrays)


def _read_h5ad(path: Path) -> dict[str, Any]:
    with readable(path, WRITE_AGAIN):
        check_hdf5(path)
        with h5py.File(path, "r") as file:
            vectors = file["X"]
            shape = vectors.attrs["shape"] if isinstance(vectors, h5py.Group) else vectors.shape
        _check_bytes("X", tuple(map(int, shape)), np.dtype(np.float32), path)
        return fields_of_anndata(read_h5ad(path))


def _text_fields(content: Mapping[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {name: str(content[name]) for name in TEXTS if name in content}
    fields["settings"] = json.loads(str(content.get("settings", "{}")))
    return fields


def _read_headers(archive: zipfile.ZipFile) -> dict[str, tuple[tuple[int, ...], np.dtype, int]]:
    """Read declared shape and type, and the number of bytes, of the arrays that are used."""
    headers = {}
    for name in (*REQUIRED, *OPTIONAL):
        if f"{name}.npy" in archive.namelist():
            member = archive.getinfo(f"{name}.npy")
            with archive.open(member) as file:
                shape, dtype = _read_header(file)
                headers[name] = (shape, dtype, member.file_size - file.tell())
    return headers


def _check_size(name: str, shape: tuple[int, ...], dtype: np.dtype, n_found: int, path: Path) -> None:
    """Check the type and the declared size of an array before memory is allocated for any."""
    if dtype.hasobject:
        raise ValueError(
            f"The array {name!r} of {path} holds pickled objects; pickles can run code and are not loaded. Save "
            "names as text: `np.savez(path, genes=np.asarray(genes, dtype=str), embedding=matrix)`."
        )
    n_bytes = _check_bytes(name, shape, dtype, path)
    # Elements without size could be declared in any number.
    is_hollow = dtype.itemsize == 0 or (0 in shape and shape != (0,))
    if is_hollow or n_bytes != n_found:
        raise ValueError(
            f"The array {name!r} of {path} is damaged: it declares the shape {shape} and {n_bytes} bytes, and has "
            f"{n_found} bytes. Write the file again."
        )


def _check_bytes(name: str, shape: tuple[int, ...], dtype: np.dtype, path: Path) -> int:
    """Return the bytes of an array of a declared shape and type; raise ValueError if they are too many."""
    n_bytes = math.prod((*shape, dtype.itemsize))
    max_bytes = MAX_TEXT_BYTES if name in (*TEXTS, "settings") else MAX_BYTES
    if n_bytes > max_bytes:
        raise ValueError(
            f"The array {name!r} of {path} has shape {shape} and type {dtype}, more than the maximum of "
            f"{max_bytes:,} bytes. Keep only the genes of your reference."
        )
    return n_bytes


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    """Read shape and type from the header of a `.npy` file."""
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    else:
        shape, _, dtype = np.lib.format.read_array_header_2_0(file)
    return shape, dtype

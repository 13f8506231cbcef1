"""The same AnnData in every form in which expression can be out of memory."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import anndata as ad
import dask.array as da
import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse
from small import bare

ROWS = 40  # per chunk of a Dask array


def backed(adata: AnnData, folder: Path, form: Callable) -> AnnData:
    adata.X = form(adata.X)
    adata.write_h5ad(folder / "a.h5ad")
    return ad.read_h5ad(folder / "a.h5ad", backed="r")


def lazy(adata: AnnData, folder: Path, form: Callable, suffix: str) -> AnnData:
    adata.X = form(adata.X)
    path = folder / f"a{suffix}"
    adata.write_h5ad(path) if suffix == ".h5ad" else adata.write_zarr(path)
    return ad.experimental.read_lazy(path)


def dask_backed(adata: AnnData, chunks: tuple[int, int], form: Callable) -> AnnData:
    adata.X = da.from_array(adata.X.toarray(), chunks=chunks).map_blocks(form)
    return adata


def dense(x):
    return x.toarray()


FORMS: dict[str, Callable[[AnnData, Path], AnnData]] = {
    "backed CSR": lambda adata, folder: backed(adata, folder, sparse.csr_matrix),
    "backed CSC": lambda adata, folder: backed(adata, folder, sparse.csc_matrix),
    "backed dense": lambda adata, folder: backed(adata, folder, dense),
    "lazy HDF5 CSR": lambda adata, folder: lazy(adata, folder, sparse.csr_matrix, ".h5ad"),
    "lazy HDF5 dense": lambda adata, folder: lazy(adata, folder, dense, ".h5ad"),
    "lazy zarr CSR": lambda adata, folder: lazy(adata, folder, sparse.csr_matrix, ".zarr"),
    "lazy zarr CSC": lambda adata, folder: lazy(adata, folder, sparse.csc_matrix, ".zarr"),
    "lazy zarr dense": lambda adata, folder: lazy(adata, folder, dense, ".zarr"),
    "Dask CSR": lambda adata, folder: dask_backed(adata, (ROWS, -1), sparse.csr_matrix),
    "Dask CSC": lambda adata, folder: dask_backed(adata, (-1, 7), sparse.csc_matrix),
    "Dask dense": lambda adata, folder: dask_backed(adata, (ROWS, 7), np.asarray),
}


def in_form(adata: AnnData, form: str, folder: Path) -> AnnData:
    """A bare copy of an AnnData whose `X` is not in memory."""
    return FORMS[form](bare(adata), folder)


FILES = [form for form in FORMS if not form.startswith("Dask")]


def path_of(form: str, folder: Path) -> Path:
    """Where `in_form` writes a form that is a file."""
    return folder / ("a.zarr" if "zarr" in form else "a.h5ad")


def remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def annotated() -> AnnData:
    """A small AnnData with all that the setup may name."""
    rng = np.random.default_rng(0)
    adata = AnnData(sparse.csr_matrix(rng.poisson(1.0, (90, 9)).astype(np.float32)))
    adata.obs["batch"] = pd.Categorical(rng.choice(["a", "b"], 90))
    adata.obs["dataset"] = rng.choice(["x", "y"], 90)
    adata.var["symbol"] = [f"G{number}" for number in range(9)]
    adata.obsm["spatial"] = rng.normal(size=(90, 2))
    return adata

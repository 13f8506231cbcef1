"""Read matrices of 10x Genomics, and of programs that write the same files."""

from __future__ import annotations

import warnings
from pathlib import Path

import anndata as ad
import h5py
import pandas as pd
from scipy import io, sparse

from stimpute._hdf5 import check_hdf5, read_h5ad
from stimpute._reading import readable

GENES = "Gene Expression"  # the type of features that are genes
FEATURE_COLUMNS = ("gene_ids", "gene_symbols", "feature_types")
DAMAGED = "Copy or write it again."


def read_h5(path: Path) -> ad.AnnData:
    """Read an HDF5 matrix of 10x Genomics; an AnnData in a file of this name is read too."""
    import scanpy as sc

    check_hdf5(path)
    with readable(path, DAMAGED), h5py.File(path, "r") as file:
        groups = {name for name, member in file.items() if isinstance(member, h5py.Group)}
        is_matrix = any("barcodes" in file[name] for name in groups)
    if {"obs", "var"} <= groups:
        return read_h5ad(path)
    if not is_matrix:
        raise ValueError(f"{path} is not a matrix of 10x Genomics: none of its groups, {sorted(groups)}, has barcodes.")
    with readable(path, DAMAGED), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Variable names are not unique")  # they are made so
        adata = sc.read_10x_h5(path)
    adata.var_names_make_unique()
    return adata


def read_folder(path: Path) -> ad.AnnData:
    """Read a folder with a sparse matrix, barcodes, and features or genes, each with or without `.gz`."""
    with readable(path, DAMAGED):
        values = sparse.csr_matrix(io.mmread(_find(path, "matrix.mtx")).T, dtype="float32")
        barcodes = _read_lines(_find(path, "barcodes.tsv"))
        features = _read_lines(_find(path, "features.tsv", "genes.tsv"))
    features.columns = FEATURE_COLUMNS[: features.shape[1]]
    expected = (len(barcodes), len(features))
    if values.shape != expected:
        raise ValueError(
            f"{path} does not fit together: the matrix has {values.shape[::-1]} rows and columns, and there are "
            f"{expected[::-1]} features and barcodes."
        )
    symbols = features.pop("gene_symbols") if "gene_symbols" in features else features["gene_ids"]
    adata = ad.AnnData(values, obs=pd.DataFrame(index=barcodes[0]), var=features.set_index(pd.Index(symbols)))
    adata.obs_names.name = adata.var_names.name = None
    adata = only_genes(adata)
    adata.var_names_make_unique()
    return adata


def only_genes(adata: ad.AnnData) -> ad.AnnData:
    """Leave out features that are no genes, where the types of features are known."""
    is_gene = adata.var.get("feature_types", pd.Series(GENES, adata.var_names)) == GENES
    return adata[:, is_gene.to_numpy()].copy() if 0 < is_gene.sum() < len(is_gene) else adata


def _find(folder: Path, *names: str) -> Path:
    for name in names:
        for file in (folder / f"{name}.gz", folder / name):
            if file.is_file():
                return file
    raise FileNotFoundError(f"{folder} is not complete: it has no {' or '.join(names)}. Copy the whole folder.")


def _read_lines(path: Path) -> pd.DataFrame:
    """Read columns of text as they are written: a gene may be called nan."""
    return pd.read_csv(path, sep="\t", header=None, dtype=str, keep_default_na=False, quoting=3).iloc[:, :3]

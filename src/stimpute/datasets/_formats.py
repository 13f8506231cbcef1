"""Read cells × genes from the files of other tools and the output folders of platforms, whichever format they have."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import anndata as ad
import pandas as pd
from scipy.sparse import csr_matrix

from stimpute._arguments import check_arguments
from stimpute._hdf5 import check_hdf5, read_h5ad
from stimpute._reading import check_file_or_folder
from stimpute.datasets import _platforms

TEXT_ENDINGS = (".csv", ".csv.gz", ".tsv", ".tsv.gz")
POSITIONS = ("x", "y")  # columns of a text table that hold the positions of cells


@dataclass(frozen=True)
class Format:
    """A format that :func:`read` knows.

    Attributes
    ----------
    name
        Name of the format, for messages.
    recognized_by
        What the file or the folder looks like, for messages.
    matches
        Whether a path looks like that.
    read
        Reads it.
    """

    name: str
    recognized_by: str
    matches: Callable[[Path], bool]
    read: Callable[[Path], ad.AnnData]


def read(path: str | Path) -> ad.AnnData:
    """Read a dataset, whatever format it is in.

    ============================ ====================================================================
    format                       recognized by
    ============================ ====================================================================
    AnnData                      a file `.h5ad`, or a zarr store
    SpatialData                  a zarr store with `tables`
    10x Genomics                 a file `.h5`, or a folder with `matrix.mtx` or `matrix.mtx.gz`
    text                         `.csv` or `.tsv`, also with `.gz`
    Xenium output                a folder with `experiment.xenium`
    MERSCOPE output              a folder with `cell_by_gene.csv`
    CosMx output                 a folder with one `*_exprMat_file.csv`
    seqFISH output               a folder with `*_CellCoordinates.csv`
    ============================ ====================================================================

    A text table has one row per cell, with the name of the cell first. Columns `x` and `y` are its position, other
    columns that are not numbers go to `obs`, and all others are genes. Output folders of platforms are read by
    spatialdata-io (extra `platforms`), without images, outlines and molecules. Controls are not among the genes.

    Parameters
    ----------
    path
        File or folder.

    Returns
    -------
    Cells × genes, with the positions in `obsm["spatial"]` where the format has them. Genes that have the same name in
    a 10x matrix get a number.

    Raises
    ------
    FileNotFoundError
        If there is nothing at this path.
    ValueError
        If the format is not known; the message lists those that are. If there is a named pipe at this path, or an HDF5
        file so damaged that the library crashes or does not end.
    ImportError
        If the format needs an extra that is not installed; the message names it, and the function that reads it.

    Examples
    --------
    >>> spatial = stimpute.datasets.read("output-XETG00000__region_1")
    >>> reference = stimpute.datasets.read("filtered_feature_bc_matrix.h5")
    """
    check_arguments(read, locals())
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist.")
    check_file_or_folder(path)
    for form in FORMATS:
        if form.matches(path):
            return form.read(path)
    raise ValueError(_unknown_format(path))


def _unknown_format(path: Path) -> str:
    known = "; ".join(f"{form.name} ({form.recognized_by})" for form in FORMATS)
    message = f"{path} has no known format. Expected one of these: {known}."
    inside = sorted(path.iterdir()) if path.is_dir() else []
    for candidate in inside:
        if any(form.matches(candidate) for form in FORMATS):
            return f"{message} This folder holds {candidate.name}, which can be read: give {candidate}."
    if any(form.matches(path.parent) for form in FORMATS):
        return f"{message} It is in the folder {path.parent}, which can be read: give the folder."
    return message


# ---------------------------------------------------------------- files


def _read_10x_h5(path: Path) -> ad.AnnData:
    import scanpy as sc

    check_hdf5(path)
    return _with_unique_genes(sc.read_10x_h5, path)


def _read_10x_folder(path: Path) -> ad.AnnData:
    import scanpy as sc

    return _with_unique_genes(sc.read_10x_mtx, path)


def _with_unique_genes(reader: Callable[[Path], ad.AnnData], path: Path) -> ad.AnnData:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Variable names are not unique")  # they are made so
        adata = reader(path)
    adata.var_names_make_unique()
    return adata


def _read_text(path: Path) -> ad.AnnData:
    separator = "\t" if ".tsv" in path.suffixes else ","
    table = pd.read_csv(path, sep=separator, index_col=0)
    if table.index.has_duplicates:
        raise ValueError(
            f"{path} has {table.index[table.index.duplicated()][0]!r} more than once in its first column, "
            f"{str(table.index.name)!r}; expected the name of the cell there."
        )
    table.index = table.index.astype(str)
    obsm = {}
    if set(POSITIONS) <= set(table):
        obsm["spatial"] = table[list(POSITIONS)].to_numpy(float)
        table = table.drop(columns=list(POSITIONS))
    genes = table.select_dtypes("number")
    obs = table.drop(columns=genes.columns).rename_axis(None)
    if genes.empty:
        raise ValueError(f"{path} has no column of numbers; expected one row per cell and one column per gene.")
    var = pd.DataFrame(index=genes.columns.astype(str))
    return ad.AnnData(csr_matrix(genes.to_numpy("float32")), obs=obs, var=var, obsm=obsm)


def _is_zarr(path: Path) -> bool:
    return (path / "zarr.json").is_file() or (path / ".zgroup").is_file()


def _is_spatialdata(path: Path) -> bool:
    return _is_zarr(path) and (path / "tables").is_dir()


def _ends_in(*endings: str) -> Callable[[Path], bool]:
    return lambda path: path.name.endswith(endings)


def _holds(*patterns: str) -> Callable[[Path], bool]:
    return lambda path: any(any(path.glob(pattern)) for pattern in patterns)


FORMATS = (
    Format("AnnData", "a file .h5ad", _ends_in(".h5ad"), read_h5ad),
    Format("SpatialData", "a zarr store with tables", _is_spatialdata, _platforms.read_spatialdata),
    Format("AnnData", "a zarr store", _is_zarr, ad.read_zarr),
    Format("10x Genomics", "a file .h5", _ends_in(".h5"), _read_10x_h5),
    Format("10x Genomics", "a folder with matrix.mtx", _holds("matrix.mtx", "matrix.mtx.gz"), _read_10x_folder),
    Format("text", "a file .csv or .tsv, also .gz", _ends_in(*TEXT_ENDINGS), _read_text),
    Format("Xenium", "a folder with experiment.xenium", _holds("experiment.xenium"), _platforms.read_xenium),
    Format("MERSCOPE", "a folder with cell_by_gene.csv", _holds("cell_by_gene.csv"), _platforms.read_merscope),
    Format("CosMx", "a folder with *_exprMat_file.csv", _holds("*_exprMat_file.csv"), _platforms.read_cosmx),
    Format("seqFISH", "a folder with *_CellCoordinates.csv", _holds("*_CellCoordinates.csv"), _platforms.read_seqfish),
)

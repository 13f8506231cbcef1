"""Read cells × genes from the files of other tools and the output folders of platforms, whichever format they have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import anndata as ad
import zarr

from stimpute._arguments import check_arguments
from stimpute._hdf5 import read_h5ad
from stimpute._reading import check_file_or_folder
from stimpute.datasets import _platform_tables, _spatialdata, _tables, _tenx
from stimpute.datasets._platform_tables import COSMX_COUNTS, MERSCOPE_COUNTS, SEQFISH_CELLS


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
    10x Genomics                 a file `.h5`, or a folder with `matrix.mtx`, also with `.gz`
    Xenium output                a folder with `experiment.xenium`
    MERSCOPE output              a folder with one `*cell_by_gene*.csv`, also with `.gz`
    CosMx output                 a folder with one `*_exprMat_file.csv`, also with `.gz`
    seqFISH output               a folder with `*_CellCoordinates.csv`, also with `.gz`
    text                         `.csv` or `.tsv`, also with `.gz`
    ============================ ====================================================================

    A text table has one row per cell, with the name of the cell first. Columns `x` and `y` are its position, other
    columns that are not numbers go to `obs`, and all others are genes. Output folders of platforms are read without
    images, outlines and molecules; Xenium needs spatialdata-io (extra `platforms`). Controls are not among the genes.

    Parameters
    ----------
    path
        File or folder.

    Returns
    -------
    Cells × genes, with the positions in `obsm["spatial"]` where the format has them. Genes that have the same name in
    a 10x matrix or in a text table get a number.

    Warns
    -----
    UserWarning
        If cells are left out because a platform gives no position or no counts for them, or genes because not all
        regions have them.

    Raises
    ------
    FileNotFoundError
        If there is nothing at this path.
    ValueError
        If the format is not known; the message lists those that are. If a number is missing in a text table, or it is
        one of the tables of a platform's folder. If there is a named pipe at this path, or an HDF5 file so damaged
        that the library crashes or does not end.
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
    of_platforms = (*_platform_tables.TABLES_OF_CELLS, *_platform_tables.OTHER_TABLES)
    inside = sorted(path.iterdir()) if path.is_dir() else []
    inside = [file for file in inside if not (file.name[0] == "." or _platform_tables.is_one_of(file, of_platforms))]
    for form in FORMATS:
        for candidate in inside:
            if form.matches(candidate):
                return f"{message} This folder holds {candidate.name}, which can be read: give {candidate}."
    if any(form.matches(path.parent) for form in FORMATS):
        return f"{message} It is in the folder {path.parent}, which can be read: give the folder."
    return message


def _is_zarr(path: Path) -> bool:
    return (path / "zarr.json").is_file() or (path / ".zgroup").is_file()


def _is_spatialdata(path: Path) -> bool:
    if not _is_zarr(path):
        return False
    return (path / "tables").is_dir() or "spatialdata_attrs" in zarr.open_group(path, mode="r").attrs


def _ends_in(*endings: str) -> Callable[[Path], bool]:
    return lambda path: path.is_file() and path.name.lower().endswith(endings)


def _holds(pattern: str) -> Callable[[Path], bool]:
    return lambda path: bool(_platform_tables.find_files(path, pattern))


def _read_text(path: Path) -> ad.AnnData:
    if _platform_tables.is_one_of(path, _platform_tables.TABLES_OF_CELLS):
        raise ValueError(
            f"{path} is one of the tables that a platform writes: give the folder {path.parent} with all of "
            "them. To read this table alone, give it another name."
        )
    return _tables.read_text(path)


FORMATS = (  # text comes last: folders of platforms hold tables that are not of genes
    Format("AnnData", "a file .h5ad", _ends_in(".h5ad"), read_h5ad),
    Format("SpatialData", "a zarr store with tables", _is_spatialdata, _spatialdata.read_spatialdata),
    Format("AnnData", "a zarr store", _is_zarr, ad.read_zarr),
    Format("10x Genomics", "a file .h5", _ends_in(".h5"), _tenx.read_h5),
    Format("10x Genomics", "a folder with matrix.mtx", _holds("matrix.mtx"), _tenx.read_folder),
    Format("Xenium", "a folder with experiment.xenium", _holds("experiment.xenium"), _spatialdata.read_xenium),
    Format("MERSCOPE", "a folder with *cell_by_gene*.csv", _holds(MERSCOPE_COUNTS), _platform_tables.read_merscope),
    Format("CosMx", "a folder with *_exprMat_file.csv", _holds(COSMX_COUNTS), _platform_tables.read_cosmx),
    Format("seqFISH", f"a folder with *{SEQFISH_CELLS}", _holds(f"*{SEQFISH_CELLS}"), _platform_tables.read_seqfish),
    Format("text", "a file .csv or .tsv, also .gz", _ends_in(*_tables.TEXT_ENDINGS), _read_text),
)

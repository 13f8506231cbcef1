"""Read cells × genes from the text tables of MERSCOPE, CosMx and seqFISH."""

from __future__ import annotations

import glob
from fnmatch import fnmatchcase
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd

from stimpute._messages import name_list, warn
from stimpute.datasets._tables import read_annotation, read_counts, with_annotation
from stimpute.datasets._text_rows import TextTable

MERSCOPE_COUNTS, MERSCOPE_CELLS = "*cell_by_gene*.csv", "*cell_metadata*.csv"
MERSCOPE_POSITIONS = ("center_x", "center_y")  # micrometers
COSMX_COUNTS, COSMX_CELLS = "*_exprMat_file.csv", "*_metadata_file.csv"
COSMX_KEYS = ("cell_ID", "fov")
COSMX_POSITIONS = ("CenterX_global_px", "CenterY_global_px")
COSMX_CONTROLS = ("NegPrb", "Negative", "SystemControl", "FalseCode")  # beginnings of their names
COSMX_LONG_NAME = r"^c_\d+_\d+_(\d+_\d+)$"  # c_<slide>_<fov>_<cell>_<fov>, if `cell_ID` is of the whole study
COSMX_BACKGROUND = "0_"  # molecules outside of cells are those of cell 0 of each field of view
SEQFISH_CELLS, SEQFISH_COUNTS = "_CellCoordinates.csv", "_CellxGene.csv"
TABLES_OF_SEQFISH = (f"*{SEQFISH_CELLS}", f"*{SEQFISH_COUNTS}")
TABLES_OF_CELLS = (MERSCOPE_COUNTS, MERSCOPE_CELLS, COSMX_COUNTS, COSMX_CELLS, *TABLES_OF_SEQFISH)
OTHER_TABLES = (  # of folders of platforms and of 10x Genomics, for which they are not read as text
    "*detected_transcripts*.csv",
    "*_tx_file.csv",
    "*_fov_positions_file.csv",
    "*-polygons.csv",
    "*_TranscriptList*.csv",
    "cells.csv.gz",
    "transcripts.csv.gz",
    "*_boundaries.csv.gz",
    "*barcodes.tsv",
    "*features.tsv",
    "*genes.tsv",
)


def read_merscope(path: Path) -> ad.AnnData:
    """Read cells × genes of a MERSCOPE output; blank barcodes go to `obsm`."""
    counts_file, cells_file = _only(path, MERSCOPE_COUNTS), _only(path, MERSCOPE_CELLS)
    counts = read_counts(counts_file, _key(counts_file, "cell"))
    cells = read_annotation(cells_file, MERSCOPE_POSITIONS, _key(cells_file, "EntityID"))
    adata = with_annotation(counts, cells, MERSCOPE_POSITIONS, path)
    return without_controls(adata, adata.var_names.str.lower().str.contains("blank"), "blank")


def _key(file: Path, name: str) -> list[str] | None:
    """Return the column with the names of cells, None for the first one; pandas may have put row numbers before it."""
    return [name] if name in TextTable.open(file).columns else None


def read_cosmx(path: Path) -> ad.AnnData:
    """Read cells × genes of a CosMx output; controls go to `obsm`."""
    file = _only(path, COSMX_COUNTS)
    counts = read_counts(file, COSMX_KEYS)
    counts.obs_names = _short_names(counts.obs_names)
    counts = counts[~counts.obs_names.str.startswith(COSMX_BACKGROUND)].copy()
    if not counts.n_obs:
        raise ValueError(f"{file} has only rows with cell_ID 0, molecules outside of cells. Copy or export it again.")
    cells = read_annotation(_only(path, COSMX_CELLS), COSMX_POSITIONS, COSMX_KEYS)
    cells.index = _short_names(cells.index)
    fov = cells.index.str.split("_").str[-1]
    cells = cells.assign(fov=pd.Categorical(fov))
    return without_cosmx_controls(with_annotation(counts, cells, COSMX_POSITIONS, path))


def _short_names(names: pd.Index) -> pd.Index:
    """Shorten names of cells to the number of the cell and the field of view, if they are unique then."""
    short = names.str.replace(COSMX_LONG_NAME, r"\1", regex=True)
    return names if short.has_duplicates else short


def without_cosmx_controls(adata: ad.AnnData) -> ad.AnnData:
    """Move the controls of CosMx to `obsm`."""
    return without_controls(adata, adata.var_names.str.startswith(COSMX_CONTROLS), "control")


def read_seqfish(path: Path) -> ad.AnnData:
    """Read cells × genes of a seqFISH output, all regions as sections."""
    sections = {}
    for region in sorted({_plain(file).removesuffix(SEQFISH_CELLS) for file in find_files(path, f"*{SEQFISH_CELLS}")}):
        files = [_only(path, f"{glob.escape(region)}{ending}") for ending in (SEQFISH_COUNTS, SEQFISH_CELLS)]
        counts = read_counts(files[0])
        cells = read_annotation(files[1], MERSCOPE_POSITIONS, ["label"])
        sections[region] = with_annotation(counts, cells, MERSCOPE_POSITIONS, path)
    joined = ad.concat(sections, label="section", index_unique="_", merge="same")
    lost = sorted({gene for section in sections.values() for gene in section.var_names} - set(joined.var_names))
    if lost:
        warn(f"{path}: {len(lost)} genes are left out, since not all regions have them: {name_list(lost)}.")
    return joined


def without_controls(adata: ad.AnnData, is_control: np.ndarray, key: str) -> ad.AnnData:
    """Move features that are no genes to `obsm`."""
    genes = adata[:, ~is_control].copy()
    if is_control.any():
        genes.obsm[key] = adata[:, is_control].to_df()
    return genes


def find_files(path: Path, pattern: str) -> list[Path]:
    """List the files of a folder with such a name, also with `.gz`, but not the hidden ones that macOS adds."""
    found = [*path.glob(pattern), *path.glob(f"{pattern}.gz")]
    return sorted(file for file in found if not file.name.startswith("."))


def is_one_of(file: Path, patterns: tuple[str, ...]) -> bool:
    """Return whether a file has such a name, also with `.gz`."""
    return any(fnmatchcase(name, pattern) for name in (file.name, _plain(file)) for pattern in patterns)


def _plain(file: Path) -> str:
    return file.name.removesuffix(".gz")


def _only(path: Path, pattern: str) -> Path:
    """Find the one file of a folder with such a name; if there are several, the one without a prefix or suffix."""
    found = find_files(path, pattern)
    found = [file for file in found if _plain(file) == pattern.replace("*", "")] or found
    if not found:
        raise FileNotFoundError(f"{path} is not complete: it has no {pattern}. Copy the whole folder.")
    if len({_plain(file) for file in found}) > 1:
        raise ValueError(
            f"{path} has {name_list(file.name for file in found)}; expected one. Put the files of each slide in a "
            "folder of their own."
        )
    return found[0]

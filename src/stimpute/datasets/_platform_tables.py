"""Read cells × genes from the text tables of MERSCOPE, CosMx and seqFISH."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd

from stimpute._messages import name_list, warn
from stimpute.datasets._tables import read_annotation, read_counts, with_annotation

MERSCOPE_POSITIONS = ("center_x", "center_y")  # micrometers
COSMX_KEYS = ("cell_ID", "fov")
COSMX_POSITIONS = ("CenterX_global_px", "CenterY_global_px")
COSMX_CONTROLS = ("NegPrb", "Negative", "SystemControl", "FalseCode")  # beginnings of their names
COSMX_BACKGROUND = "0_"  # molecules outside of cells are those of cell 0 of each field of view
SEQFISH_CELLS, SEQFISH_COUNTS = "_CellCoordinates.csv", "_CellxGene.csv"


def read_merscope(path: Path) -> ad.AnnData:
    """Read cells × genes of a MERSCOPE output; blank barcodes go to `obsm`."""
    counts = read_counts(_only(path, "cell_by_gene.csv"))
    cells = read_annotation(_only(path, "cell_metadata.csv"), needed=MERSCOPE_POSITIONS)
    adata = with_annotation(counts, cells, MERSCOPE_POSITIONS, path)
    return without_controls(adata, adata.var_names.str.lower().str.contains("blank"), "blank")


def read_cosmx(path: Path) -> ad.AnnData:
    """Read cells × genes of a CosMx output; controls go to `obsm`."""
    counts = read_counts(_only(path, "*_exprMat_file.csv"), COSMX_KEYS)
    counts = counts[~counts.obs_names.str.startswith(COSMX_BACKGROUND)].copy()
    metadata = _only(path, "*_metadata_file.csv")
    cells = read_annotation(metadata, COSMX_KEYS, needed=COSMX_POSITIONS)
    fov = cells.index.str.split("_").str[-1]
    cells = cells.assign(fov=pd.Categorical(fov))
    return without_cosmx_controls(with_annotation(counts, cells, COSMX_POSITIONS, path))


def without_cosmx_controls(adata: ad.AnnData) -> ad.AnnData:
    """Move the controls of CosMx to `obsm`."""
    return without_controls(adata, adata.var_names.str.startswith(COSMX_CONTROLS), "control")


def read_seqfish(path: Path) -> ad.AnnData:
    """Read cells × genes of a seqFISH output, all regions as sections."""
    sections = {}
    for file in sorted(path.glob(f"*{SEQFISH_CELLS}")):
        region = file.name.removesuffix(SEQFISH_CELLS)
        counts = read_counts(_only(path, f"{region}{SEQFISH_COUNTS}"))
        cells = read_annotation(file, ["label"], needed=MERSCOPE_POSITIONS)
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


def _only(path: Path, pattern: str) -> Path:
    """Find the one file of a folder with such a name, also with `.gz`."""
    found = sorted([*path.glob(pattern), *path.glob(f"{pattern}.gz")])
    if not found:
        raise FileNotFoundError(f"{path} is not complete: it has no {pattern}. Copy the whole folder.")
    if len({file.name.removesuffix(".gz") for file in found}) > 1:
        raise ValueError(
            f"{path} has {name_list(file.name for file in found)}; expected one. Put the files of each slide in a "
            "folder of their own."
        )
    return found[0]

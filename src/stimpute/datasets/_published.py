"""Read the published files of the pairs of Abdelaal et al. 2020, which the paper used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy.io import mmread
from scipy.sparse import csr_matrix, hstack

from stimpute.datasets._pairs import Pair, read_osmfish_loom

OSMFISH = "osmFISH_SScortex_mouse_all_cells.loom"
CORTEX = ("Layer 2-3 lateral", "Layer 2-3 medial", "Layer 3-4", "Layer 4", "Layer 5", "Layer 6", "Pia Layer 1")
VISP = tuple(f"mouse_VISp_2018-06-14_{part}.csv" for part in ("exon-matrix", "genes-rows", "samples-columns"))
NO_CLASS = ("No Class", "Low Quality")
SSP = "SSp_exons_matrix.csv"
ZEISEL = "expression_mRNA_17-Aug-2014.txt"
ZEISEL_TOP = 15  # rows that hold all annotations and the first gene
STARMAP = ("cell_barcode_count.npy", "genes.csv")
MERFISH = "Moffitt_and_Bambah-Mukku_et_al_merfish_all_cells.csv"
MERFISH_ANNOTATIONS = 9  # columns before the first gene
MOFFITT = ("matrix.mtx", "genes.tsv", "barcodes.tsv")
MIN_CELLS = 10  # of the reference that have a gene
ROWS_AT_ONCE = 1000
Files = Mapping[str, Path]
PUBLISHED_FILES = {
    "STARmap_AllenVISp": (*STARMAP, *VISP),
    "osmFISH_Zeisel": (OSMFISH, ZEISEL),
    "osmFISH_AllenVISp": (OSMFISH, *VISP),
    "osmFISH_AllenSSp": (OSMFISH, SSP),
    "MERFISH_Moffit": (MERFISH, *MOFFITT),
}


def read_published(files: Files) -> Pair:
    """Read a pair from its published files, by name, with the cells and genes of Table 1."""
    section = next(reader for file, reader in SECTIONS.items() if file in files)
    reference = next(reader for file, reader in REFERENCES.items() if file in files)
    single_cells = reference(files)
    detected = np.asarray((single_cells.X > 0).sum(0)).ravel()
    return section(files), single_cells[:, detected >= MIN_CELLS].copy()


def _osmfish(files: Files) -> AnnData:
    spatial = read_osmfish_loom(files[OSMFISH])
    return spatial[spatial.obs["region"].isin(CORTEX)].copy()


def _starmap(files: Files) -> AnnData:
    counts, genes = (files[file] for file in STARMAP)
    names = pd.read_csv(genes, header=None)[0].astype(str)
    return _annotated(csr_matrix(np.load(counts), dtype=np.float32), names)


def _merfish(files: Files) -> AnnData:
    """Read the first animal, without ambiguous cells; a positive value is molecules per volume."""
    table = pd.read_csv(files[MERFISH], index_col=0)
    table = table[(table["Animal_ID"] == 1) & (table["Cell_class"] != "Ambiguous")]
    genes = table.iloc[:, MERFISH_ANNOTATIONS - 1 :]
    genes = genes.loc[:, ~genes.columns.str.startswith("Blank") & (genes.columns != "Fos")]
    spatial = _annotated(csr_matrix(genes.to_numpy(np.float32)), genes.columns, table.index)
    spatial.obs["cell_type"] = pd.Categorical(table["Cell_class"])
    spatial.obs["slice"] = pd.Categorical(table["Bregma"].astype(str))
    spatial.obsm["spatial"] = table[["Centroid_X", "Centroid_Y"]].to_numpy(float)
    spatial.uns["units"] = "molecules per volume, as published; not counts"
    return spatial


def _visp(files: Files) -> AnnData:
    matrix, rows, columns = (files[file] for file in VISP)
    reference = _genes_by_cells(matrix)
    reference.var_names = pd.read_csv(rows)["gene_symbol"].astype(str).to_numpy()
    classes = pd.read_csv(columns)["class"]
    reference.obs["cell_class"] = pd.Categorical(classes)
    reference = reference[~classes.isin(NO_CLASS).to_numpy()].copy()
    reference.var_names_make_unique()
    return reference


def _ssp(files: Files) -> AnnData:
    return _genes_by_cells(files[SSP])


def _zeisel(files: Files) -> AnnData:
    """Read the cells of the somatosensory cortex.

    Annotations of the cells are above the genes: the first column is empty there, the second one has their names.
    """
    layout = {"sep": "\t", "header": None, "skip_blank_lines": False}
    top = pd.read_csv(files[ZEISEL], nrows=ZEISEL_TOP, **layout)
    first_gene = int(top[0].notna().argmax())
    tissue = top.set_index(1).drop(columns=0).loc["tissue"]
    table = pd.read_csv(files[ZEISEL], skiprows=first_gene, index_col=0, **layout).drop(columns=1)
    is_cortex = (tissue == "sscortex").to_numpy()
    counts = csr_matrix(table.to_numpy(np.float32)[:, is_cortex].T)
    return _annotated(counts, table.index)


def _moffitt(files: Files) -> AnnData:
    matrix, genes, barcodes = (files[file] for file in MOFFITT)
    names = pd.read_csv(genes, sep="\t", header=None)[1]
    cells = pd.read_csv(barcodes, sep="\t", header=None)[0]
    return _annotated(csr_matrix(mmread(matrix).T, dtype=np.float32), names, cells)


def _genes_by_cells(path: Path) -> AnnData:
    """Read a large table with one row per gene, some rows at a time."""
    chunks = list(pd.read_csv(path, index_col=0, chunksize=ROWS_AT_ONCE))
    parts = [csr_matrix(chunk.to_numpy(np.float32)).T for chunk in chunks]
    genes = [gene for chunk in chunks for gene in chunk.index]
    return _annotated(csr_matrix(hstack(parts)), genes, chunks[0].columns)


def _annotated(matrix: csr_matrix, genes: object, cells: object = None) -> AnnData:
    obs = None if cells is None else pd.DataFrame(index=pd.Index(cells).astype(str).rename(None))
    adata = AnnData(matrix, obs=obs, var=pd.DataFrame(index=pd.Index(genes).astype(str).rename(None)))
    adata.var_names_make_unique()
    return adata


SECTIONS: dict[str, Callable[[Files], AnnData]] = {OSMFISH: _osmfish, STARMAP[0]: _starmap, MERFISH: _merfish}
REFERENCES: dict[str, Callable[[Files], AnnData]] = {VISP[0]: _visp, SSP: _ssp, ZEISEL: _zeisel, MOFFITT[0]: _moffitt}

"""Public pairs of a spatial section and a single-cell reference: a local copy first, then the public source."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import anndata as ad
import h5py
import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

DATA_VARIABLE = "STIMPUTE_DATA"
OSMFISH_LOOM = "https://linnarssonlab.org/osmFISH/osmFISH_SScortex_mouse_all_cells.loom"
SSP_H5AD = (
    "https://raw.githubusercontent.com/fdu-wangfeilab/stDiff/"
    "e8981ae2001cb207c0fdcf6920dae0f034aa26a4/datasets/sc/dataset2_seq_33.h5ad"
)
PAPER_RECORD = "https://doi.org/10.5281/zenodo.3967291"  # the pairs of Abdelaal et al. 2020, which the paper used

Read = Callable[[Path], ad.AnnData]


def osmfish_cortex(
    reference: Literal["ssp", "mop500"] = "ssp", *, data_dir: str | Path | None = None
) -> tuple[ad.AnnData, ad.AnnData]:
    """Mouse somatosensory cortex, osmFISH, 4839 cells of 33 genes [Codeluppi2018]_.

    Parameters
    ----------
    reference
        ``"ssp"``: Smart-seq cells of the same region with the 33 genes alone; ``"mop500"``: 10x cells of the motor
        cortex with 500 genes, 16 of them shared.
    data_dir
        Folder that holds ``OSMFISH/spatial.h5ad`` and the reference. Without it, the folder that the environment
        variable ``STIMPUTE_DATA`` names, and then the public source.

    Returns
    -------
    Spatial and reference counts.

    Raises
    ------
    ValueError
        If ``reference`` is unknown.
    FileNotFoundError
        If there is no local copy and the public source cannot be used; says where to get the file by hand.

    References
    ----------
    .. [Codeluppi2018] Codeluppi et al., Nature Methods 15, 932 (2018).
    """
    files = {"ssp": "reference", "mop500": "reference_mop500"}
    if reference not in files:
        raise ValueError(f"reference={reference!r}: expected one of {sorted(files)}.")
    by_hand = f"{OSMFISH_LOOM} (section) and {PAPER_RECORD} (references)"
    spatial = _load("OSMFISH/spatial.h5ad", data_dir, by_hand, OSMFISH_LOOM, _read_osmfish_loom)
    url = SSP_H5AD if reference == "ssp" else None
    return spatial, _load(f"OSMFISH/{files[reference]}.h5ad", data_dir, by_hand, url, ad.read_h5ad)


def merfish_hypothalamus(
    section: str = "spatial", *, data_dir: str | Path | None = None
) -> tuple[ad.AnnData, ad.AnnData]:
    """Mouse preoptic hypothalamus, MERFISH, 5516 cells of 135 genes [Moffitt2018]_.

    The reference is 845 neurons with 16257 genes [Romanov2017]_: it lacks the glia of the section.

    Parameters
    ----------
    section
        Name of the section's file; ``"spatial_animal7_bregma0.16"`` is another animal.
    data_dir
        Folder that holds ``MERFISH_HYPOTHALAMUS``; without it, the folder that ``STIMPUTE_DATA`` names.

    Returns
    -------
    Spatial and reference counts.

    Raises
    ------
    FileNotFoundError
        If there is no local copy; says where to get the data by hand.

    References
    ----------
    .. [Moffitt2018] Moffitt et al., Science 362, eaau5324 (2018).
    .. [Romanov2017] Romanov et al., Nature Neuroscience 20, 176 (2017).
    """
    by_hand = f"https://doi.org/10.5061/dryad.8t8s248 (section), GEO GSE74672 (reference), or {PAPER_RECORD}"
    names = (section, "reference")
    return tuple(_load(f"MERFISH_HYPOTHALAMUS/{n}.h5ad", data_dir, by_hand) for n in names)  # type: ignore[return-value]


def starmap_visual_cortex(*, data_dir: str | Path | None = None) -> tuple[ad.AnnData, ad.AnnData]:
    """Mouse visual cortex, STARmap, 930 cells of 996 genes [Wang2018]_, and 10x cells of the motor cortex.

    Parameters
    ----------
    data_dir
        Folder that holds ``STARMAP_V1``; without it, the folder that ``STIMPUTE_DATA`` names.

    Returns
    -------
    Spatial and reference counts.

    Raises
    ------
    FileNotFoundError
        If there is no local copy; says where to get the data by hand.

    References
    ----------
    .. [Wang2018] Wang et al., Science 361, eaat5691 (2018).
    """
    by_hand = f"https://www.starmapresources.com/data/ (section) or {PAPER_RECORD} (section and a reference)"
    names = ("spatial", "reference")
    return tuple(_load(f"STARMAP_V1/{n}.h5ad", data_dir, by_hand) for n in names)  # type: ignore[return-value]


def _load(
    name: str, data_dir: str | Path | None, by_hand: str, url: str | None = None, read: Read = ad.read_h5ad
) -> ad.AnnData:
    """Read a local copy of ``name``, or download ``url`` and read that."""
    folders = [Path(folder) for folder in (data_dir, os.environ.get(DATA_VARIABLE)) if folder]
    for folder in folders:
        if (folder / name).is_file():
            return ad.read_h5ad(folder / name)
    looked = f"{name} is not in {[str(f) for f in folders]}" if folders else f"No local folder to look for {name}"
    hint = f"Get the data by hand from {by_hand}, save counts as <folder>/{name}, and pass data_dir=<folder>."
    if url is None:
        raise FileNotFoundError(f"{looked}, and there is no file to download directly. {hint}")
    try:
        return _integers(read(_download(url)))
    except (OSError, ValueError, KeyError) as error:
        raise FileNotFoundError(f"{looked}, and {url} could not be used ({error}). {hint}") from error


def _download(url: str) -> Path:
    import pooch

    # No checksum is published for these files; pooch shows the one it found.
    return Path(pooch.retrieve(url, known_hash=None, path=pooch.os_cache("stimpute"), progressbar=False))


def _integers(adata: ad.AnnData) -> ad.AnnData:
    """CSR float32 counts; what is not counts is an error."""
    counts = csr_matrix(adata.X, dtype=np.float32)
    if (counts.data < 0).any() or (counts.data != np.round(counts.data)).any():
        raise ValueError("expected integer counts, found other values")
    adata.X = counts
    return adata


def _read_osmfish_loom(path: Path) -> ad.AnnData:
    """Valid cells of the published loom file, whose matrix is genes by cells."""
    with h5py.File(path) as loom:
        columns = loom["col_attrs"]
        valid = columns["Valid"][:] == 1
        text = lambda values: np.asarray(values).astype(str)
        obs = pd.DataFrame(
            {"cell_type": text(columns["ClusterName"][:]), "region": text(columns["Region"][:])},
            index=text(columns["CellID"][:]),
        )
        var = pd.DataFrame(index=text(loom["row_attrs/Gene"][:]))
        coords = np.c_[columns["X"][:], columns["Y"][:]].astype(float)
        counts = csr_matrix(loom["matrix"][:, :].T[valid], dtype=np.float32)
    return ad.AnnData(counts, obs=obs[valid].astype("category"), var=var, obsm={"spatial": coords[valid]})

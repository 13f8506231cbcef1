"""Load public pairs of a spatial section and a single-cell reference, from a local copy or the public source."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
import pandas as pd
import pooch
from anndata import AnnData
from scipy.sparse import csr_matrix

from stimpute._arguments import check_arguments
from stimpute._atomic import replacing
from stimpute._hdf5 import check_hdf5, read_h5ad
from stimpute._messages import warn
from stimpute.data._expression_checks import check_expression
from stimpute.datasets import _stand_in

DATA_VARIABLE = "STIMPUTE_DATA"
OSMFISH_LOOM = "https://linnarssonlab.org/osmFISH/osmFISH_SScortex_mouse_all_cells.loom"
SSP_H5AD = (
    "https://raw.githubusercontent.com/fdu-wangfeilab/stDiff/"
    "e8981ae2001cb207c0fdcf6920dae0f034aa26a4/datasets/sc/dataset2_seq_33.h5ad"
)
Pair = tuple[AnnData, AnnData]  # a section and its reference
PAPER_RECORD = "https://doi.org/10.5281/zenodo.3967291"  # the pairs of Abdelaal et al. 2020, which the paper used


def osmfish_cortex(
    reference: Literal["ssp", "mop500"] = "ssp", *, data_dir: str | Path | None = None, simulate: bool = False
) -> tuple[AnnData, AnnData]:
    """Load mouse somatosensory cortex: osmFISH, 4839 cells of 33 genes [Codeluppi2018]_.

    Parameters
    ----------
    reference
        `"ssp"`: Smart-seq cells of the same region, with only the 33 genes. `"mop500"`: 10x cells of the motor cortex
        with 500 genes, 16 of them shared.
    data_dir
        Folder that contains `OSMFISH/spatial.h5ad` and the reference. If None, the folder in the environment variable
        `STIMPUTE_DATA` is used, and then the public source.
    simulate
        Whether to return a simulated tissue with the same names, and a warning, if neither can be used.

    Returns
    -------
    Counts of the section and of the reference.

    Raises
    ------
    ValueError
        If `reference` is unknown.
    FileNotFoundError
        If there is no local copy and the public source cannot be used. The message names the place to get the data.

    References
    ----------
    .. [Codeluppi2018] Codeluppi et al., Nature Methods 15, 932 (2018).
    """
    check_arguments(osmfish_cortex, locals())
    files = {"ssp": "OSMFISH/reference.h5ad", "mop500": "OSMFISH/reference_mop500.h5ad"}
    if reference not in files:
        raise ValueError(f"`reference` is {reference!r}; expected one of {sorted(files)}.")
    source = f"{OSMFISH_LOOM} (section) and {PAPER_RECORD} (references)"
    reference_url = SSP_H5AD if reference == "ssp" else None

    def load() -> Pair:
        spatial = _load("OSMFISH/spatial.h5ad", data_dir, source, OSMFISH_LOOM, read_osmfish_loom)
        return spatial, _load(files[reference], data_dir, source, reference_url)

    return _load_or(load, lambda: _stand_in.osmfish_cortex(reference), simulate)


def merfish_hypothalamus(
    section: str = "spatial", *, data_dir: str | Path | None = None, simulate: bool = False
) -> tuple[AnnData, AnnData]:
    """Load mouse preoptic hypothalamus: MERFISH, 5516 cells of 135 genes [Moffitt2018]_.

    The reference has 845 cells, most of them neurons, and 16257 genes [Romanov2017]_. Few of its cells are glia.

    Parameters
    ----------
    section
        Name of the file of the section. `"spatial_animal7_bregma0.16"` is another animal.
    data_dir
        Folder that contains `MERFISH_HYPOTHALAMUS`. If None, the folder in the environment variable `STIMPUTE_DATA`.
    simulate
        Whether to return a simulated tissue with the same names, and a warning, if there is no local copy.

    Returns
    -------
    Counts of the section and of the reference.

    Raises
    ------
    FileNotFoundError
        If there is no local copy. The message names the place to get the data.

    References
    ----------
    .. [Moffitt2018] Moffitt et al., Science 362, eaau5324 (2018).
    .. [Romanov2017] Romanov et al., Nature Neuroscience 20, 176 (2017).
    """
    check_arguments(merfish_hypothalamus, locals())
    source = f"https://doi.org/10.5061/dryad.8t8s248 (section), GEO GSE74672 (reference), or {PAPER_RECORD}"

    def load() -> Pair:
        spatial = _load(f"MERFISH_HYPOTHALAMUS/{section}.h5ad", data_dir, source)
        return spatial, _load("MERFISH_HYPOTHALAMUS/reference.h5ad", data_dir, source)

    return _load_or(load, lambda: _stand_in.merfish_hypothalamus(section), simulate)


def starmap_visual_cortex(*, data_dir: str | Path | None = None, simulate: bool = False) -> tuple[AnnData, AnnData]:
    """Load mouse visual cortex: STARmap, 930 cells of 996 genes [Wang2018]_, and 10x cells of the motor cortex.

    Parameters
    ----------
    data_dir
        Folder that contains `STARMAP_V1`. If None, the folder in the environment variable `STIMPUTE_DATA`.
    simulate
        Whether to return a simulated tissue with the same names, and a warning, if there is no local copy.

    Returns
    -------
    Counts of the section and of the reference.

    Raises
    ------
    FileNotFoundError
        If there is no local copy. The message names the place to get the data.

    References
    ----------
    .. [Wang2018] Wang et al., Science 361, eaat5691 (2018).
    """
    check_arguments(starmap_visual_cortex, locals())
    source = f"https://www.starmapresources.com/data/ (section) or {PAPER_RECORD} (section and a reference)"

    def load() -> Pair:
        spatial = _load("STARMAP_V1/spatial.h5ad", data_dir, source)
        return spatial, _load("STARMAP_V1/reference.h5ad", data_dir, source)

    return _load_or(load, _stand_in.starmap_visual_cortex, simulate)


def _load_or(load: Callable[[], Pair], stand_in: Callable[[], Pair], simulate: bool) -> Pair:
    """Load a pair; if that fails and a stand-in is welcome, warn and simulate one."""
    try:
        return load()
    except FileNotFoundError as error:
        if not simulate:
            raise
        warn(
            f"{error} A simulated tissue takes the place of these data. It has their names of genes and annotations, "
            "but not their values: figures and text about the data do not apply to it.",
        )
        return stand_in()


def _load(
    name: str,
    data_dir: str | Path | None,
    source: str,
    url: str | None = None,
    read: Callable[[Path], AnnData] = read_h5ad,
) -> AnnData:
    """Read the local copy of a file, or download it and read that."""
    folders = [Path(folder) for folder in (data_dir, os.environ.get(DATA_VARIABLE)) if folder]
    for folder in folders:
        if (folder / name).is_file():
            return read_h5ad(folder / name)
    found = f"{name} is not in {[str(folder) for folder in folders]}"
    if not folders:
        found = f"There is no local folder to look for {name}"
    advice = f"Get the data by hand from {source}, save counts as <folder>/{name}, and pass data_dir=<folder>."
    if url is None:
        raise FileNotFoundError(f"{found}, and there is no file to download directly. {advice}")
    path = None
    try:
        path = _download(url)
        adata = _as_counts(read(path))
        _keep_checksum(path, url)
        return adata
    except (OSError, ValueError, KeyError) as error:
        if path is not None and not _checksum_of(path).is_file():
            path.unlink(missing_ok=True)  # such as the page of a network that asks for a login: ask again the next time
        raise FileNotFoundError(f"{found}, and {url} could not be used ({error}). {advice}") from error


def _download(url: str) -> Path:
    """Download a file whose source publishes no checksum, or take it from the cache.

    A file that was changed since its checksum was kept is downloaded again, and refused if the source no longer has
    what was downloaded first.
    """
    folder = Path(pooch.os_cache("stimpute"))
    name = f"{hashlib.sha256(url.encode()).hexdigest()[:16]}-{url.rsplit('/', 1)[-1]}"
    checksum = _checksum_of(folder / name)
    known = checksum.read_text(encoding="utf-8") if checksum.is_file() else None
    return Path(pooch.retrieve(url, known_hash=known, fname=name, path=folder, progressbar=False))


def _keep_checksum(path: Path, url: str) -> None:
    """Keep the checksum of a first download beside the file, once it could be read."""
    checksum = _checksum_of(path)
    if not checksum.is_file():
        found = pooch.file_hash(path)
        with replacing(checksum) as temporary:
            temporary.write_text(found, encoding="utf-8")
        warn(
            f"No checksum is published for {url}, so that the file could not be verified. Its SHA-256 is {found}; "
            f"from now on the file is compared with it (it is kept in {checksum}).",
        )


def _checksum_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _as_counts(adata: AnnData) -> AnnData:
    """Convert `X` to CSR, float32; raise ValueError if it does not hold counts."""
    check_expression(adata.X, "counts", adata.obs_names, adata.var_names)
    adata.X = csr_matrix(adata.X, dtype=np.float32)
    return adata


def read_osmfish_loom(path: Path) -> AnnData:
    """Read the valid cells of the published loom file, whose matrix has shape (n_genes, n_cells)."""
    check_hdf5(path)
    with h5py.File(path) as loom:
        columns = loom["col_attrs"]
        is_valid = columns["Valid"][:] == 1
        labels = {"cell_type": _texts(columns["ClusterName"]), "region": _texts(columns["Region"])}
        obs = pd.DataFrame(labels, index=_texts(columns["CellID"]))
        var = pd.DataFrame(index=_texts(loom["row_attrs/Gene"]))
        coordinates = np.column_stack([columns["X"][:], columns["Y"][:]]).astype(float)
        counts = csr_matrix(loom["matrix"][:, :].T[is_valid], dtype=np.float32)
    obs = obs[is_valid].astype("category")
    return AnnData(counts, obs=obs, var=var, obsm={"spatial": coordinates[is_valid]})


def _texts(dataset: Any) -> np.ndarray:
    """Read an HDF5 dataset as text."""
    return np.asarray(dataset[:]).astype(str)

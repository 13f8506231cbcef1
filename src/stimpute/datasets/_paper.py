"""Load the pairs that the paper used, from files that somebody has, or from the address that the paper gives."""

from __future__ import annotations

import os
from pathlib import Path

import pooch
from anndata import AnnData

from stimpute._arguments import check_arguments
from stimpute.datasets._formats import read
from stimpute.datasets._pairs import DATA_VARIABLE, PAPER_RECORD, Pair
from stimpute.datasets._published import PUBLISHED_FILES, read_published

RECORD = "doi:10.5281/zenodo.3967291/"
GEO = "https://www.ncbi.nlm.nih.gov/geo/query/acc.cgi?acc="
TONSIL = "https://www.10xgenomics.com/datasets/human-tonsil-data-xenium-human-multi-tissue-and-cancer-panel-1-standard"
TESTIS = "https://www.dropbox.com/s/ygzpj0d0oh67br0/Testis_Slideseq_Data.zip?dl=0"
SOURCES = {
    **dict.fromkeys(PUBLISHED_FILES, PAPER_RECORD),
    "MouseBrain": "the data set of the paper's reference 35 (Abdelaal et al., Zenodo 2024; the paper gives no address)",
    "Dia_GSE112393": f"{TESTIS} (section, diabetic mouse) and {GEO}GSE112393 (reference)",
    "WT_GSE112393": f"{TESTIS} (section, wild type) and {GEO}GSE112393 (reference)",
    "Xenium_GSM5051495": f"the output bundle at {TONSIL} (section) and {GEO}GSM5051495 (reference)",
}


def paper_pairs() -> tuple[str, ...]:
    """Return the names of the pairs in Table 1 of the paper."""
    return tuple(SOURCES)


def paper_pair(name: str, *, data_dir: str | Path | None = None, download: bool = False) -> tuple[AnnData, AnnData]:
    """Load a section and a reference that the paper used [Zeng2024b]_.

    Files are looked for in the folder `<data_dir>/<name>`:

    1. `spatial.*` and `reference.*` in any format that :func:`stimpute.datasets.read` knows, or folders `spatial` and
       `reference`. They are returned as they are.
    2. The published files of the five pairs of the Zenodo record, in any folder below. Cells and genes are chosen as in
       Table 1 of the paper: the cortex of osmFISH, the first animal of MERFISH without ambiguous cells, reference cells
       that have a class, and genes that at least ten reference cells have.

    The layout of the published files was taken from the public scripts that read them. It was tested on small files of
    that layout, not on the published ones.

    Parameters
    ----------
    name
        One of :func:`paper_pairs`.
    data_dir
        Folder that contains a folder `name`. If None, the folder in the environment variable `STIMPUTE_DATA`.
    download
        Whether to download the archives of the Zenodo record that are named after the pair, if there are no files.
        Checksums are those of the record. Without it, nothing is downloaded.

    Returns
    -------
    Section and reference, `X` sparse. Both are counts, except for the section of `"MERFISH_Moffit"`, whose published
    values are molecules per volume (`uns["units"]`). The section of `"STARmap_AllenVISp"` has no positions, because the
    published outlines of cells do not say which row of the counts they belong to.

    Raises
    ------
    ValueError
        If the name is unknown.
    FileNotFoundError
        If there are no files. The message says what to get from where, and how to save it.

    References
    ----------
    .. [Zeng2024b] Zeng et al., Communications Biology 7, 1271 (2024), Table 1 and "Data availability".
    """
    check_arguments(paper_pair, locals())
    if name not in SOURCES:
        raise ValueError(f"`name` is {name!r}; expected one of {list(SOURCES)}.")
    parent = data_dir or os.environ.get(DATA_VARIABLE)
    folder = Path(parent) / name if parent else None
    found = _read_folder(name, folder)
    if found is None and download and name in PUBLISHED_FILES:
        found = _read_folder(name, _download_archives(name))
    if found is None:
        raise FileNotFoundError(_missing(name, folder, download))
    return found


def _read_folder(name: str, folder: Path | None) -> Pair | None:
    """Read a pair from a folder; None if it is not there."""
    if folder is None or not folder.is_dir():
        return None
    spatial, reference = (_only(folder, side) for side in ("spatial", "reference"))
    if spatial is not None and reference is not None:
        return read(spatial), read(reference)
    if name not in PUBLISHED_FILES:
        return None
    files = {file: path for file in PUBLISHED_FILES[name] for path in sorted(folder.rglob(file))[:1]}
    return read_published(files) if len(files) == len(PUBLISHED_FILES[name]) else None


def _only(folder: Path, side: str) -> Path | None:
    """Return the file or folder of one side, whatever its format."""
    found = sorted(path for path in folder.iterdir() if path.name == side or path.name.startswith(f"{side}."))
    if len(found) > 1:
        raise ValueError(f"{folder} holds {[path.name for path in found]}; expected one of them for {side!r}.")
    return found[0] if found else None


def _download_archives(name: str) -> Path:
    """Download what the record has for a pair, with its checksums, and return the folder with the files."""
    folder = Path(pooch.os_cache("stimpute")) / "paper" / name
    record = pooch.create(path=folder, base_url=RECORD, registry=None)
    try:
        record.load_registry_from_doi()
        files = [file for file in record.registry if name.lower() in file.lower()]
        for file in files:
            record.fetch(file, processor=pooch.Unzip(extract_dir=".") if file.endswith(".zip") else None)
    except (OSError, ValueError) as error:
        raise FileNotFoundError(f"{PAPER_RECORD} could not be used ({error}). {_advice(name)}") from error
    if not files:
        raise FileNotFoundError(
            f"No file of {PAPER_RECORD} is named after {name!r}; it has {sorted(record.registry)}. {_advice(name)}"
        )
    return folder


def _missing(name: str, folder: Path | None, download: bool) -> str:
    found = f"{folder} does not hold the pair {name!r}" if folder else f"There is no local folder to look for {name!r}"
    ask = ", or pass download=True" if name in PUBLISHED_FILES and not download else ""
    return f"{found}. {_advice(name)}{ask}."


def _advice(name: str) -> str:
    files = f" Of the archive, these files are read: {list(PUBLISHED_FILES[name])}." if name in PUBLISHED_FILES else ""
    return (
        f"Get the data by hand from {SOURCES[name]}.{files} Save them in <folder>/{name}, as spatial.h5ad and "
        "reference.h5ad or in another format of `stimpute.datasets.read`, and pass data_dir=<folder>"
    )

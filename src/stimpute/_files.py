"""What the command line reads and writes, checked before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import anndata as ad


def read_dataset(path: Path, proteins: Path | None = None) -> ad.AnnData:
    """Read .h5ad or .zarr, and relate its genes by proteins if there are any.

    Raises
    ------
    FileNotFoundError
        If a file does not exist.
    ValueError
        If it cannot be read.
    """
    import anndata as ad

    check_inputs(path)
    try:
        adata = ad.read_zarr(path) if path.suffix == ".zarr" else ad.read_h5ad(path)
    except (OSError, LookupError, AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"{path} cannot be read; expected an AnnData, .h5ad or .zarr. It says: {error}") from error
    if proteins is not None:
        from stimpute import pp

        check_inputs(proteins)
        pp.protein_graph(adata, proteins)
    return adata


def read_names(genes: str | None) -> list[str] | None:
    """Gene names from a comma-separated list, or from a file with one a line."""
    if genes is None:
        return None
    if Path(genes).is_file():
        return list(dict.fromkeys(read_text(Path(genes)).split()))
    return [name.strip() for name in genes.split(",") if name.strip()]


def read_text(path: Path) -> str:
    """A text file.

    Raises
    ------
    FileNotFoundError
        If it does not exist.
    ValueError
        If it is not text.
    """
    check_inputs(path)
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text; expected gene names, one a line.") from error


def is_fasta(path: Path) -> bool:
    """Whether a file holds proteins, by its name.

    Raises
    ------
    FileNotFoundError
        If it does not exist.
    """
    check_inputs(path)
    return bool({".fasta", ".fa", ".faa"} & set(path.suffixes))


def check_inputs(*paths: Path | None) -> None:
    """Refuse what is not there, before the libraries are loaded that would read it.

    Raises
    ------
    FileNotFoundError
        If a file does not exist.
    """
    for path in paths:
        if path is not None and not path.exists():
            raise FileNotFoundError(f"{path} does not exist.")


def check_outputs(*outputs: tuple[str, Path | None, tuple[str, ...]], new: tuple[Path | None, ...] = ()) -> None:
    """Refuse what could not be written, before time is spent.

    Parameters
    ----------
    outputs
        Name of the option, path, and how the path may end (any way if empty).
    new
        Paths that must not exist.

    Raises
    ------
    FileExistsError, FileNotFoundError, ValueError
        If a path exists that must not, its folder does not exist, or it ends in another way.
    """
    for option, path, endings in outputs:
        if path is None:
            continue
        if endings and path.suffix not in endings:
            raise ValueError(f"{option} is {path}; expected a name that ends in {' or '.join(endings)}.")
        if not path.parent.is_dir():
            raise FileNotFoundError(f"{option} is {path}, and {path.parent} does not exist. Make the folder first.")
    for path in new:
        if path is not None and path.exists():
            raise FileExistsError(f"{path} exists. Name another, or remove it first.")

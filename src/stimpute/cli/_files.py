"""Read input files, and check all paths before anything is trained."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from stimpute._names import safe_names
from stimpute._reading import readable
from stimpute.cli._options import split_names

if TYPE_CHECKING:
    import anndata as ad

TEXT_ENDINGS = (".txt", ".csv", ".tsv")
FASTA_ENDINGS = (".fasta", ".fa", ".faa")


def read_adata(path: Path) -> ad.AnnData:
    """Read a dataset in any format that :func:`stimpute.datasets.read` knows.

    Raises
    ------
    ImportError
        If the format needs an extra that is not installed.
    ValueError
        If the file cannot be read.
    """
    from stimpute import datasets

    with readable(path, "Expected an AnnData, or a file that `stimpute.datasets.read` reads."):
        return datasets.read(path)


def read_gene_list(genes: str | None) -> list[str] | None:
    """Read gene names from a list separated by commas, or from a file with one name per line.

    Raises
    ------
    FileNotFoundError
        If the text is the name of a text file that does not exist.
    ValueError
        If the file is not text.
    """
    if genes is None:
        return None
    if os.path.isfile(genes):  # unlike `Path.is_file`, False for a list that is too long for a file name
        return read_lines(Path(genes))
    if genes.endswith(TEXT_ENDINGS) and "," not in genes:
        raise FileNotFoundError(f"--genes is {genes}, which does not exist.")
    return split_names(genes)


def read_lines(path: Path) -> list[str]:
    """Read the lines of a text file, each once, without empty ones.

    Raises
    ------
    ValueError
        If the file is not text.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text; expected one gene name per line.") from error
    lines = [line.strip() for line in text.splitlines()]
    return list(dict.fromkeys(line for line in lines if line))


def is_fasta(path: Path) -> bool:
    """Return whether a file holds protein sequences, judged by its name."""
    return any(suffix in FASTA_ENDINGS for suffix in path.suffixes)


def check_inputs(*paths: Path | None) -> None:
    """Check that input files exist.

    Raises
    ------
    FileNotFoundError
        If one does not.
    """
    for path in paths:
        if path is not None and not path.exists():
            raise FileNotFoundError(f"{path} does not exist.")


def check_output_file(
    option: str,
    path: Path | None,
    endings: tuple[str, ...],
    *,
    new: bool = False,
    inputs: Iterable[Path | None] = (),
) -> None:
    """Check that a file can be written.

    Parameters
    ----------
    option
        Option that names the file, for the messages.
    path
        The file; None passes.
    endings
        Allowed endings.
    new
        Whether the file must not exist.
    inputs
        Files that are read, which must not be replaced.

    Raises
    ------
    ValueError
        If the name ends in another way, or is that of an input.
    OSError
        If the folder does not exist or is read-only, or something of that name is in the way.
    """
    if path is None:
        return
    if path.suffix not in endings:
        raise ValueError(f"{option} is {path}; expected a name that ends in {' or '.join(endings)}.")
    if path.exists() and any(given is not None and path.samefile(given) for given in inputs):
        raise ValueError(f"{option} is {path}, which is an input too. Give another name.")
    _check_writable(option, path, path.parent)
    if new and path.exists():
        raise FileExistsError(f"{option} is {path}, which exists. Give another name, or remove it first.")
    if path.is_dir():
        raise IsADirectoryError(f"{option} is {path}, which is a folder. Give another name.")


def check_output_folder(option: str, path: Path | None, *, new: bool = False) -> None:
    """Check that a folder can be made, or written to; see :func:`check_output_file`.

    Raises
    ------
    OSError
        If it is read-only, its parent does not exist or is read-only, or something of that name is in the way.
    """
    if path is None:
        return
    if new and path.exists():
        raise FileExistsError(f"{option} is {path}, which exists. Give another name, or remove it first.")
    if path.exists() and not path.is_dir():
        raise NotADirectoryError(f"{option} is {path}, which is a file. Give the name of a folder.")
    _check_writable(option, path, path if path.is_dir() else path.parent)


def check_different(**outputs: Path | None) -> None:
    """Check that no two outputs, by the names of their options, have the same path.

    Raises
    ------
    ValueError
        If two have.
    """
    options: dict[Path, str] = {}
    for name, path in outputs.items():
        if path is not None:
            option = f"--{name.replace('_', '-')}"
            other = options.setdefault(path.absolute(), option)
            if other != option:
                raise ValueError(f"{other} and {option} are both {path}. Give one of them another name.")


def _check_writable(option: str, path: Path, folder: Path) -> None:
    """Check that the folder that will hold a path exists and can be written to."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{option} is {path}, but the folder {folder} does not exist. Make it first.")
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"{option} is {path}, but the folder {folder} cannot be written to.")


def figure_names(genes: Iterable[str]) -> dict[str, str]:
    """Make a safe and unique file name for each gene."""
    return {gene: f"{name}.png" for gene, name in safe_names(genes).items()}

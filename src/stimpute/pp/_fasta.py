"""Read and format protein sequences in FASTA."""

from __future__ import annotations

import gzip
import os
import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Literal, get_args

import pandas as pd

from stimpute._arguments import check_arguments
from stimpute._messages import name_list, warn
from stimpute.pp._embedding_files import UNKNOWN

Duplicates = Literal["error", "first", "longest"]

GENE = re.compile(r"(?:\bGN=|\bgene=|\bgene_symbol:)([^\s\]]+)")  # NCBI writes [gene=OR4F5]
# The seventh of the parts between bars; the sixth in old releases, whose first part is the transcript.
GENCODE = re.compile(r"^ENS[A-Z]*(?:P\d[^|]*\|[^|]*|T\d[^|]*)\|(?:[^|]*\|){4}([^|\s]+)")
ACCESSION = re.compile(r"^(?:sp|tr)\|([^|\s]+)\|")
ACCESSION_OF_PROTEIN = r"(?:[NXYWA]P_\d+|ENS[A-Z]*P\d+)(?:\.\d+)?"  # of NCBI and Ensembl
RELEASE = re.compile(r"\brelease=(\S+)")
GZIP_MAGIC = b"\x1f\x8b"  # first bytes of every gzip file
LINE_LENGTH = 60
MAX_LINE = 2**20  # characters that are read at once
MAX_CHARACTERS = 2**30  # fifty proteomes of a mammal; what is larger is a mistake or an attack
SHOWN_CHARACTERS = 30  # of a wrong line, in a message


def read_fasta(path: str | os.PathLike[str], *, duplicates: Duplicates = "error") -> pd.DataFrame:
    """Read protein sequences from a FASTA file, plain or gzipped.

    The gene is the word after `GN=` (UniProt), `gene=` (coding sequences of NCBI, and the cache of
    :func:`fetch_proteins`) or `gene_symbol:` (Ensembl) in the header, or the seventh part between bars (GENCODE; the
    sixth if the first is a transcript); otherwise the first word, which is an accession in the protein files of NCBI.
    The accession is the middle part of `sp|P51448|RORB_MOUSE`, otherwise the first word.

    Parameters
    ----------
    path
        FASTA file.
    duplicates
        What to do if a gene has several different sequences, such as isoforms: `"error"` raises an error that lists
        these genes, `"first"` and `"longest"` keep one sequence.

    Returns
    -------
    Table indexed by gene with columns `accession`, `sequence` and `release`.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If the file is not FASTA, a record has no sequence, or a gene has several sequences and `duplicates="error"`.

    Warns
    -----
    UserWarning
        If headers name no genes, but have an accession of NCBI or Ensembl in place of them.
    """
    check_arguments(read_fasta, locals())
    if duplicates not in get_args(Duplicates):
        raise ValueError(f"`duplicates` is {duplicates!r}; expected 'error', 'first' or 'longest'.")
    rows = [_record(header, sequence) for header, sequence in fasta_records(path)]
    if not rows:
        raise ValueError(f"{path} has no records; expected lines '>gene', each followed by a sequence.")
    empty = [row["gene"] for row in rows if not row["sequence"]]
    if empty:
        raise ValueError(
            f"{len(empty)} records of {path} have no sequence ({name_list(empty)}); remove or complete them."
        )
    table = pd.DataFrame(rows).drop_duplicates(["gene", "sequence"])
    unnamed = table.loc[table["gene"].str.fullmatch(ACCESSION_OF_PROTEIN), "gene"]
    if len(unnamed):
        warn(
            f"{len(unnamed)} of {len(table)} records of {path} name no gene, and have their accession as its name "
            f"({name_list(unnamed)}). Rename the rows of the table before you use it."
        )
    repeated = table.loc[table["gene"].duplicated(), "gene"].unique()
    if len(repeated) and duplicates == "error":
        raise ValueError(
            f"{len(repeated)} genes of {path} have several sequences ({name_list(repeated)}); expected one. Keep one, "
            'or choose one by `stimpute.pp.read_fasta(path, duplicates="longest")` or "first".'
        )
    if duplicates == "longest":
        longest_first = (-table["sequence"].str.len()).argsort(kind="stable")
        table = table.iloc[longest_first]
    return table.drop_duplicates("gene").sort_index().set_index("gene")


def fasta_records(path: str | os.PathLike[str]) -> Iterator[tuple[str, str]]:
    """Yield the header (without `>`) and the sequence of each record; raise ValueError if the file is not FASTA."""
    # gzip is recognized by content, because file names are often wrong.
    with Path(path).open("rb") as raw:
        is_gzip = raw.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    opener = gzip.open if is_gzip else open
    header: str | None = None
    parts: list[str] = []
    with opener(path, "rt", encoding="utf-8-sig", errors="replace") as file:
        for number, line in enumerate(_lines(file, path), start=1):
            text = line.strip()
            if text.startswith(">"):
                if header is not None:
                    yield header, "".join(parts)
                header = text[1:].strip() or f"line{number}"
                parts = []
            elif text and not text.startswith(";"):
                if header is None:
                    shown = text[:SHOWN_CHARACTERS]
                    raise ValueError(f"Line {number} of {path} is {shown!r}; expected FASTA, which begins with '>'.")
                parts.append("".join(text.split()))
    if header is not None:
        yield header, "".join(parts)


def _lines(file: IO[str], path: str | os.PathLike[str]) -> Iterator[str]:
    """Yield the lines of a text, very long ones in parts.

    Raises
    ------
    ValueError
        If the file is damaged, or larger than any proteome.
    """
    n_characters = 0
    while True:
        try:
            line = file.readline(MAX_LINE)
        except (EOFError, OSError, zlib.error) as error:
            raise ValueError(f"{path} is damaged: {error}. Fetch it again.") from error
        if not line:
            return
        n_characters += len(line)
        if n_characters > MAX_CHARACTERS:
            raise ValueError(f"{path} has more than {MAX_CHARACTERS:,} characters. Keep only the genes you need.")
        yield line


def fasta_text(records: Iterable[tuple[str, str]]) -> str:
    """Format records (header, sequence) as FASTA with 60 residues per line."""
    lines = []
    for header, sequence in records:
        lines.append(f">{header}\n")
        for start in range(0, len(sequence), LINE_LENGTH):
            lines.append(f"{sequence[start : start + LINE_LENGTH]}\n")
    return "".join(lines)


def _record(header: str, sequence: str) -> dict[str, str]:
    """Make a row of the table from a record."""
    first_word = header.split()[0]
    return {
        "gene": _find(GENE, header, _find(GENCODE, header, first_word)),
        "accession": _find(ACCESSION, header, first_word),
        "sequence": sequence,
        "release": _find(RELEASE, header, UNKNOWN),
    }


def _find(pattern: re.Pattern[str], header: str, default: str) -> str:
    match = pattern.search(header)
    return match.group(1) if match else default

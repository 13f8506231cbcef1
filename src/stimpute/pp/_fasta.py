"""Protein sequences on disk, and the table that carries them in memory."""

from __future__ import annotations

import gzip
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import pandas as pd

from ._embeddings import UNKNOWN, shorten

GENE = re.compile(r"(?:\bGN=|\bgene=|\bgene_symbol:)(\S+)")
ACCESSION = re.compile(r"^(?:sp|tr)\|([^|\s]+)\|")
RELEASE = re.compile(r"\brelease=(\S+)")


def read_fasta(
    path: str | os.PathLike[str], *, duplicates: Literal["error", "first", "longest"] = "error"
) -> pd.DataFrame:
    """Read protein sequences from a FASTA file, plain or gzipped.

    The gene is what the header says after `GN=` (UniProt), `gene=` (NCBI, and the cache of :func:`fetch_proteins`)
    or `gene_symbol:` (Ensembl), else the first word. The accession is the middle of `sp|P51448|RORB_MOUSE`, else
    the first word.

    Parameters
    ----------
    path
        The file.
    duplicates
        What to do where a gene has several sequences, such as isoforms: stop and list them, or take the first or
        longest.

    Returns
    -------
    Indexed by gene: `accession`, `sequence`, `release`.

    Raises
    ------
    ValueError
        If the file is not FASTA, a record has no sequence, or a gene has several and `duplicates="error"`.
    """
    if duplicates not in ("error", "first", "longest"):
        raise ValueError(f"Found duplicates={duplicates!r}, expected 'error', 'first' or 'longest'.")
    rows = [
        {
            "gene": _first(GENE, header) or header.split()[0],
            "accession": _first(ACCESSION, header) or header.split()[0],
            "sequence": sequence,
            "release": _first(RELEASE, header) or UNKNOWN,
        }
        for header, sequence in fasta_records(path)
    ]
    if not rows:
        raise ValueError(f"{path} holds no record, expected lines '>gene' each followed by a sequence.")
    empty = [row["gene"] for row in rows if not row["sequence"]]
    if empty:
        raise ValueError(
            f"{len(empty)} records of {path} have no sequence ({shorten(empty)}); remove or complete them."
        )
    table = pd.DataFrame(rows).drop_duplicates(["gene", "sequence"])
    twice = table.loc[table["gene"].duplicated(), "gene"].unique()
    if len(twice) and duplicates == "error":
        raise ValueError(
            f"{len(twice)} genes of {path} have several sequences ({shorten(twice)}), expected one; keep one, or "
            "pass duplicates='longest' or 'first'."
        )
    if duplicates == "longest":
        table = table.iloc[(-table["sequence"].str.len()).argsort(kind="stable")]
    return table.drop_duplicates("gene").sort_index().set_index("gene")


def fasta_records(path: str | os.PathLike[str]) -> Iterator[tuple[str, str]]:
    """Yield header (without `>`) and sequence of every record; gzip is known by its first bytes, not by the name."""
    with Path(path).open("rb") as raw:
        opened = gzip.open if raw.read(2) == b"\x1f\x8b" else open
    header: str | None = None
    parts: list[str] = []
    with opened(path, "rt", encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            text = line.strip()
            if text.startswith(">"):
                if header is not None:
                    yield header, "".join(parts)
                header, parts = text[1:].strip() or f"line{number}", []
            elif text and not text.startswith(";"):
                if header is None:
                    raise ValueError(
                        f"Line {number} of {path} is {text[:30]!r}, expected FASTA, which begins with '>'."
                    )
                parts.append("".join(text.split()))
    if header is not None:
        yield header, "".join(parts)


def fasta_text(records: Iterable[tuple[str, str]]) -> str:
    """Format records (header, sequence) with sixty residues a line."""
    lines = (line for header, sequence in records for line in (f">{header}", *re.findall(".{1,60}", sequence)))
    return "".join(f"{line}\n" for line in lines)


def _first(pattern: re.Pattern[str], header: str) -> str | None:
    match = pattern.search(header)
    return match.group(1) if match else None

"""What UniProt answered, on disk: sequences as FASTA, and beside it a table of the genes that have none."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ._fasta import fasta_records, fasta_text

COLUMNS = ("accession", "sequence", "release", "status", "match", "reviewed", "candidates")
_FIELD = re.compile(r"(\w+)=(\S*)")
_LACKING = ("gene", "taxon", "status", "candidates")


class ProteinCache:
    """Answers for genes of one taxon.

    A record's header holds all that is known of it, its length included: a record that was cut by a kill is
    recognised, dropped, and asked for again.

    Parameters
    ----------
    path
        The FASTA file; need not exist. The table is `path` with the suffix `.missing.tsv`.
    taxon
        NCBI taxon id; records of others are left alone.
    """

    def __init__(self, path: Path, taxon: int) -> None:
        self.path, self.taxon = path, taxon
        self.missing_path = path.with_suffix(".missing.tsv")
        self._rows = {row["gene"]: row for row in (*self._read_missing(), *self._read_found())}

    def answers(self, gene: str, accession: str | None) -> bool:
        """Whether this gene, with this accession if the user chose one, need not be asked for."""
        row = self._rows.get(gene)
        if row is None:
            return False
        if accession is None:
            return row["match"] != "accession"
        return row["accession"] == accession or (row["status"] == "not found" and row["candidates"] == accession)

    @property
    def table(self) -> pd.DataFrame:
        """Everything known, indexed by gene."""
        return pd.DataFrame.from_dict(self._rows, orient="index", columns=list(COLUMNS)).rename_axis("gene")

    def append(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write one batch of answers, and make sure that they are on disk."""
        rows = [dict(row) for row in rows]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        found = [row for row in rows if row["status"] == "found"]
        _write(self.path, fasta_text((self._header(row), str(row["sequence"])) for row in found))
        lacking = [{**row, "taxon": self.taxon} for row in rows if row["status"] != "found"]
        _write(self.missing_path, "".join("\t".join(str(row[name]) for name in _LACKING) + "\t.\n" for row in lacking))
        self._rows.update({row["gene"]: row for row in rows})

    def _header(self, row: Mapping[str, Any]) -> str:
        fields = {
            "gene": row["gene"],
            "taxon": self.taxon,
            "match": row["match"],
            "reviewed": "yes" if row["reviewed"] else "no",
            "length": len(row["sequence"]),
            "release": row["release"],
            "candidates": row["candidates"].replace(" ", ","),
        }
        return f"{row['accession']} " + " ".join(f"{name}={value}" for name, value in fields.items())

    def _read_found(self) -> Iterable[dict[str, Any]]:
        if not self.path.exists():
            return
        for header, sequence in fasta_records(self.path):
            fields = dict(_FIELD.findall(header))
            if (
                fields.get("taxon") == str(self.taxon)
                and fields.get("length") == str(len(sequence))
                and "gene" in fields
            ):
                yield {
                    "gene": fields["gene"],
                    "accession": header.split()[0],
                    "sequence": sequence,
                    "release": fields.get("release", ""),
                    "status": "found",
                    "match": fields.get("match", ""),
                    "reviewed": fields.get("reviewed") == "yes",
                    "candidates": fields.get("candidates", "").replace(",", " "),
                }

    def _read_missing(self) -> Iterable[dict[str, Any]]:
        if not self.missing_path.exists():
            return
        for line in self.missing_path.read_text(encoding="utf-8").splitlines():
            cells = line.split("\t")
            if len(cells) == len(_LACKING) + 1 and cells[-1] == "." and cells[1] == str(self.taxon):
                gene, _, status, candidates, _ = cells
                blank = {"accession": "", "sequence": "", "release": "", "match": "", "reviewed": False}
                yield {"gene": gene, **blank, "status": status, "candidates": candidates}


def _write(path: Path, text: str) -> None:
    """Append text, beginning a new line if a kill left a broken one."""
    with path.open("ab+") as file:
        size = file.seek(0, os.SEEK_END)
        if size and text:
            file.seek(size - 1)
            text = text if file.read(1) == b"\n" else "\n" + text
        file.write(text.encode("utf-8"))
        file.flush()
        os.fsync(file.fileno())

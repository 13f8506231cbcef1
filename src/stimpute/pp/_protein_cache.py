"""Keep the answers of UniProt on disk: sequences as FASTA, and a table of the genes without a sequence."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from stimpute.pp._fasta import fasta_records, fasta_text

FIELD = re.compile(r"(\w+)=(\S*)")
N_CELLS = 5  # of a line of the table: gene, taxon, status, candidates, end
BY_ACCESSION = "accession"  # the match of a gene whose entry the user chose
END_OF_LINE = "."  # last cell of a complete line: a line that was cut when a run was killed lacks it


@dataclass(frozen=True)
class GeneAnswer:
    """Answer of UniProt for a gene, see :func:`fetch_proteins` for the fields."""

    gene: str
    accession: str = ""
    sequence: str = ""
    release: str = ""
    status: str = "found"
    match: str = ""
    reviewed: bool = False
    candidates: str = ""


class ProteinCache:
    """Answers for genes of one taxon, in memory and on disk.

    The header of a record holds all fields and the length of the sequence: a record that was cut when a run was killed
    is recognized, dropped, and requested again. Records of other taxa are ignored. The table of genes without a
    sequence is beside the FASTA file, with the suffix `.missing.tsv`.
    """

    def __init__(self, path: Path, taxon: int) -> None:
        self.path = path
        self.taxon = taxon
        self.missing_path = path.with_suffix(".missing.tsv")
        # A sequence overrides an earlier answer that there is none.
        answers = [*self._read_missing(), *self._read_found()]
        self._answers = {answer.gene: answer for answer in answers}

    def has_answer(self, gene: str, accession: str | None) -> bool:
        """Return whether there is an answer for a gene, with the accession that the user chose, if any."""
        answer = self._answers.get(gene)
        if answer is None:
            return False
        if accession is None:
            return answer.match != BY_ACCESSION
        was_not_found = answer.status == "not found" and answer.candidates == accession
        return was_not_found or answer.accession == accession

    def table(self, genes: Iterable[str]) -> pd.DataFrame:
        """Return the answers for some genes, one per row, indexed by gene."""
        return pd.DataFrame([vars(self._answers[gene]) for gene in genes]).set_index("gene")

    def append(self, answers: Iterable[GeneAnswer]) -> None:
        """Add answers to the cache, and write them to disk."""
        answers = list(answers)
        records = []
        missing = []
        for answer in answers:
            if answer.status == "found":
                records.append((self._header(answer), answer.sequence))
            elif answer.match != BY_ACCESSION:  # a mistyped accession says nothing of the gene
                cells = (answer.gene, str(self.taxon), answer.status, answer.candidates, END_OF_LINE)
                missing.append("\t".join(cells) + "\n")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        _append_text(self.path, fasta_text(records))
        _append_text(self.missing_path, "".join(missing))
        self._answers.update({answer.gene: answer for answer in answers})

    def _header(self, answer: GeneAnswer) -> str:
        reviewed = "yes" if answer.reviewed else "no"
        candidates = answer.candidates.replace(" ", ",")
        return (
            f"{answer.accession} gene={answer.gene} taxon={self.taxon} match={answer.match} reviewed={reviewed} "
            f"length={len(answer.sequence)} release={answer.release} candidates={candidates}"
        )

    def _read_found(self) -> Iterator[GeneAnswer]:
        if not self.path.exists():
            return
        for header, sequence in fasta_records(self.path):
            fields = dict(FIELD.findall(header))
            is_complete = fields.get("length") == str(len(sequence))
            if fields.get("taxon") == str(self.taxon) and is_complete and "gene" in fields:
                yield GeneAnswer(
                    gene=fields["gene"],
                    accession=header.split()[0],
                    sequence=sequence,
                    release=fields.get("release", ""),
                    match=fields.get("match", ""),
                    reviewed=fields.get("reviewed") == "yes",
                    candidates=fields.get("candidates", "").replace(",", " "),
                )

    def _read_missing(self) -> Iterator[GeneAnswer]:
        if not self.missing_path.exists():
            return
        for line in self.missing_path.read_text(encoding="utf-8").splitlines():
            cells = line.split("\t")
            if len(cells) == N_CELLS and cells[1] == str(self.taxon) and cells[-1] == END_OF_LINE:
                yield GeneAnswer(gene=cells[0], status=cells[2], candidates=cells[3])


def _append_text(path: Path, text: str) -> None:
    """Append text to a file, after a line break if the last line was left incomplete."""
    with path.open("ab+") as file:
        if text and file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                text = "\n" + text
        file.write(text.encode("utf-8"))
        file.flush()
        os.fsync(file.fileno())

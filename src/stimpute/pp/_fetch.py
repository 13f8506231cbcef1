"""From gene names to protein sequences: which entry is a gene's, and what is said where there is none."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd
import pooch
from tqdm.auto import tqdm

from ._embeddings import shorten
from ._protein_cache import ProteinCache
from ._uniprot import UNIPROT, Entry, UniProt

ORGANISMS = {"human": 9606, "mouse": 10090, "rat": 10116, "zebrafish": 7955, "fly": 7227}
_NON_CODING = re.compile(
    r"^(MIR-?\d|MIRLET|LET-?7|LINC\d|LNC|SNO?RD|SNO?RA|SNORNA:|LNCRNA:|ASRNA:|TRNA:|SNHG|SCARNA|RNU\d|RN7S|RNY\d|N-R5S|MT-R[NR]|MT-T\w\d?$"
    r"|(RMRP|RPPH1|TERC|XIST|TSIX|MALAT1|NEAT1|MEG3|MEG8|MIAT|H19|HOTAIR|KCNQ1OT1|ROX[12])$|.+-(AS|IT|DT)\d*$)",
    re.IGNORECASE,
)


def fetch_proteins(
    genes: Iterable[str],
    organism: str | int = "mouse",
    *,
    accessions: Mapping[str, str] | None = None,
    cache: str | os.PathLike[str] | None = None,
    url: str = UNIPROT,
    batch_size: int = 50,
    rate: float = 3.0,
    retries: int = 5,
    backoff: float = 0.5,
    timeout: float = 60.0,
    progress: bool = True,
) -> pd.DataFrame:
    """Get genes' canonical protein sequences from UniProt.

    A gene's entry is, in this order: reviewed with the gene as its name, reviewed with it as a synonym, unreviewed
    with it as its name, unreviewed with it as a synonym. Names match exactly, case included, for in some organisms
    (fly) case tells genes apart. Several reviewed entries with different sequences, or a synonym of different
    genes, are ambiguous: no sequence is taken until `accessions` says which. Several unreviewed entries of one gene
    are its isoforms: the longest complete one is taken, and `match` says `"longest"`.

    Answers are cached as they come, so that an interrupted call goes on where it stopped.

    Parameters
    ----------
    genes
        Gene names.
    organism
        `"human"`, `"mouse"`, `"rat"`, `"zebrafish"`, `"fly"`, or any NCBI taxon id.
    accessions
        Your choice where a gene is ambiguous: gene to UniProt accession.
    cache
        FASTA file to read from and append to; what has no sequence goes to a table beside it. Default: one file a
        taxon in the user's cache folder. Delete it for a newer release.
    url
        Address of the service.
    batch_size
        Genes a request.
    rate
        Most requests a second.
    retries, backoff, timeout
        How often a failing request is repeated, after how many seconds (doubling), and when it counts as failed.
    progress
        Whether to show a progress bar.

    Returns
    -------
    One row a gene, as asked: `accession`, `sequence` (empty if none), `release`, `status` (`"found"`,
    `"not found"`, `"non-coding"`, `"ambiguous"`), `match` (`"name"`, `"synonym"`, `"longest"`, `"accession"`),
    `reviewed`, `candidates` (accessions to choose from, or the name as UniProt spells it in another case). Non-coding
    is told from the gene's name, and only where UniProt has no entry.

    Raises
    ------
    ValueError
        If the organism is unknown, no gene is given, or UniProt refuses the query.
    ConnectionError
        If UniProt gives no complete answer after all retries.

    Warns
    -----
    UserWarning
        If genes have no sequence, or one that needs a look: they are listed by reason.
    """
    taxon = _taxon(organism)
    wanted = list(dict.fromkeys([genes] if isinstance(genes, str) else (str(gene) for gene in genes)))
    broken = [gene for gene in wanted if gene.split() != [gene]]
    if broken or not wanted:
        raise ValueError(
            f"Found {len(wanted)} genes, of which empty or with blanks: {broken[:5]}; expected names such as 'Rorb'."
        )
    chosen = dict(accessions or {})
    path = Path(cache) if cache else Path(pooch.os_cache("stimpute")) / f"uniprot_{taxon}.fasta"
    stored = ProteinCache(path, taxon)
    asked = [gene for gene in wanted if not stored.answers(gene, chosen.get(gene))]
    client = UniProt(url, rate, retries, backoff, timeout)
    with tqdm(
        total=len(wanted), initial=len(wanted) - len(asked), desc="UniProt", unit="gene", disable=not progress
    ) as bar:
        for start in range(0, len(asked), batch_size):
            batch = asked[start : start + batch_size]
            entries = list(client.entries(_query(batch, chosen, taxon)))
            stored.append([_choose(gene, entries, chosen.get(gene)) for gene in batch])
            bar.update(len(batch))
    table = stored.table.loc[wanted]
    _report(table)
    return table


def _taxon(organism: str | int) -> int:
    if str(organism).isdecimal():
        return int(organism)
    if str(organism).lower() not in ORGANISMS:
        raise ValueError(
            f"Found organism={organism!r}, expected one of {sorted(ORGANISMS)} or an NCBI taxon id such as 9031."
        )
    return ORGANISMS[str(organism).lower()]


def _query(batch: Sequence[str], chosen: Mapping[str, str], taxon: int) -> str:
    escape = lambda text: re.sub(r'(["\\])', r"\\\1", text)
    clauses = [f"accession:{chosen[g]}" if g in chosen else f'gene_exact:"{escape(g)}"' for g in batch]
    return f"({' OR '.join(clauses)}) AND (organism_id:{taxon})"


def _choose(gene: str, entries: Sequence[Entry], accession: str | None) -> dict[str, object]:
    """Decide one gene: the first rank that has entries decides, and says so where it cannot."""
    if accession is not None:
        picked = [entry for entry in entries if entry.accession == accession]
        return _row(gene, picked[0], "accession") if picked else _nothing(gene, "not found", accession)
    for reviewed in (True, False):
        for match, held in (("name", lambda entry: entry.names), ("synonym", lambda entry: entry.synonyms)):
            pool = [entry for entry in entries if entry.reviewed == reviewed and gene in held(entry)]
            if pool:
                return _decide(gene, pool, match)
    other_case = [entry for entry in entries if gene.lower() in {name.lower() for name in entry.names}]
    if other_case:
        return _nothing(gene, "not found", " ".join(sorted({name for entry in other_case for name in entry.names})))
    return _nothing(gene, "non-coding" if _NON_CODING.match(gene) else "not found", "")


def _decide(gene: str, pool: Sequence[Entry], match: str) -> dict[str, object]:
    ranked = sorted(pool, key=lambda entry: (entry.fragment, -len(entry.sequence), entry.accession))
    if len({entry.sequence for entry in pool}) == 1:
        return _row(gene, ranked[0], match)
    candidates = " ".join(sorted(entry.accession for entry in pool))
    one_gene = len({entry.names for entry in pool}) == 1
    if pool[0].reviewed or not one_gene:
        return _nothing(gene, "ambiguous", candidates)
    return {**_row(gene, ranked[0], "longest"), "candidates": candidates}


def _row(gene: str, entry: Entry, match: str) -> dict[str, object]:
    return {
        "gene": gene,
        "accession": entry.accession,
        "sequence": entry.sequence,
        "release": entry.release,
        "status": "found",
        "match": match,
        "reviewed": entry.reviewed,
        "candidates": "",
    }


def _nothing(gene: str, status: str, candidates: str) -> dict[str, object]:
    empty = {"accession": "", "sequence": "", "release": "", "match": "", "reviewed": False}
    return {"gene": gene, **empty, "status": status, "candidates": candidates}


def _report(table: pd.DataFrame) -> None:
    """Say in one warning what a user should look at."""
    notes = {status: table.index[table["status"] == status] for status in ("not found", "non-coding", "ambiguous")}
    notes["matched by a synonym"] = table.index[table["match"] == "synonym"]
    notes["the longest of several unreviewed entries"] = table.index[table["match"] == "longest"]
    parts = [f"{len(names)} {what} ({shorten(names)})" for what, names in notes.items() if len(names)]
    if parts:
        found = int((table["status"] == "found").sum())
        text = f"{found} of {len(table)} genes have a protein; {'; '.join(parts)}. See 'status' and 'match'; "
        warnings.warn(text + "settle ambiguous genes with accessions={gene: accession}.", UserWarning, stacklevel=3)

"""Fetch the protein sequences of genes from UniProt."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd
import pooch
from tqdm.auto import tqdm

from stimpute._arguments import check_arguments
from stimpute._messages import check_at_least, check_count, name_list, warn
from stimpute.pp._gene_names import check_gene_names
from stimpute.pp._protein_cache import BY_ACCESSION, GeneAnswer, ProteinCache
from stimpute.pp._uniprot import UNIPROT, Entry, UniProt

ORGANISMS = {"human": 9606, "mouse": 10090, "rat": 10116, "zebrafish": 7955, "fly": 7227}
# Names of RNA genes: microRNAs, small and long non-coding RNAs, tRNAs, antisense and intronic transcripts.
NON_CODING = re.compile(
    r"^(MIR-?\d|MIRLET|LET-?7|LINC\d|LNC|SNO?RD|SNO?RA|SNORNA:|LNCRNA:|ASRNA:|TRNA:|SNHG|SCARNA|RNU\d|RN7S|RNY\d|N-R5S|MT-R[NR]|MT-T\w\d?$"
    r"|(RMRP|RPPH1|TERC|XIST|TSIX|MALAT1|NEAT1|MEG3|MEG8|MIAT|H19|HOTAIR|KCNQ1OT1|ROX[12])$|.+-(AS|IT|DT)\d*$)",
    re.IGNORECASE,
)
ALMOST_ZERO = 0.001  # minimum of arguments that must be above 0


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
    """Fetch the canonical protein sequences of genes from UniProt.

    The first of these groups that has entries determines the sequence of a gene: reviewed entries with this gene name,
    reviewed entries with it as a synonym, unreviewed entries with this gene name, unreviewed entries with it as a
    synonym. Names match exactly; upper and lower case differ, because in some organisms (fly) they distinguish genes.
    A gene is ambiguous if several reviewed entries have different sequences, or if its name is a synonym of several
    genes: it gets no sequence until `accessions` names one. If several unreviewed entries belong to one gene, they are
    isoforms: the longest complete one is taken, and `match` is `"longest"`.

    Answers are cached as they arrive, so that an interrupted call can be repeated and continues where it stopped.

    Parameters
    ----------
    genes
        Gene names.
    organism
        `"human"`, `"mouse"`, `"rat"`, `"zebrafish"`, `"fly"`, or any NCBI taxon id.
    accessions
        Mapping from ambiguous genes to the UniProt accessions to take.
    cache
        FASTA file to read from and append to. Genes without a sequence are in a table beside it. By default, one file
        per taxon in the cache folder of the user. Delete it to fetch a newer release.
    url
        Address of the service.
    batch_size
        Number of genes per request.
    rate
        Maximum number of requests per second.
    retries
        Maximum number of times that a failed request is repeated.
    backoff
        Seconds before the first repetition. Doubles with each further one, up to a minute.
    timeout
        Seconds without an answer after which a request has failed.
    progress
        Whether to draw a progress bar.

    Returns
    -------
    Table with one row per gene, in the order of `genes`, with columns `accession`, `sequence` (empty if there is none),
    `release`, `status` (`"found"`, `"not found"`, `"non-coding"`, `"ambiguous"`), `match` (`"name"`, `"synonym"`,
    `"longest"`, `"accession"`), `reviewed`, and `candidates` (accessions to choose from, or the gene name as UniProt
    spells it in upper and lower case). `"non-coding"` is inferred from the gene name if UniProt has no entry.

    Raises
    ------
    ConnectionError
        If UniProt gives no complete answer after all retries, or the answer is not from UniProt.
    ValueError
        If the organism is unknown, there are no genes, or UniProt refuses the query.

    Warns
    -----
    UserWarning
        If genes have no sequence, or one that should be checked. They are listed by reason.

    Examples
    --------
    >>> proteins = stimpute.pp.fetch_proteins(reference.var_names, organism="mouse")
    """
    check_arguments(fetch_proteins, locals())
    check_count(1, batch_size=batch_size)
    check_at_least(0, retries=retries, backoff=backoff)
    check_at_least(ALMOST_ZERO, rate=rate, timeout=timeout)
    taxon = _taxon(organism)
    names = _unique_names(genes)
    chosen = dict(accessions or {})
    path = Path(cache) if cache else Path(pooch.os_cache("stimpute")) / f"uniprot_{taxon}.fasta"
    stored = ProteinCache(path, taxon)
    missing = [gene for gene in names if not stored.has_answer(gene, chosen.get(gene))]
    client = UniProt(url, rate, retries, backoff, timeout)
    n_cached = len(names) - len(missing)
    with tqdm(total=len(names), initial=n_cached, desc="UniProt", unit="gene", disable=not progress) as bar:
        for start in range(0, len(missing), batch_size):
            batch = missing[start : start + batch_size]
            entries = client.entries(_query(batch, chosen, taxon))
            stored.append(_answer(gene, entries, chosen.get(gene)) for gene in batch)
            bar.update(len(batch))
    table = stored.table(names)
    _warn_of_missing(table)
    return table


def _taxon(organism: str | int) -> int:
    """Return the NCBI taxon id of an organism."""
    name = str(organism).lower()
    if name.isdecimal():
        return int(name)
    if name not in ORGANISMS:
        raise ValueError(
            f"`organism` is {organism!r}; expected one of {sorted(ORGANISMS)} or an NCBI taxon id such as 9031."
        )
    return ORGANISMS[name]


def _unique_names(genes: Iterable[str]) -> list[str]:
    """Return gene names without repetitions, and check them."""
    if isinstance(genes, str):
        genes = [genes]
    names = check_gene_names(genes, "`genes`").unique().tolist()
    broken = [name for name in names if name.split() != [name]]
    if broken or not names:
        raise ValueError(
            f"Found {len(names)} genes, {len(broken)} of them with blanks ({name_list(broken)}); expected names such "
            "as 'Rorb'."
        )
    return names


def _query(batch: Sequence[str], chosen: Mapping[str, str], taxon: int) -> str:
    """Write the query for a batch of genes in UniProt's language."""
    clauses = []
    for gene in batch:
        if gene in chosen:
            clauses.append(f"accession:{chosen[gene]}")
        else:
            escaped = re.sub(r'(["\\])', r"\\\1", gene)
            clauses.append(f'gene_exact:"{escaped}"')
    return f"({' OR '.join(clauses)}) AND (organism_id:{taxon})"


def _answer(gene: str, entries: Sequence[Entry], accession: str | None) -> GeneAnswer:
    """Choose the entry of a gene, or give the reason why it has none."""
    if accession is not None:
        for entry in entries:
            if entry.accession == accession:
                return _found(gene, entry, BY_ACCESSION)
        return GeneAnswer(gene, status="not found", match=BY_ACCESSION, candidates=accession)
    for reviewed in (True, False):
        same_status = [entry for entry in entries if entry.reviewed == reviewed]
        by_name = [entry for entry in same_status if gene in entry.names]
        if by_name:
            return _choose(gene, by_name, "name")
        by_synonym = [entry for entry in same_status if gene in entry.synonyms]
        if by_synonym:
            return _choose(gene, by_synonym, "synonym")
    other_case = _names_in_other_case(gene, entries)
    is_non_coding = NON_CODING.match(gene) and not other_case
    return GeneAnswer(gene, status="non-coding" if is_non_coding else "not found", candidates=" ".join(other_case))


def _choose(gene: str, entries: Sequence[Entry], match: str) -> GeneAnswer:
    """Choose among entries that match a gene equally well."""
    ranked = sorted(entries, key=lambda entry: (entry.fragment, -len(entry.sequence), entry.accession))
    if len({entry.sequence for entry in entries}) == 1:
        return _found(gene, ranked[0], match)
    candidates = " ".join(sorted(entry.accession for entry in entries))
    is_one_gene = len({entry.names for entry in entries}) == 1
    if entries[0].reviewed or not is_one_gene:
        return GeneAnswer(gene, status="ambiguous", candidates=candidates)
    return _found(gene, ranked[0], "longest", candidates)


def _found(gene: str, entry: Entry, match: str, candidates: str = "") -> GeneAnswer:
    return GeneAnswer(gene, entry.accession, entry.sequence, entry.release, "found", match, entry.reviewed, candidates)


def _names_in_other_case(gene: str, entries: Sequence[Entry]) -> list[str]:
    """List all names of the entries that have this gene name in another upper and lower case."""
    names: set[str] = set()
    for entry in entries:
        if gene.lower() in (name.lower() for name in entry.names):
            names.update(entry.names)
    return sorted(names)


def _warn_of_missing(table: pd.DataFrame) -> None:
    """List in one warning the genes without a sequence and those that should be checked."""
    groups = {
        "not found": table["status"] == "not found",
        "non-coding": table["status"] == "non-coding",
        "ambiguous": table["status"] == "ambiguous",
        "matched by a synonym": table["match"] == "synonym",
        "the longest of several unreviewed entries": table["match"] == "longest",
    }
    parts = []
    for reason, is_member in groups.items():
        if is_member.any():
            parts.append(f"{is_member.sum()} {reason} ({name_list(table.index[is_member])})")
    if parts:
        n_found = (table["status"] == "found").sum()
        warn(
            f"{n_found} of {len(table)} genes have a protein; {'; '.join(parts)}. See the columns 'status' and "
            "'match'; choose a candidate for an ambiguous gene by `accessions={gene: accession}`.",
        )

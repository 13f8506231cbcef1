"""UniProt's REST service: queries in, complete entries out, whatever the network does in between."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

UNIPROT = "https://rest.uniprot.org"
PAGE_SIZE = 500  # the most that UniProt serves at once
_FIELDS = "accession,reviewed,gene_primary,gene_synonym,gene_oln,gene_orf,fragment,length,sequence"
_SYNONYMS = ("Gene Names (synonym)", "Gene Names (ordered locus)", "Gene Names (ORF)")


@dataclass(frozen=True)
class Entry:
    """One UniProtKB entry; its sequence is the canonical one."""

    accession: str
    reviewed: bool
    names: tuple[str, ...]
    synonyms: tuple[str, ...]
    fragment: bool
    sequence: str
    release: str


class IncompletePageError(Exception):
    """A page arrived that is shorter than it says it is."""


class UniProt:
    """A polite client: one connection, a pause between requests, back-off and `Retry-After` when the service is busy.

    Parameters
    ----------
    url
        Address of the service.
    rate
        Most requests a second.
    retries
        How often a failing request is repeated.
    backoff
        Seconds before the second repetition; doubles with each.
    timeout
        Seconds without an answer after which a request counts as failed.
    """

    def __init__(self, url: str, rate: float, retries: int, backoff: float, timeout: float) -> None:
        self.url, self.pause, self.retries, self.backoff, self.timeout = url, 1 / rate, retries, backoff, timeout
        self._last = -self.pause
        self._session = requests.Session()
        self._session.headers["User-Agent"] = "stimpute (https://github.com/stimpute/stimpute)"
        policy = Retry(
            retries, backoff_factor=backoff, status_forcelist=(429, 500, 502, 503, 504), respect_retry_after_header=True
        )
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=policy))

    def entries(self, query: str) -> Iterator[Entry]:
        """Yield every entry of a query, page by page.

        Parameters
        ----------
        query
            In UniProt's query language.

        Yields
        ------
        Entries in the service's order.

        Raises
        ------
        ConnectionError
            If the service does not answer completely after all retries.
        ValueError
            If it refuses the query.
        """
        url: str | None = urljoin(self.url + "/", "uniprotkb/search")
        params: dict[str, Any] | None = {"query": query, "format": "tsv", "fields": _FIELDS, "size": PAGE_SIZE}
        seen = 0
        while url:
            page, following = self._page(url, params, seen)
            yield from page
            seen += len(page)
            url, params = (
                (urljoin(url, following) if following else None),
                None,
            )  # the next page's address holds the query

    def _page(self, url: str, params: dict[str, Any] | None, seen: int) -> tuple[list[Entry], str | None]:
        """Get one complete page, and the address of the next; urllib3 repeats refused requests, this cut bodies."""
        fault: Exception | None = None
        for attempt in range(self.retries + 1):
            if attempt:
                time.sleep(self.backoff * 2 ** (attempt - 1))
            time.sleep(max(0.0, self._last + self.pause - time.monotonic()))
            self._last = time.monotonic()
            try:
                response = self._session.get(url, params=params, timeout=self.timeout, stream=True)
            except requests.RequestException as error:  # urllib3 has already repeated it
                raise self._gave_up(url, error) from error
            if response.status_code >= 400:
                raise ValueError(f"UniProt answered {response.status_code} to {response.url}: {response.text[:300]}")
            try:
                return _parse(response, seen), response.links.get("next", {}).get("url")
            except (requests.RequestException, IncompletePageError) as error:
                fault = error
        raise self._gave_up(url, fault) from fault

    def _gave_up(self, url: str, error: Exception | None) -> ConnectionError:
        return ConnectionError(
            f"UniProt at {url} gave no complete answer in {self.retries + 1} tries ({error}). What arrived is "
            "cached: call again to go on from there."
        )


def _parse(response: requests.Response, seen: int) -> list[Entry]:
    """Read a page of UniProt's TSV; check it against its own lengths and, on the last page, against the total."""
    release = response.headers.get("X-UniProt-Release", "unknown")
    rows = list(csv.DictReader(io.StringIO(response.content.decode("utf-8")), delimiter="\t", quoting=csv.QUOTE_NONE))
    total = response.headers.get("X-Total-Results")
    if total is not None and "next" not in response.links and seen + len(rows) < int(total):
        raise IncompletePageError(f"{seen + len(rows)} of {total} entries arrived")
    return [_entry(row, release) for row in rows]


def _entry(row: dict[str, str | None], release: str) -> Entry:
    accession, sequence, length = row.get("Entry"), row.get("Sequence"), row.get("Length")
    if not accession or not sequence or (length and int(length) != len(sequence)):
        raise IncompletePageError(f"entry {accession} arrived with {len(sequence or '')} of {length} residues")
    return Entry(
        accession=accession,
        reviewed=row.get("Reviewed") == "reviewed",
        names=_names(row.get("Gene Names (primary)")),
        synonyms=tuple(name for column in _SYNONYMS for name in _names(row.get(column))),
        fragment=bool(row.get("Fragment")),
        sequence=sequence,
        release=release,
    )


def _names(cell: str | None) -> tuple[str, ...]:
    """Split gene names: blanks between names, semicolons between genes that share the protein."""
    return tuple((cell or "").replace(";", " ").split())

"""Request protein entries from the REST service of UniProt."""

from __future__ import annotations

import csv
import io
import re
import time
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import requests

from stimpute.pp._embedding_files import UNKNOWN

UNIPROT = "https://rest.uniprot.org"
PAGE_SIZE = 500  # the largest page that UniProt serves
MAX_PAGES = 200  # of one query: 100,000 entries, far more than any batch of genes has
MAX_WAIT = 60.0  # seconds between two attempts, whatever the service asks for
BUSY = (429, 500, 502, 503, 504)
FIELDS = "accession,reviewed,gene_primary,gene_synonym,gene_oln,gene_orf,fragment,length,sequence"
NAMES_COLUMN = "Gene Names (primary)"
SYNONYM_COLUMNS = ("Gene Names (synonym)", "Gene Names (ordered locus)", "Gene Names (ORF)")
COLUMNS = {"Entry", "Reviewed", NAMES_COLUMN, *SYNONYM_COLUMNS, "Fragment", "Length", "Sequence"}
SHOWN_CHARACTERS = 200  # of an answer, in a message


@dataclass(frozen=True)
class Entry:
    """A UniProtKB entry with its canonical sequence."""

    accession: str
    reviewed: bool
    names: tuple[str, ...]
    synonyms: tuple[str, ...]
    fragment: bool
    sequence: str
    release: str


class IncompleteAnswerError(Exception):
    """An answer of the service that is cut, or is not a table of entries."""


class UniProt:
    """Client of UniProt that pauses between requests and repeats failed ones, see :func:`fetch_proteins`."""

    def __init__(self, url: str, rate: float, retries: int, backoff: float, timeout: float) -> None:
        self.url = url
        self.pause = 1 / rate
        self.retries = retries
        self.backoff = backoff
        self.timeout = timeout
        self._last_request = -self.pause
        self._session = requests.Session()
        self._session.headers["User-Agent"] = "stimpute (https://github.com/stimpute/stimpute)"

    def entries(self, query: str) -> list[Entry]:
        """Request all entries of a query in UniProt's language, page by page.

        Raises
        ------
        ConnectionError
            If the service does not answer completely after all retries, or sends to another host or on without end.
        ValueError
            If the service refuses the query.
        """
        address = urljoin(self.url + "/", "uniprotkb/search")
        parameters = {"query": query, "format": "tsv", "fields": FIELDS, "size": str(PAGE_SIZE)}
        url: str | None = requests.Request("GET", address, params=parameters).prepare().url
        found: list[Entry] = []
        for _ in range(MAX_PAGES):
            page, url = self._page(str(url), len(found))
            found += page
            if url is None:
                return found
        raise ConnectionError(
            f"{self.url} sent more than {MAX_PAGES} pages for one query. Check `url=`, or lower `batch_size=`."
        )

    def _page(self, url: str, n_before: int) -> tuple[list[Entry], str | None]:
        """Request a page and the address of the next one; repeat until the page is complete."""
        wait = 0.0
        fault: Exception | None = None
        for attempt in range(self.retries + 1):
            time.sleep(max(wait, self._last_request + self.pause - time.monotonic()))
            self._last_request = time.monotonic()
            wait = min(self.backoff * 2**attempt, MAX_WAIT)
            try:
                response = self._session.get(url, timeout=self.timeout)
                if response.status_code in BUSY:
                    wait = max(wait, _retry_after(response))
                    raise IncompleteAnswerError(f"status {response.status_code}")
                if response.status_code >= 400:
                    text = response.text[:SHOWN_CHARACTERS]
                    raise ValueError(f"UniProt answered {response.status_code} to {response.url}: {text}")
                return _read_page(response, n_before), self._next_url(response)
            except (requests.RequestException, IncompleteAnswerError) as error:
                fault = error
        raise ConnectionError(
            f"UniProt at {self.url} gave no complete answer in {self.retries + 1} tries ({_reason(fault)}). Earlier "
            "answers are cached: call again to continue. Without a network, read sequences from a file: "
            "`read_fasta(path)`."
        ) from fault

    def _next_url(self, response: requests.Response) -> str | None:
        """Read the address of the next page, which must be on the same host."""
        link = response.links.get("next", {}).get("url")
        if link is None:
            return None
        url = urljoin(response.url, link)
        if urlsplit(url).netloc != urlsplit(self.url).netloc:
            raise ConnectionError(f"{self.url} refers to another host for the next page, {url}. It is not followed.")
        return url


def _reason(fault: Exception | None) -> str:
    """Say in a few words why a request failed; what requests says of a connection is long."""
    if isinstance(fault, requests.Timeout):
        return "the request timed out"
    if isinstance(fault, requests.ConnectionError):
        return "it cannot be reached: check the network connection"
    return str(fault)


def _retry_after(response: requests.Response) -> float:
    """Read how many seconds a busy service asks to wait, at most a minute; 0 if it does not say."""
    text = response.headers.get("Retry-After", "")
    return min(float(text), MAX_WAIT) if text.isdecimal() else 0.0


def _read_page(response: requests.Response, n_before: int) -> list[Entry]:
    """Read a page of entries; check its columns, the length of each sequence and, on the last page, the total."""
    text = response.content.decode("utf-8", errors="replace")
    table = csv.DictReader(io.StringIO(text), delimiter="\t", quoting=csv.QUOTE_NONE)
    try:
        rows = list(table)
    except csv.Error as error:
        raise IncompleteAnswerError(f"the answer is not a table: {error}") from error
    # Login pages of networks answer any request with status 200. They must not be taken for "no entries".
    if COLUMNS.difference(table.fieldnames or []):
        raise IncompleteAnswerError(f"the answer is not a table of proteins, it begins {text[:SHOWN_CHARACTERS]!r}")
    total = response.headers.get("X-Total-Results", "")
    n_entries = n_before + len(rows)
    if total.isdecimal() and "next" not in response.links and n_entries < int(total):
        raise IncompleteAnswerError(f"{n_entries} of {total} entries arrived")
    release = _one_word(response.headers.get("X-UniProt-Release", ""))
    return [_entry(row, release) for row in rows]


def _entry(row: dict[str, str | None], release: str) -> Entry:
    accession = row["Entry"] or ""
    sequence = row["Sequence"] or ""
    # Accession and sequence go to a file: nothing but letters, digits and the like may be in them.
    if _one_word(accession) != accession or not sequence.isalpha() or row["Length"] != str(len(sequence)):
        raise IncompleteAnswerError(f"entry {accession} arrived with {len(sequence)} of {row['Length']} residues")
    return Entry(
        accession=accession,
        reviewed=row["Reviewed"] == "reviewed",
        names=_names(row[NAMES_COLUMN]),
        synonyms=tuple(name for column in SYNONYM_COLUMNS for name in _names(row[column])),
        fragment=bool(row["Fragment"]),
        sequence=sequence,
        release=release,
    )


def _one_word(text: str) -> str:
    """Return the first word of a text, without special characters; "unknown" if there is none."""
    match = re.search(r"[\w.-]{1,64}", text)
    return match.group() if match else UNKNOWN


def _names(cell: str | None) -> tuple[str, ...]:
    """Split gene names: blanks between names, semicolons between genes that share the protein."""
    return tuple((cell or "").replace(";", " ").split())

"""Serve protein entries as UniProt does, with faults on request."""

import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, urlsplit

COLUMNS = (
    "Entry",
    "Reviewed",
    "Gene Names (primary)",
    "Gene Names (synonym)",
    "Gene Names (ordered locus)",
    "Gene Names (ORF)",
    "Fragment",
    "Length",
    "Sequence",
)


def entry(accession, name, sequence, *, synonym="", orf="", reviewed=True, fragment="", taxon=10090):
    status = "reviewed" if reviewed else "unreviewed"
    cells = (accession, status, name, synonym, "", orf, fragment, str(len(sequence)), sequence)
    return taxon, {name.lower() for name in f"{name} {synonym} {orf}".replace(";", " ").split()}, cells


class UniProtServer:
    """Local server of `entries`, `page` at a time; each of `faults` spoils one answer.

    A fault is a status, a body to send instead of the table (bytes), "cut", "short", "drop" or "slow".
    """

    def __init__(self):
        self.entries = []
        self.faults = []
        self.page = 500
        self.release = "2026_03"
        self.next_url = None  # sent instead of the true address of the next page
        self.queries = []
        self.times = []
        self.headers = {}

    def __enter__(self):
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.answer(self)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()

    def answer(self, handler):
        parameters = {name: values[0] for name, values in parse_qs(urlsplit(handler.path).query).items()}
        self.queries.append(parameters["query"])
        self.times.append(time.monotonic())
        fault = self.faults.pop(0) if self.faults else None
        if fault == "drop":
            handler.connection.close()
            return
        if fault == "slow":
            time.sleep(0.5)
        if isinstance(fault, bytes):
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(fault)))
            handler.end_headers()
            handler.wfile.write(fault)
            return
        if isinstance(fault, int):
            handler.send_response(fault)
            for name, value in self.headers.items():
                handler.send_header(name, value)
            handler.send_header("Content-Length", "5")
            handler.end_headers()
            handler.wfile.write(b"sorry")
            return
        self._page(handler, parameters, fault)

    def _page(self, handler, parameters, fault):
        query, start = parameters["query"], int(parameters.get("cursor", 0))
        taxon = int(re.search(r"organism_id:(\d+)", query).group(1))
        names = {name.lower() for name in re.findall(r'gene_exact:"([^"]+)"', query)}
        wanted = set(re.findall(r"accession:(\w+)", query))
        hits = [c for t, held, c in self.entries if t == taxon and (held & names or c[0] in wanted)]
        rows = hits[start : start + self.page]
        body = "".join("\t".join(cells) + "\n" for cells in (COLUMNS, *rows)).encode()
        handler.send_response(200)
        handler.send_header("X-UniProt-Release", self.release)
        handler.send_header("X-Total-Results", str(len(hits)))
        if self.next_url:
            handler.send_header("Link", f'<{self.next_url}>; rel="next"')
        elif start + self.page < len(hits):
            following = f"{self.url}/uniprotkb/search?query={quote(query)}&cursor={start + self.page}"
            handler.send_header("Link", f'<{following}>; rel="next"')
        if fault != "short":  # a "short" answer does not declare its length and ends early
            handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[: len(body) * 2 // 3] if fault in ("cut", "short") else body)
        handler.close_connection = True

import functools
import re
import warnings

import pytest
from pp.uniprot_server import entry

from stimpute import pp
from stimpute.pp import _uniprot


@pytest.fixture
def fetch(uniprot, tmp_path):
    options = {"url": uniprot.url, "cache": tmp_path / "mouse.fasta", "rate": 1000, "backoff": 0.01, "progress": False}
    return functools.partial(pp.fetch_proteins, **options)


@pytest.fixture
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def test_reviewed_entries_come_first(uniprot, fetch, quiet):
    uniprot.entries = [
        entry("A1", "Rorb", "MMMM", reviewed=False),
        entry("P1", "Rorb", "MK", synonym="Nr1f2"),
        entry("P2", "Slc17a7", "MKK", synonym="Vglut1 Bnpi"),
        entry("A3", "Vglut1", "MAAAA", reviewed=False),
        entry("P4", "H4c1; H4c2", "MSG"),
        entry("P5", "", "MORF", orf="CG1234"),
        entry("P9", "Rorb", "MHUMAN", taxon=9606),
    ]
    table = fetch(["Vglut1", "Rorb", "H4c2", "CG1234"])
    assert table.index.tolist() == ["Vglut1", "Rorb", "H4c2", "CG1234"]
    assert table["accession"].tolist() == ["P2", "P1", "P4", "P5"]
    assert table["match"].tolist() == ["synonym", "name", "name", "synonym"]
    assert table["sequence"].tolist() == ["MKK", "MK", "MSG", "MORF"]
    assert set(table["release"]) == {"2026_03"}
    assert fetch(["Rorb"], "human")["sequence"].tolist() == ["MHUMAN"]


def test_what_has_no_protein_is_listed(uniprot, fetch):
    uniprot.entries = [
        entry("P1", "Cdkn2a", "MA"),
        entry("P2", "Cdkn2a", "MB"),
        entry("P3", "One", "MC", synonym="Shared"),
        entry("P4", "Two", "MD", synonym="Shared"),
        entry("P5", "Gad1", "ME"),
        entry("A6", "Fish", "MF", reviewed=False),
        entry("A7", "Fish", "MFF", reviewed=False),
        entry("A8", "Fish", "MFFFF", reviewed=False, fragment="fragment"),
        entry("P9", "Same", "MG"),
        entry("P10", "Same", "MG"),
    ]
    genes = ["Cdkn2a", "Shared", "GAD1", "Fish", "Malat1", "Nope", "Same"]
    with pytest.warns(
        UserWarning, match=r"2 of 7 genes have a protein; 2 not found \(GAD1, Nope\); 1 non-coding \(Malat1\)"
    ) as seen:
        table = fetch(genes)
    assert "2 ambiguous (Cdkn2a, Shared)" in str(seen[0].message)
    assert "1 the longest of several unreviewed entries (Fish)" in str(seen[0].message)
    status = ["ambiguous", "ambiguous", "not found", "found", "non-coding", "not found", "found"]
    assert table["status"].tolist() == status
    assert table.loc["Cdkn2a", "candidates"] == "P1 P2"
    assert table.loc["GAD1", "candidates"] == "Gad1"
    assert table.loc["Fish", ["accession", "match", "candidates"]].tolist() == ["A7", "longest", "A6 A7 A8"]
    assert (table.loc[table["status"] != "found", "sequence"] == "").all()


def test_the_user_settles_what_is_ambiguous(uniprot, fetch, quiet):
    uniprot.entries = [entry("P1", "Cdkn2a", "MA"), entry("P2", "Cdkn2a", "MB")]
    assert fetch(["Cdkn2a"])["status"].tolist() == ["ambiguous"]
    for _ in range(2):
        table = fetch(["Cdkn2a"], accessions={"Cdkn2a": "P2"})
        assert table.loc["Cdkn2a", ["sequence", "match"]].tolist() == ["MB", "accession"]
    assert len(uniprot.queries) == 2  # the second choice came from the cache


def test_a_mistyped_accession_does_not_hide_the_gene(uniprot, fetch):
    uniprot.entries = [entry("P1", "g1", "M")]
    with pytest.warns(UserWarning, match="1 not found"):
        assert fetch(["g1"], accessions={"g1": "P9"})["status"].tolist() == ["not found"]
    assert fetch(["g1"])["accession"].tolist() == ["P1"]


def test_batches_pages_and_cache(uniprot, fetch, tmp_path):
    uniprot.page = 2
    uniprot.entries = [entry(f"P{i}", f"g{i}", "M" + "ACDEFGHIKL" * i) for i in range(9)]
    genes = [f"g{i}" for i in range(9)]
    table = fetch(genes, batch_size=5)
    assert table["sequence"].str.len().tolist() == [1 + 10 * i for i in range(9)]
    assert len(uniprot.queries) == 3 + 2
    header = re.search(r"^>P3 .*$", (tmp_path / "mouse.fasta").read_text(), re.MULTILINE).group()
    assert "gene=g3" in header
    assert "release=2026_03" in header
    again = fetch(genes)
    assert again.equals(table)
    assert len(uniprot.queries) == 5
    assert pp.read_fasta(tmp_path / "mouse.fasta").loc["g8", "sequence"] == table.loc["g8", "sequence"]


def test_failures_that_are_not_found_are_cached_too(uniprot, fetch, quiet):
    fetch(["Nope", "Xist"])
    assert fetch(["Xist", "Nope"])["status"].tolist() == ["non-coding", "not found"]
    assert len(uniprot.queries) == 1


@pytest.mark.parametrize("faults", [[429], [500, 503], ["cut"], ["short"], ["drop"], ["cut", 429, "short", 500]])
def test_faults_are_repaired(uniprot, fetch, faults):
    uniprot.faults = list(faults)
    uniprot.headers = {"Retry-After": "0"}
    uniprot.entries = [entry(f"P{i}", f"g{i}", "MKLV" * 50) for i in range(4)]
    table = fetch([f"g{i}" for i in range(4)])
    assert table["sequence"].tolist() == ["MKLV" * 50] * 4
    assert len(uniprot.queries) == len(faults) + 1


def test_retry_after_and_rate_are_kept(uniprot, fetch):
    uniprot.entries = [entry(f"P{i}", f"g{i}", "M") for i in range(3)]
    fetch(["g0", "g1", "g2"], batch_size=1, rate=10)
    assert min(b - a for a, b in zip(uniprot.times, uniprot.times[1:], strict=False)) > 0.09
    uniprot.faults, uniprot.headers = [429], {"Retry-After": "1"}
    uniprot.entries.append(entry("P3", "g3", "M"))
    fetch(["g3"])
    assert uniprot.times[-1] - uniprot.times[-2] >= 1


def test_retry_after_is_bounded(uniprot, fetch, monkeypatch):
    monkeypatch.setattr(_uniprot, "MAX_WAIT", 0.05)
    uniprot.entries = [entry("P1", "g1", "M")]
    uniprot.faults = [429]
    uniprot.headers = {"Retry-After": "86400"}
    assert fetch(["g1"])["status"].tolist() == ["found"]


@pytest.mark.parametrize("body", [b"", b"<html>Please log in</html>", b"Entry\tSequence\n", b"a\rb\n", b"\xff\xfe"])
def test_an_answer_that_is_not_a_table_of_proteins_is_not_cached(uniprot, fetch, tmp_path, body):
    uniprot.entries = [entry("P1", "g1", "MK")]
    uniprot.faults = [body] * 2
    with pytest.raises(ConnectionError, match="not a table"):
        fetch(["g1"], retries=1)
    assert not list(tmp_path.iterdir())
    assert fetch(["g1"])["status"].tolist() == ["found"]


def test_the_next_page_must_be_on_the_same_host(uniprot, fetch, tmp_path):
    uniprot.entries = [entry("P1", "g1", "MK")]
    uniprot.next_url = "http://198.51.100.1/uniprotkb/search?cursor=1"
    with pytest.raises(ConnectionError, match=r"another host .* http://198\.51\.100\.1/.*not followed"):
        fetch(["g1"])
    assert not list(tmp_path.iterdir())


def test_the_number_of_pages_is_bounded(uniprot, fetch, monkeypatch):
    monkeypatch.setattr(_uniprot, "MAX_PAGES", 4)
    uniprot.next_url = f"{uniprot.url}/uniprotkb/search?query=organism_id:10090&cursor=0"
    with pytest.raises(ConnectionError, match="more than 4 pages"):
        fetch(["g1"])
    assert len(uniprot.queries) == 4


@pytest.mark.parametrize(
    ("header", "release"),
    [("2026_03 gene=Other taxon=1", "2026_03"), ("2026_03\r\n >P9 x", "2026_03"), ("<&>", "unknown")],
)
def test_the_release_is_one_word_in_the_cache(uniprot, fetch, tmp_path, header, release):
    uniprot.entries = [entry("P1", "g1", "MK")]
    uniprot.release = header
    assert fetch(["g1"])["release"].tolist() == [release]
    assert (tmp_path / "mouse.fasta").read_text().splitlines()[0].endswith(f"release={release} candidates=")
    assert fetch(["g1"])["release"].tolist() == [release]
    assert len(uniprot.queries) == 1


@pytest.mark.parametrize("fields", [("P1 >x", "MK"), ("P1", "M>K"), ("", "MK"), ("P1", "")])
def test_broken_entries_are_not_cached(uniprot, fetch, tmp_path, fields):
    uniprot.entries = [entry(fields[0], "g1", fields[1])]
    with pytest.raises(ConnectionError, match="arrived with"):
        fetch(["g1"], retries=0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("fault", [500, "cut", "drop"])
def test_an_interrupted_call_goes_on(uniprot, fetch, fault):
    uniprot.entries = [entry(f"P{i}", f"g{i}", "MKLV" * 9) for i in range(4)]
    genes = [f"g{i}" for i in range(4)]
    fetch(genes[:2], batch_size=1)
    uniprot.faults = [fault] * 9
    with pytest.raises(ConnectionError, match="call again"):
        fetch(genes, batch_size=1, retries=1)
    uniprot.faults, uniprot.queries = [], []
    assert fetch(genes, batch_size=1)["accession"].tolist() == ["P0", "P1", "P2", "P3"]
    assert len(uniprot.queries) == 2


def test_without_a_network_the_error_says_so(fetch):
    with pytest.raises(ConnectionError, match=r"in 1 tries \(it cannot be reached: check the network.*`read_fasta"):
        fetch(["g1"], url="http://localhost:9", retries=0)


def test_a_record_cut_by_a_kill_is_asked_for_again(uniprot, fetch, tmp_path):
    uniprot.entries = [entry(f"P{i}", f"g{i}", "MKLV" * 30) for i in range(3)]
    whole = fetch(["g0", "g1"])
    path = tmp_path / "mouse.fasta"
    for lost in (5, 60, 130, 150):
        path.write_bytes(path.read_bytes()[:-lost])
        assert fetch(["g0", "g1"]).equals(whole)
    assert fetch(["g2", "g0"])["sequence"].nunique() == 1


def test_refused_queries_and_wrong_arguments(uniprot, fetch):
    uniprot.faults = [400]
    with pytest.raises(ValueError, match="answered 400 .* sorry"):
        fetch(["g0"])
    with pytest.raises(ValueError, match="expected one of .*'zebrafish'.* or an NCBI taxon id"):
        fetch(["g0"], "yeti")
    with pytest.raises(ValueError, match="Found 0 genes"):
        fetch([])
    with pytest.raises(ValueError, match="with blanks"):
        fetch(["a b"])
    with pytest.raises(ValueError, match="2 of 3 gene names in `genes` are missing"):
        fetch(["g0", "", float("nan")])


@pytest.mark.parametrize(
    "options", [{"batch_size": 0}, {"rate": 0}, {"retries": -1}, {"backoff": -1.0}, {"timeout": 0}]
)
def test_numbers_out_of_range_are_refused(fetch, options):
    with pytest.raises(ValueError, match=f"`{next(iter(options))}` is"):
        fetch(["g0"], **options)


@pytest.mark.parametrize(
    ("organism", "taxon"),
    [
        ("human", 9606),
        ("Mouse", 10090),
        ("rat", 10116),
        ("zebrafish", 7955),
        ("fly", 7227),
        (9031, 9031),
        ("9031", 9031),
    ],
)
def test_organisms(uniprot, fetch, organism, taxon):
    uniprot.entries = [entry("P1", "g", "M", taxon=taxon)]
    assert fetch(["g"], organism)["accession"].tolist() == ["P1"]

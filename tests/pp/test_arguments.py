"""Check that every argument of `stimpute.pp` changes something, where no other test does."""

import inspect
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from pp.uniprot_server import entry

from stimpute import pp
from stimpute.pp import _fetch
from stimpute.pp._esm import Encoder

SEQUENCES = {"a": "MKLVMKLV", "b": "ACDEFGHIKLMNPQRSTVWY"}

# Where each argument is tested: in this file, or in the file that is named.
TESTED = {
    "add_gene_network": {
        "reference": "test_relations",
        "edges": "test_relations",
        "name": "test_relations",
        "directed": "test_relations",
        "gene_symbols": "test_relations",
    },
    "add_protein_embeddings": {
        "reference": "test_relations",
        "embeddings": "test_relations",
        "key_added": "test_relations",
        "gene_symbols": "test_relations",
    },
    "embed_proteins": {
        "sequences": "test_embed",
        "model": "here",
        "output": "test_embed",
        "pooling": "test_embed",
        "layer": "test_embed",
        "long_proteins": "test_embed",
        "window": "here",
        "overlap": "here",
        "tokens_per_batch": "test_embed",
        "precision": "test_embed",
        "device": "here",
        "progress": "here",
    },
    "fetch_proteins": {
        "genes": "test_fetch",
        "organism": "test_fetch",
        "accessions": "test_fetch",
        "cache": "here",
        "url": "here",
        "batch_size": "here",
        "rate": "test_fetch",
        "retries": "here",
        "backoff": "here",
        "timeout": "here",
        "progress": "here",
    },
    "join_references": {"references": "test_join", "setups": "test_join"},
    "marker_reference": {
        "markers": "test_markers",
        "cell_type": "test_markers",
        "gene": "test_markers",
        "score": "test_markers",
    },
    "measured_expression": {
        "spatial": "test_measured_expression",
        "layer": "test_measured_expression",
        "expression": "test_measured_expression",
        "gene_symbols": "test_measured_expression",
        "target_sum": "test_measured_expression",
        "input_genes": "test_measured_expression",
    },
    "read_fasta": {"path": "test_fasta", "duplicates": "test_fasta"},
}


def embed(model, sequences=SEQUENCES, **options):
    return pp.embed_proteins(sequences, **{"model": model, "device": "cpu", "progress": False, **options})


def fetch(server, folder, genes=("g0",), **options):
    defaults = {"url": server.url, "cache": folder / "x.fasta", "rate": 1000, "backoff": 0.01, "progress": False}
    return pp.fetch_proteins(genes, **{**defaults, **options})


@pytest.fixture
def server(uniprot):
    uniprot.entries = [entry(f"P{i}", f"g{i}", "MK") for i in range(4)]
    return uniprot


def test_every_argument_is_in_the_list():
    functions = {name: function for name, function in vars(pp).items() if inspect.isfunction(function)}
    assert {name: list(inspect.signature(f).parameters) for name, f in functions.items() if name in pp.__all__} == {
        name: list(arguments) for name, arguments in TESTED.items()
    }


def test_the_model_changes_the_vectors(tiny_esm2, save_tiny_esm2, tmp_path):
    other = save_tiny_esm2(tmp_path / "other.pt", seed=1)
    assert embed(other).model == "other"
    assert not np.array_equal(embed(tiny_esm2).embedding, embed(other).embedding)


@pytest.mark.filterwarnings("ignore:.*longer than:UserWarning")
@pytest.mark.parametrize("long_proteins", ["windows", "truncate"])
def test_the_window_changes_the_vectors_of_long_proteins(tiny_esm2, long_proteins):
    short = embed(tiny_esm2, window=10, overlap=2, long_proteins=long_proteins)
    long = embed(tiny_esm2, window=15, overlap=2, long_proteins=long_proteins)
    np.testing.assert_allclose(short.embedding[0], long.embedding[0], atol=2e-6)  # shorter than both
    assert not np.allclose(short.embedding[1], long.embedding[1], atol=1e-4)


@pytest.mark.filterwarnings("ignore:.*longer than:UserWarning")
def test_the_overlap_changes_the_vectors_of_long_proteins(tiny_esm2):
    none = embed(tiny_esm2, window=10, overlap=0)
    some = embed(tiny_esm2, window=10, overlap=5)
    assert not np.allclose(none.embedding[1], some.embedding[1], atol=1e-4)


@pytest.mark.filterwarnings("ignore:.*longer than:UserWarning")
def test_a_small_window_needs_no_overlap_where_nothing_overlaps(tiny_esm2):
    truncated = embed(tiny_esm2, {"b": SEQUENCES["b"]}, window=10, long_proteins="truncate")
    cut = embed(tiny_esm2, {"b": SEQUENCES["b"][:10]})
    np.testing.assert_allclose(truncated.embedding, cut.embedding, atol=2e-6)


def test_the_model_runs_on_the_device(tiny_esm2, monkeypatch):
    devices = []

    def pool(self, sequences, weights, layer):
        devices.append(next(self.module.parameters()).device.type)
        return np.zeros((len(sequences), self.width), np.float32)

    monkeypatch.setattr(Encoder, "pool", pool)
    monkeypatch.setattr(Encoder, "fingerprint", "x")
    embed(tiny_esm2, device="meta")
    embed(tiny_esm2, device="cpu")
    embed(tiny_esm2, device="auto")
    assert devices == ["meta", "cpu", "cuda" if torch.cuda.is_available() else "cpu"]


@pytest.mark.parametrize("progress", [True, False])
def test_embedding_shows_a_progress_bar_if_asked(tiny_esm2, capsys, progress):
    embed(tiny_esm2, progress=progress)
    assert ("window" in capsys.readouterr().err) == progress


@pytest.mark.parametrize("progress", [True, False])
def test_fetching_shows_a_progress_bar_if_asked(server, tmp_path, capsys, progress):
    fetch(server, tmp_path, progress=progress)
    assert ("UniProt" in capsys.readouterr().err) == progress


def test_answers_are_written_to_the_cache_file(server, tmp_path):
    fetch(server, tmp_path, cache=tmp_path / "a" / "one.fasta")
    fetch(server, tmp_path, cache=str(tmp_path / "two.fasta"))
    assert len(server.queries) == 2
    assert (tmp_path / "a" / "one.fasta").read_text() == (tmp_path / "two.fasta").read_text()


def test_the_default_cache_has_a_file_per_taxon(server, tmp_path, monkeypatch):
    monkeypatch.setattr(_fetch.pooch, "os_cache", lambda name: Path(tmp_path / name))
    fetch(server, tmp_path, cache=None)
    assert [path.name for path in (tmp_path / "stimpute").glob("*.fasta")] == ["uniprot_10090.fasta"]


def test_requests_go_to_the_url(server, tmp_path):
    assert fetch(server, tmp_path)["status"].tolist() == ["found"]
    with pytest.raises(ConnectionError, match=r"UniProt at http://127\.0\.0\.1:9 gave no"):
        fetch(server, tmp_path, ["g1"], url="http://127.0.0.1:9", retries=0)


def test_the_batch_size_sets_the_number_of_requests(server, tmp_path):
    genes = [f"g{i}" for i in range(4)]
    fetch(server, tmp_path, genes, batch_size=3, cache=tmp_path / "a.fasta")
    assert len(server.queries) == 2
    fetch(server, tmp_path, genes, batch_size=4, cache=tmp_path / "b.fasta")
    assert len(server.queries) == 3


@pytest.mark.parametrize("retries", [0, 2])
def test_a_failed_request_is_repeated_as_often_as_asked(server, tmp_path, retries):
    server.faults = [503] * 9
    with pytest.raises(ConnectionError, match=f"in {retries + 1} tries"):
        fetch(server, tmp_path, retries=retries)
    assert len(server.queries) == retries + 1


def test_the_backoff_doubles(server, tmp_path):
    server.faults = ["cut", 503]
    fetch(server, tmp_path, backoff=0.1)
    pauses = np.diff(server.times)
    assert pauses[0] >= 0.1
    assert pauses[1] >= 0.2


def test_a_slow_answer_fails_after_the_timeout(server, tmp_path):
    server.faults = ["slow"]
    start = time.monotonic()
    with pytest.raises(ConnectionError, match="timed out"):
        fetch(server, tmp_path, timeout=0.1, retries=0)
    assert time.monotonic() - start < 0.5
    server.faults = ["slow"]
    assert fetch(server, tmp_path, timeout=5, retries=0)["status"].tolist() == ["found"]

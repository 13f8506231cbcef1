"""Damage in any region of a file ends in one clear error, or changes nothing."""

import gzip
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stimpute import pp
from stimpute.pp import _fasta

GENES = [f"g{n}" for n in range(6)]
VECTORS = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
FASTA = "".join(f">sp|P{n}|X GN=g{n}\n{'ACDEFGHIKL' * 3}\n" for n in range(6)).encode()
many = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
regions = st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 40), st.binary(max_size=40))


def damaged(content: bytes, region) -> bytes:
    """Replace some bytes by others, of any number."""
    where, length, other = region
    start = int(where * len(content))
    return content[:start] + other + content[start + length :]


@pytest.fixture(scope="module", params=[".npz", ".h5ad"])
def vectors(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("vectors") / f"vectors{request.param}"
    return pp.ProteinEmbeddings(GENES, VECTORS, model="m").write(path)


def read(reader, path):
    """Return what is read, or the message of the one clear error."""
    try:
        return reader(path)
    except (ValueError, KeyError) as error:
        return str(error)


@many
@given(region=regions)
def test_vectors(vectors, tmp_path, region):
    path = tmp_path / vectors.name
    path.write_bytes(damaged(vectors.read_bytes(), region))
    found = read(pp.ProteinEmbeddings.read, path)
    if isinstance(found, str):
        assert any(word in found for word in (path.name, "genes", "embedding"))
    elif path.suffix == ".npz":  # which has checksums
        np.testing.assert_array_equal(found.embedding, VECTORS)


@many
@given(region=regions)
def test_gzipped_fasta(tmp_path, region):
    path = tmp_path / "proteins.fasta.gz"
    path.write_bytes(damaged(gzip.compress(FASTA, mtime=0), region))
    found = read(pp.read_fasta, path)
    if isinstance(found, str):
        assert path.name in found
    else:
        assert list(found.index) == GENES


@many
@given(region=regions)
def test_fasta(tmp_path, region):
    """Without a checksum, other letters are other proteins."""
    path = tmp_path / "proteins.fasta"
    path.write_bytes(damaged(FASTA, region))
    found = read(pp.read_fasta, path)
    if isinstance(found, str):
        assert path.name in found
    else:
        assert found["sequence"].str.len().gt(0).all()


def test_a_fasta_bomb_is_refused_before_it_fills_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(_fasta, "MAX_CHARACTERS", 10_000)
    monkeypatch.setattr(_fasta, "MAX_LINE", 1_000)
    path = tmp_path / "bomb.fasta.gz"
    path.write_bytes(gzip.compress(b">g1\n" + b"A" * 10**7))
    with pytest.raises(ValueError, match=r"bomb\.fasta\.gz has more than 10,000 characters"):
        pp.read_fasta(path)


def test_a_long_line_is_one_sequence(tmp_path, monkeypatch):
    monkeypatch.setattr(_fasta, "MAX_LINE", 7)
    path = tmp_path / "long.fasta"
    path.write_bytes(b">g1\n" + b"ACDEFGHIKL" * 10)
    assert pp.read_fasta(path).loc["g1", "sequence"] == "ACDEFGHIKL" * 10


def test_a_bomb_of_text_is_refused(tmp_path):
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, genes=np.array(GENES), embedding=VECTORS, settings=np.array("x" * 2**20))
    assert path.stat().st_size < 2**20
    with pytest.raises(ValueError, match="array 'settings' .*more than the maximum of 1,048,576 bytes"):
        pp.ProteinEmbeddings.read(path)


@pytest.mark.parametrize("text", ["[" * 100_000, "{"])
def test_settings_that_are_no_json_object(tmp_path, text):
    path = tmp_path / "vectors.npz"
    np.savez(path, genes=np.array(GENES), embedding=VECTORS, settings=np.array(text))
    with pytest.raises(ValueError, match=r"vectors\.npz cannot be read"):
        pp.ProteinEmbeddings.read(path)


def test_an_encrypted_or_odd_archive(tmp_path):
    path = tmp_path / "vectors.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("genes.npy", b"\x93NUMPY\x01\x00v\x00{'descr': __import__('os')}")
        archive.writestr("embedding.npy", b"")
    with pytest.raises(ValueError, match=r"vectors\.npz cannot be read"):
        pp.ProteinEmbeddings.read(path)

"""Damage in any region of a file ends in one clear error, or changes nothing."""

import gzip
import zipfile

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stimpute import _hdf5, pp
from stimpute.pp import _fasta

GENES = [f"g{n}" for n in range(6)]
VECTORS = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
FASTA = "".join(f">sp|P{n}|X GN=g{n}\n{'ACDEFGHIKL' * 3}\n" for n in range(6)).encode()
fixture = [HealthCheck.function_scoped_fixture]
many = settings(max_examples=60, suppress_health_check=fixture)
few = settings(max_examples=20, suppress_health_check=fixture)  # another process is started for each
regions = st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 40), st.binary(max_size=40))


def damaged(content: bytes, region) -> bytes:
    """Replace some bytes by others, of any number."""
    where, length, other = region
    start = int(where * len(content))
    return content[:start] + other + content[start + length :]


@pytest.fixture(scope="module")
def vectors(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vectors")
    embeddings = pp.ProteinEmbeddings(GENES, VECTORS, model="m")
    return {ending: embeddings.write(folder / f"vectors.{ending}") for ending in ("npz", "h5ad")}


def read(reader, path):
    """Return what is read, or the message of the one clear error."""
    try:
        return reader(path)
    except (ValueError, KeyError) as error:
        return str(error)


def read_damaged_vectors(source, tmp_path, region):
    """Return what is read, after a look at the message if it is an error."""
    path = tmp_path / source.name
    path.write_bytes(damaged(source.read_bytes(), region))
    found = read(pp.ProteinEmbeddings.read, path)
    assert not isinstance(found, str) or any(word in found for word in (path.name, "genes", "embedding"))
    return found


@many
@given(region=regions)
def test_npz(vectors, tmp_path, region):
    found = read_damaged_vectors(vectors["npz"], tmp_path, region)
    if not isinstance(found, str):
        np.testing.assert_array_equal(found.embedding, VECTORS)


@few
@given(region=regions)
@pytest.mark.slow
def test_h5ad(vectors, tmp_path, region):
    """It has no checksums, so that other numbers may be read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_hdf5, "SECONDS", 3.0)
        found = read_damaged_vectors(vectors["h5ad"], tmp_path, region)
    assert isinstance(found, str) or len(found.genes) == found.embedding.shape[0]


@pytest.mark.parametrize("is_sparse", [False, True])
def test_an_h5ad_that_declares_too_much_is_refused_before_it_fills_the_memory(vectors, tmp_path, is_sparse):
    path = tmp_path / "large.h5ad"
    path.write_bytes(vectors["h5ad"].read_bytes())
    shape = (6, 10**9)
    with h5py.File(path, "r+") as file:
        del file["X"]
        if is_sparse:
            file.create_group("X").attrs["shape"] = shape
        else:
            file.create_dataset("X", shape, chunks=(6, 1000), dtype=np.float32)
    with pytest.raises(ValueError, match=r"large\.h5ad has shape \(6, 1000000000\).*more than the maximum"):
        pp.ProteinEmbeddings.read(path)


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

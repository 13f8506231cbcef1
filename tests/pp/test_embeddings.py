import io
import zipfile

import numpy as np
import pytest
from anndata import AnnData
from scipy import sparse

from stimpute import pp
from stimpute.pp import _embedding_files
from stimpute.pp._embeddings import as_embeddings


@pytest.fixture
def embeddings():
    matrix = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    return pp.ProteinEmbeddings(
        ["Rorb", "Gad1", "Sst"],
        matrix,
        accessions=["P1", "", "P3"],
        model="esm2_tiny",
        pooling="last",
        release="2026_01",
        settings={"layer": 2},
        digests=["a", "b", "c"],
    )


def npy(shape, dtype="<f4", body=b"") -> bytes:
    """Content of a .npy file that declares a shape and a type."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
    return file.getvalue() + body


def write_zip(path, **members: bytes):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


@pytest.mark.parametrize("suffix", [".npz", ".h5ad"])
def test_round_trip(embeddings, tmp_path, suffix):
    path = embeddings.write(tmp_path / "new" / f"proteins{suffix}")
    back = pp.ProteinEmbeddings.read(path)
    for name in ("genes", "embedding", "accessions", "digests"):
        np.testing.assert_array_equal(getattr(back, name), getattr(embeddings, name))
    assert (back.model, back.pooling, back.release) == ("esm2_tiny", "last", "2026_01")
    assert back.settings == {"layer": 2}
    assert [p.name for p in path.parent.iterdir()] == [path.name]  # no temporary file is left behind


def test_an_existing_file_is_replaced(embeddings, tmp_path):
    path = embeddings.write(tmp_path / "p.npz")
    pp.ProteinEmbeddings(["Vip"], [[1.0, 2.0]]).write(path)
    assert pp.ProteinEmbeddings.read(path).genes.tolist() == ["Vip"]


def test_four_kinds_of_source(embeddings, tmp_path):
    matrix = embeddings.embedding
    adata = AnnData(sparse.csr_matrix(matrix))
    adata.obs_names = embeddings.genes
    mapping = dict(zip(embeddings.genes, matrix, strict=True))
    for source in (embeddings, adata, mapping, embeddings.write(tmp_path / "p.npz"), str(tmp_path / "p.npz")):
        back = as_embeddings(source)
        np.testing.assert_array_equal(back.genes, embeddings.genes)
        np.testing.assert_array_equal(back.embedding, matrix)
    assert as_embeddings(adata).model == "unknown"
    for source in (3, (list(embeddings.genes), matrix)):
        with pytest.raises(TypeError, match=f"is a {type(source).__name__}; expected the path"):
            as_embeddings(source)


def test_a_pickle_in_an_npz_does_not_run(tmp_path):
    class Hostile:
        def __reduce__(self):
            return (open, (str(tmp_path / "was_run"), "w"))

    np.savez(tmp_path / "bad.npz", genes=np.array([Hostile()], dtype=object), embedding=np.ones((1, 2)))
    with pytest.raises(ValueError, match="pickles can run code"):
        pp.ProteinEmbeddings.read(tmp_path / "bad.npz")
    assert not (tmp_path / "was_run").exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("embedding", npy((10**12, 10**6))),  # larger than any memory, and than a 64-bit integer in bytes
        ("embedding", npy((2, 2**31))),
        ("genes", npy((3,), "<U500000000")),
        ("accessions", npy((2**40,), "<U9")),
    ],
)
def test_absurd_sizes_are_refused_before_they_are_allocated(tmp_path, name, content):
    members = {"genes": npy((2,), "<U1", b"a\0\0\0b\0\0\0"), "embedding": npy((2, 1), body=bytes(8)), name: content}
    with pytest.raises(ValueError, match=rf"array '{name}' .*more than the maximum of 4,294,967,296 bytes"):
        pp.ProteinEmbeddings.read(write_zip(tmp_path / "bomb.npz", **members))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("embedding", npy((200_000, 1000))),  # declares 800 MB and has none
        ("genes", npy((10**12,), "<U0")),
        ("genes", npy((10**12, 0))),
    ],
)
def test_arrays_without_their_content_are_refused(tmp_path, name, content):
    members = {"genes": npy((2,), "<U1", b"a\0\0\0b\0\0\0"), "embedding": npy((2, 1), body=bytes(8)), name: content}
    with pytest.raises(ValueError, match=f"array '{name}' .* is damaged"):
        pp.ProteinEmbeddings.read(write_zip(tmp_path / "hollow.npz", **members))


def test_the_largest_size_is_refused_by_what_is_declared(embeddings, tmp_path, monkeypatch):
    path = embeddings.write(tmp_path / "p.npz")
    monkeypatch.setattr(_embedding_files, "MAX_BYTES", 3 * 4 * 4)
    assert pp.ProteinEmbeddings.read(path).genes.tolist() == ["Rorb", "Gad1", "Sst"]
    monkeypatch.setattr(_embedding_files, "MAX_BYTES", 3 * 4 * 4 - 1)
    with pytest.raises(ValueError, match="more than the maximum"):
        pp.ProteinEmbeddings.read(path)


@pytest.mark.parametrize(
    ("genes", "matrix", "message"),
    [
        (["a", "b"], np.ones((3, 2)), "expected one row per gene"),
        (["a", "b"], np.ones(2), "expected one row per gene"),
        (["a", "a"], np.ones((2, 2)), "more than once"),
        (["a", "b"], np.array([[1, 2], [np.nan, 0]]), r"NaN or infinite vectors \(b\)"),
        (["a", np.nan, None, "", " "], np.ones((5, 2)), "4 of 5 gene names in the embeddings are missing"),
        ([], np.ones((0, 2)), "at least one name"),
        ([["a"], ["b"]], np.ones((2, 2)), r"shape \(2, 1\)"),
    ],
)
def test_malformed_embeddings(genes, matrix, message):
    with pytest.raises(ValueError, match=message):
        pp.ProteinEmbeddings(genes, matrix)


def test_wrong_files(embeddings, tmp_path):
    with pytest.raises(FileNotFoundError, match="embed_proteins"):
        pp.ProteinEmbeddings.read(tmp_path / "no.npz")
    with pytest.raises(ValueError, match=r"\.npz or \.h5ad"):
        embeddings.write(tmp_path / "x.csv")
    np.savez(tmp_path / "x.npz", genes=np.ones(1))
    with pytest.raises(KeyError, match=r"'embedding' is not in .*x\.npz`, which has \['genes'\]"):
        pp.ProteinEmbeddings.read(tmp_path / "x.npz")
    whole = embeddings.write(tmp_path / "p.npz").read_bytes()
    for content in (b"", b"text", whole[:-30], whole.replace(b"NUMPY", b"PANDA")):
        (tmp_path / "broken.npz").write_bytes(content)
        with pytest.raises(ValueError, match="damaged"):
            pp.ProteinEmbeddings.read(tmp_path / "broken.npz")


@pytest.mark.parametrize("vectors", [{"a": np.ones(2), "b": np.ones(3)}, {"a": 1.0}, {}])
def test_vectors_of_a_mapping_have_one_length(vectors):
    with pytest.raises(ValueError, match="expected one length"):
        as_embeddings(vectors)

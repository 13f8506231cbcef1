import numpy as np
import pytest
from anndata import AnnData

from stimpute import pp


@pytest.fixture
def embeddings():
    matrix = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    return pp.Embeddings(
        ["Rorb", "Gad1", "Sst"],
        matrix,
        accessions=["P1", "", "P3"],
        model="esm2_tiny",
        pooling="last",
        release="2026_01",
        settings={"layer": 2},
        digests=["a", "b", "c"],
    )


@pytest.mark.parametrize("suffix", [".npz", ".h5ad"])
def test_round_trip(embeddings, tmp_path, suffix):
    path = pp.write_embeddings(embeddings, tmp_path / "new" / f"proteins{suffix}")
    back = pp.read_embeddings(path)
    for name in ("genes", "embedding", "accessions", "digests"):
        np.testing.assert_array_equal(getattr(back, name), getattr(embeddings, name))
    assert (back.model, back.pooling, back.release) == ("esm2_tiny", "last", "2026_01")
    assert back.settings == {"layer": 2}
    assert [p.name for p in path.parent.iterdir()] == [path.name]  # nothing else is left behind


def test_every_door(embeddings):
    matrix = embeddings.embedding
    adata = AnnData(matrix)
    adata.obs_names = embeddings.genes
    for source in (adata, dict(zip(embeddings.genes, matrix, strict=True)), (list(embeddings.genes), matrix)):
        back = pp.read_embeddings(source)
        np.testing.assert_array_equal(back.genes, embeddings.genes)
        np.testing.assert_array_equal(back.embedding, matrix)
        assert back.model == "unknown"


def test_a_pickle_in_an_npz_does_not_run(tmp_path):
    class Hostile:
        def __reduce__(self):
            return (open, (str(tmp_path / "was_run"), "w"))

    np.savez(tmp_path / "bad.npz", genes=np.array([Hostile()], dtype=object), embedding=np.ones((1, 2)))
    with pytest.raises(ValueError, match="pickles can run code"):
        pp.read_embeddings(tmp_path / "bad.npz")
    assert not (tmp_path / "was_run").exists()


@pytest.mark.parametrize(
    ("genes", "matrix", "message"),
    [
        (["a", "b"], np.ones((3, 2)), "expected one row per gene"),
        (["a", "a"], np.ones((2, 2)), "more than once"),
        (["a", "b"], np.array([[1, 2], [np.nan, 0]]), r"NaN or infinite vectors \(b\)"),
        ([], np.ones((0, 2)), "no genes"),
    ],
)
def test_malformed(genes, matrix, message):
    with pytest.raises(ValueError, match=message):
        pp.Embeddings(genes, matrix)


def test_wrong_files(embeddings, tmp_path):
    with pytest.raises(FileNotFoundError, match="embed_proteins"):
        pp.read_embeddings(tmp_path / "no.npz")
    with pytest.raises(ValueError, match=r"\.npz or \.h5ad"):
        pp.write_embeddings(embeddings, tmp_path / "x.csv")
    np.savez(tmp_path / "x.npz", names=np.ones(1))
    with pytest.raises(ValueError, match=r"arrays \['names'\]"):
        pp.read_embeddings(tmp_path / "x.npz")
    with pytest.raises(ValueError, match="Found a int"):
        pp.read_embeddings(3)
    with pytest.raises(ValueError, match="expected one length"):
        pp.read_embeddings({"a": np.ones(2), "b": np.ones(3)})

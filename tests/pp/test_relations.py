import numpy as np
import pandas as pd
import pytest
from anndata import AnnData, read_h5ad
from scipy import sparse

from stimpute import pp

GENES = [f"g{i}" for i in range(6)]


@pytest.fixture
def reference():
    counts = np.random.default_rng(0).poisson(2, size=(40, 6))
    symbols = pd.DataFrame({"symbol": [name.upper() for name in GENES]}, index=GENES)
    return AnnData(sparse.csr_matrix(counts.astype(np.float32)), var=symbols)


@pytest.fixture
def vectors():
    return dict(zip(GENES[:5], np.random.default_rng(1).normal(10, 1, size=(5, 7)), strict=True))


def test_proteins_are_stored_raw_and_compared_centred(reference, vectors):
    before = reference.X.copy()
    pp.protein_graph(reference, vectors, n_neighbors=4)
    raw = np.stack(list(vectors.values())).astype(np.float32)
    np.testing.assert_array_equal(reference.varm["protein"], np.vstack([raw, np.zeros((1, 7))]))
    assert reference.varm["protein"].dtype == np.float32
    assert reference.var["has_protein"].tolist() == [True] * 5 + [False]

    centred = raw - raw.mean(axis=0)
    cosine = centred @ centred.T / np.outer(*[np.linalg.norm(centred, axis=1)] * 2)
    np.fill_diagonal(cosine, 0)
    expected = np.pad(np.maximum(cosine, 0), (0, 1))
    np.testing.assert_allclose(reference.varp["protein"].toarray(), expected, atol=1e-5)
    assert (before != reference.X).nnz == 0


def test_the_record_survives_a_file(reference, vectors, tmp_path):
    pp.protein_graph(
        reference, pp.Embeddings(list(vectors), np.stack(list(vectors.values())), model="m", pooling="last")
    )
    pp.coexpression_graph(reference)
    pp.add_relation(reference, pd.DataFrame({"a": ["g0"], "b": ["g1"]}), "pathway")
    reference.write_h5ad(tmp_path / "r.h5ad")
    loaded = read_h5ad(tmp_path / "r.h5ad")
    relations = loaded.uns["stimpute"]["relations"]
    assert {name: entry["kind"] for name, entry in relations.items()} == {
        "protein": "vectors",
        "coexpression": "coexpression",
        "pathway": "edges",
    }
    entry = relations["protein"]
    assert entry["coverage"] == pytest.approx(5 / 6)
    assert (entry["n_found"], entry["model"], entry["pooling"], entry["varm"]) == (5, "m", "last", "protein")
    assert sparse.issparse(loaded.varp["protein"])


def test_symbols_may_be_a_column(reference, vectors):
    upper = {name.upper(): vector for name, vector in vectors.items()}
    pp.protein_graph(reference, upper, gene_symbols="symbol", key_added="esm")
    assert reference.var["has_esm"].sum() == 5
    assert reference.uns["stimpute"]["relations"]["esm"]["known"] == "has_esm"
    with pytest.raises(ValueError, match="no column 'nope'"):
        pp.protein_graph(reference, upper, gene_symbols="nope")


def test_other_case_is_listed_and_not_used(reference, vectors):
    vectors["G5"] = vectors["g4"]
    with pytest.warns(UserWarning, match="1 names differ .* G5 for g5"):
        pp.protein_graph(reference, vectors)
    assert not reference.var.loc["g5", "has_protein"]


def test_two_matches_are_too_few(reference, vectors):
    few = {"g0": vectors["g0"], "g1": vectors["g1"], "Rorb": vectors["g2"]}
    with pytest.raises(ValueError, match=r"2 of 6 .* g0, g1, g2, g3, ... 2 more; .* g0, g1, Rorb"):
        pp.protein_graph(reference, few)


def test_zero_vectors_are_no_proteins(reference, vectors):
    vectors["g3"] = np.zeros(7)
    pp.protein_graph(reference, vectors)
    assert not reference.var.loc["g3", "has_protein"]


@pytest.mark.parametrize("directed", [False, True])
def test_edges(reference, directed):
    edges = pd.DataFrame(
        {
            "regulator": ["g0", "g0", "g1", "g2", "g9"],
            "target": ["g1", "g1", "g0", "g2", "g0"],
            "weight": [1, 3, 2, 5, 1],
        }
    )
    with pytest.warns(UserWarning, match="1 of 4 genes of 'net' .* g9"):
        pp.add_relation(reference, edges, "net", directed=directed)
    graph = reference.varp["net"].toarray()
    assert graph[1, 0] == 3  # the target listens, the largest of equal edges counts
    assert graph[0, 1] == (2 if directed else 3)
    assert np.count_nonzero(graph) == 2  # no edge to itself, none to strangers
    assert reference.var["fallback_net"].tolist() == [False, False, True, True, True, True]
    assert reference.uns["stimpute"]["relations"]["net"]["coverage"] == pytest.approx(1 / 3)
    assert reference.uns["stimpute"]["relations"]["net"]["n_unknown"] == 1


def test_edges_without_weights_weigh_one(reference):
    pp.add_relation(reference, pd.DataFrame([["g0", "g1"]]), "net")
    assert reference.varp["net"].data.tolist() == [1, 1]


@pytest.mark.parametrize("weight", [-1, np.nan, np.inf, "x"])
def test_wrong_weights(reference, weight):
    edges = pd.DataFrame([["g0", "g1", 1.0], ["g0", "g2", weight]], columns=["a", "b", "weight"])
    with pytest.raises(ValueError, match="1 edges have a negative, missing or infinite weight"):
        pp.add_relation(reference, edges, "net")


def test_strange_edges(reference):
    with pytest.raises(ValueError, match="No edge of 'net' joins"), pytest.warns(UserWarning, match="2 of 2"):
        pp.add_relation(reference, pd.DataFrame([["x", "y"]]), "net")
    with pytest.raises(ValueError, match="expected a DataFrame"):
        pp.add_relation(reference, [("g0", "g1")], "net")


@pytest.mark.real
def test_osmfish_vectors_are_the_raw_arrays(real_data):
    reference = read_h5ad(real_data / "OSMFISH" / "reference.h5ad")
    pp.protein_graph(reference, real_data / "esm2_osmFISH.npz")
    with np.load(real_data / "esm2_osmFISH.npz") as table:
        raw = pd.DataFrame(table["embedding"], index=table["genes"]).loc[reference.var_names].to_numpy()
    np.testing.assert_array_equal(reference.varm["protein"], raw)
    centred = raw - raw.mean(axis=0)
    cosine = centred @ centred.T / np.outer(*[np.linalg.norm(centred, axis=1)] * 2)
    graph = reference.varp["protein"].toarray()
    np.testing.assert_allclose(graph[graph > 0], cosine[graph > 0], atol=1e-5)
    assert reference.var["has_protein"].all()


@pytest.mark.real
def test_most_of_starmap_falls_back(real_data):
    reference = read_h5ad(real_data / "STARMAP_V1" / "reference.h5ad")
    spatial = read_h5ad(real_data / "STARMAP_V1" / "spatial.h5ad")
    pp.protein_graph(reference, real_data / "esm2_UNION.npz")
    shared = reference.var_names.intersection(spatial.var_names)
    assert len(shared) == 142
    assert reference.var.loc[shared, "has_protein"].sum() == 52

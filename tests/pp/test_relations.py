import time

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData, read_h5ad
from scipy import sparse

from stimpute import pp
from stimpute.data._relation_store import delete_relation, read_relation, relation_names

GENES = [f"g{i}" for i in range(6)]
EDGE = pd.DataFrame({"a": ["g0"], "b": ["g1"]})


@pytest.fixture
def reference():
    counts = np.random.default_rng(0).poisson(2, size=(40, 6))
    symbols = pd.DataFrame({"symbol": [name.upper() for name in GENES]}, index=GENES)
    return AnnData(sparse.csr_matrix(counts.astype(np.float32)), var=symbols)


@pytest.fixture
def vectors():
    return dict(zip(GENES[:5], np.random.default_rng(1).normal(10, 1, size=(5, 7)), strict=True))


def test_vectors_are_stored_as_given(reference, vectors):
    before = reference.copy()
    pp.add_protein_embeddings(reference, vectors)
    raw = np.stack(list(vectors.values())).astype(np.float32)
    np.testing.assert_array_equal(reference.varm["protein"], np.vstack([raw, np.zeros((1, 7))]))
    assert reference.varm["protein"].dtype == np.float32
    assert reference.var["has_protein"].tolist() == [True] * 5 + [False]
    assert not reference.varp
    assert (before.X != reference.X).nnz == 0
    relation = read_relation(reference, "protein")
    assert relation.kind == "vectors"
    np.testing.assert_array_equal(relation.values, reference.varm["protein"])
    assert relation.has_values.tolist() == [True] * 5 + [False]


def test_vectors_of_twenty_thousand_genes_take_no_time():
    genes = [f"g{i}" for i in range(20_000)]
    reference = AnnData(sparse.csr_matrix((2, 20_000), dtype=np.float32), var=pd.DataFrame(index=genes))
    embeddings = pp.ProteinEmbeddings(genes, np.ones((20_000, 64)))
    start = time.process_time()
    pp.add_protein_embeddings(reference, embeddings)
    assert time.process_time() - start < 1


def test_the_record_survives_a_file(reference, vectors, tmp_path):
    matrix = np.stack(list(vectors.values()))
    path = pp.ProteinEmbeddings(list(vectors), matrix, model="m", pooling="last", release="r").write(tmp_path / "p.npz")
    pp.add_protein_embeddings(reference, path)
    pp.add_gene_network(reference, EDGE, "pathway", directed=True)
    reference.write_h5ad(tmp_path / "r.h5ad")
    loaded = read_h5ad(tmp_path / "r.h5ad")
    assert relation_names(loaded) == ["coexpression", "pathway", "protein"]
    protein = read_relation(loaded, "protein")
    assert protein.details == {
        "source": "p.npz",
        "model": "m",
        "pooling": "last",
        "release": "r",
        "n_found": 5,
        "coverage": pytest.approx(5 / 6),
    }
    pathway = read_relation(loaded, "pathway")
    assert pathway.kind == "edges"
    assert pathway.values.toarray().sum() == 1
    assert pathway.details == {"directed": True, "coverage": pytest.approx(1 / 6), "n_edges": 1, "n_unknown": 0}


def test_a_relation_replaces_one_of_the_same_name(reference, vectors):
    pp.add_protein_embeddings(reference, vectors, key_added="mine")
    pp.add_protein_embeddings(reference, {name: [1.0, 2.0] for name in GENES[:4]}, key_added="mine")
    assert reference.varm["mine"].shape == (6, 2)
    assert reference.var["has_mine"].sum() == 4
    assert relation_names(reference) == ["coexpression", "mine"]


def test_a_relation_of_another_kind_leaves_nothing_of_the_old_one(reference, vectors):
    pp.add_protein_embeddings(reference, vectors, key_added="mine")
    pp.add_gene_network(reference, EDGE, "mine")
    assert "mine" not in reference.varm
    assert reference.var["has_mine"].tolist() == [True, True, False, False, False, False]
    assert read_relation(reference, "mine").kind == "edges"
    assert "model" not in read_relation(reference, "mine").details
    pp.add_protein_embeddings(reference, vectors, key_added="mine")
    assert "mine" not in reference.varp
    assert read_relation(reference, "mine").kind == "vectors"
    delete_relation(reference, "mine")
    assert not reference.varm
    assert list(reference.var) == ["symbol"]
    assert relation_names(reference) == ["coexpression"]


def test_the_name_of_the_built_in_relation_is_refused(reference, vectors):
    with pytest.raises(ValueError, match="another name"):
        pp.add_protein_embeddings(reference, vectors, key_added="coexpression")
    with pytest.raises(ValueError, match="another name"):
        pp.add_gene_network(reference, EDGE, "coexpression")
    assert list(reference.var) == ["symbol"]


def test_an_absent_relation_is_named_with_those_that_exist(reference):
    with pytest.raises(KeyError, match="no relation .*protein.* it has .*coexpression.*add_protein_embeddings"):
        read_relation(reference, "protein")
    delete_relation(reference, "protein")  # nothing to do


def test_arrays_that_were_removed_by_hand_are_missed(reference, vectors):
    pp.add_protein_embeddings(reference, vectors)
    del reference.varm["protein"]
    with pytest.raises(KeyError, match="protein.* is not in `reference.varm`.*add_protein_embeddings"):
        read_relation(reference, "protein")


def test_symbols_may_be_a_column(reference, vectors):
    upper = {name.upper(): vector for name, vector in vectors.items()}
    pp.add_protein_embeddings(reference, upper, gene_symbols="symbol", key_added="esm")
    assert reference.var["has_esm"].sum() == 5
    with pytest.raises(KeyError, match="'nope' is not in `reference.var`"):
        pp.add_protein_embeddings(reference, upper, gene_symbols="nope")
    pp.add_gene_network(reference, EDGE.map(str.upper), "net", gene_symbols="symbol")
    assert reference.var["has_net"].sum() == 2
    with pytest.raises(KeyError, match="'nope' is not in `reference.var`"):
        pp.add_gene_network(reference, EDGE, "net", gene_symbols="nope")


def test_genes_that_share_a_symbol_share_its_vector(reference, vectors):
    reference.var["gene"] = ["g0", "g0", "g1", "g2", "x", "y"]
    pp.add_protein_embeddings(reference, vectors, gene_symbols="gene")
    np.testing.assert_array_equal(reference.varm["protein"][0], reference.varm["protein"][1])
    with pytest.raises(ValueError, match="duplicated gene name"):
        pp.add_gene_network(reference, EDGE, "net", gene_symbols="gene")


@pytest.mark.parametrize("missing", [np.nan, None, ""])
def test_missing_gene_names_are_counted_and_refused(reference, vectors, missing):
    reference.var["gene"] = ["g0", "g1", "g2", "g3", missing, missing]
    edges = pd.DataFrame({"a": ["g0", missing, missing], "b": ["g1", "g2", missing]})
    with pytest.raises(ValueError, match=r"2 of 6 gene names in `reference.var\['gene'\]` are missing"):
        pp.add_protein_embeddings(reference, vectors, gene_symbols="gene")
    with pytest.raises(ValueError, match=r"2 of 6 gene names in `reference.var\['gene'\]` are missing"):
        pp.add_gene_network(reference, EDGE, "net", gene_symbols="gene")
    with pytest.raises(ValueError, match="2 of 3 gene names in the first column of `edges` are missing"):
        pp.add_gene_network(reference, edges, "net")
    with pytest.raises(ValueError, match="1 of 3 gene names in the second column of `edges` are missing"):
        pp.add_gene_network(reference, edges.assign(a="g0"), "net")
    with pytest.raises(ValueError, match="1 of 6 gene names in the embeddings are missing"):
        pp.add_protein_embeddings(reference, {**vectors, missing: vectors["g0"]})


def test_names_in_other_case_are_listed_and_not_used(reference, vectors):
    vectors["G5"] = vectors["g4"]
    with pytest.warns(UserWarning, match="1 gene names differ .* G5 for g5"):
        pp.add_protein_embeddings(reference, vectors)
    assert not reference.var.loc["g5", "has_protein"]


def test_two_vectors_are_too_few(reference, vectors):
    few = {"g0": vectors["g0"], "g1": vectors["g1"], "Rorb": vectors["g2"]}
    with pytest.raises(ValueError, match=r"2 of 6 .* g0, g1, g2, g3, g4 and 1 more; .* g0, g1, Rorb"):
        pp.add_protein_embeddings(reference, few)


def test_a_vector_of_zeros_counts_as_none(reference, vectors):
    vectors["g3"] = np.zeros(7)
    pp.add_protein_embeddings(reference, vectors)
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
        pp.add_gene_network(reference, edges, "net", directed=directed)
    graph = reference.varp["net"].toarray()
    assert graph.dtype == np.float32
    assert graph[1, 0] == 3  # the larger weight of equal edges, in the row of the target
    assert graph[0, 1] == (2 if directed else 3)
    assert np.count_nonzero(graph) == 2  # no edge to itself, none to unknown genes
    assert reference.var["has_net"].tolist() == [True, True, False, False, False, False]
    details = read_relation(reference, "net").details
    assert details == {"directed": directed, "coverage": pytest.approx(1 / 3), "n_edges": 2, "n_unknown": 1}


def test_edges_without_weights_have_weight_one(reference):
    pp.add_gene_network(reference, pd.DataFrame([["g0", "g1"]]), "net")
    assert reference.varp["net"].data.tolist() == [1, 1]


def test_the_third_column_is_the_weight(reference):
    pp.add_gene_network(reference, pd.DataFrame([["g0", "g1", 0.5], ["g0", "g2", 0]]), "net")
    assert reference.varp["net"].data.tolist() == [0.5, 0.5]


@pytest.mark.parametrize("weight", [-1, np.nan, np.inf, "x"])
def test_wrong_weights(reference, weight):
    edges = pd.DataFrame([["g0", "g1", 1.0], ["g0", "g2", weight]], columns=["a", "b", "weight"])
    with pytest.raises(ValueError, match=r"1 edges have a negative, missing or infinite weight.*'g2'"):
        pp.add_gene_network(reference, edges, "net")


def test_wrong_edges(reference):
    with pytest.raises(ValueError, match="No edge of 'net' joins"), pytest.warns(UserWarning, match="2 of 2"):
        pp.add_gene_network(reference, pd.DataFrame([["x", "y"]]), "net")
    with pytest.raises(TypeError, match="expected a DataFrame"):
        pp.add_gene_network(reference, [("g0", "g1")], "net")
    for edges in (EDGE[["a"]], EDGE.iloc[:0]):
        with pytest.raises(ValueError, match="expected the columns gene, gene"):
            pp.add_gene_network(reference, edges, "net")


@pytest.mark.real
def test_osmfish_vectors_are_the_raw_arrays(real_data):
    reference = read_h5ad(real_data / "OSMFISH" / "reference.h5ad")
    pp.add_protein_embeddings(reference, real_data / "esm2_osmFISH.npz")
    with np.load(real_data / "esm2_osmFISH.npz") as table:
        raw = pd.DataFrame(table["embedding"], index=table["genes"]).loc[reference.var_names].to_numpy()
    np.testing.assert_array_equal(reference.varm["protein"], raw)
    assert reference.var["has_protein"].all()


@pytest.mark.real
def test_most_of_starmap_has_no_vector(real_data):
    reference = read_h5ad(real_data / "STARMAP_V1" / "reference.h5ad")
    spatial = read_h5ad(real_data / "STARMAP_V1" / "spatial.h5ad")
    pp.add_protein_embeddings(reference, real_data / "esm2_UNION.npz")
    shared = reference.var_names.intersection(spatial.var_names)
    assert len(shared) == 142
    assert reference.var.loc[shared, "has_protein"].sum() == 52

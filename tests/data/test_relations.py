import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from stimpute.data._reference import ReferenceBank
from stimpute.data._relations import Coexpression, Edges, Vectors, adjacency, read_relations

N_GENES, PANEL = 9, np.array([6, 1, 4, 2])
EVERY = np.arange(N_GENES)


@pytest.fixture(scope="module")
def bank():
    x = np.random.default_rng(0).gamma(1.0, 1.0, (50, N_GENES)).astype(np.float32)
    x[:, 8] = 0
    x[:, 7] = 2
    return ReferenceBank(x, pd.Index([f"g{i}" for i in range(N_GENES)]), counts=False)


@pytest.fixture(scope="module")
def coexpression(bank):
    return Coexpression(bank, PANEL)


# ---------------------------------------------------------------- who listens to whom


@given(st.integers(2, 12), st.integers(2, 12), st.integers(0, 9), st.sampled_from([None, 1, 3]))
def test_edges_start_at_visible_genes_and_sum_to_one(n_targets, n_panel, seed, n_edges):
    rng = np.random.default_rng(seed)
    similarity = rng.uniform(-1, 1, (n_targets, n_panel)).astype(np.float32)
    own = np.where(rng.random(n_targets) < 0.5, rng.integers(0, n_panel, n_targets), -1)
    visible = np.sort(rng.choice(n_panel, rng.integers(2, n_panel + 1), replace=False))
    weights = adjacency(similarity, own, visible, n_edges)
    assert weights.shape == (n_targets, len(visible))
    assert weights.dtype == np.float32
    assert (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-5)
    assert (weights[own[:, None] == visible[None]] == 0).all()
    if n_edges is not None:
        assert ((weights > 0).sum(1) <= max(n_edges, 1) + (similarity[:, visible] <= 1e-3).sum(1)).all()
    alone = adjacency(similarity[:1], own[:1], visible, n_edges)
    np.testing.assert_allclose(alone, weights[:1], rtol=1e-6)


def test_what_hidden_genes_resemble_is_not_heard():
    similarity, own = np.random.default_rng(0).random((5, 6)), np.full(5, -1)
    visible = np.array([0, 2, 5])
    changed = similarity.copy()
    changed[:, [1, 3, 4]] = 1
    np.testing.assert_array_equal(adjacency(similarity, own, visible), adjacency(changed, own, visible))


# ---------------------------------------------------------------- similarities


def test_coexpression_is_a_correlation(bank, coexpression):
    x = bank.dense(EVERY)
    expected = np.corrcoef(x[:, :7].T)[:, PANEL]
    found = coexpression.similarity(EVERY)
    np.testing.assert_allclose(found[:7], expected, atol=1e-5)
    np.testing.assert_allclose(found[7:], 0, atol=1e-4)  # constant genes resemble none
    assert np.isfinite(found).all()


def test_coexpression_as_the_paper_has_it(bank):
    x = bank.dense(EVERY)
    unit = x / np.maximum(np.linalg.norm(x, axis=0), 1e-12)
    np.testing.assert_allclose(
        Coexpression(bank, PANEL, centred=False).similarity(EVERY), unit.T @ unit[:, PANEL], atol=1e-5
    )


def test_vectors_fall_back_where_either_gene_has_none(coexpression):
    known = np.ones(N_GENES, bool)
    known[[0, 4]] = False
    vectors = np.random.default_rng(1).normal(size=(N_GENES, 5)).astype(np.float32)
    relation = Vectors(vectors, known, coexpression)
    found, fallback = relation.similarity(EVERY), coexpression.similarity(EVERY)
    np.testing.assert_array_equal(found[0], fallback[0])
    np.testing.assert_array_equal(found[:, 2], fallback[:, 2])
    unit = vectors - vectors[known].mean(0)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    np.testing.assert_allclose(found[3, [0, 1, 3]], unit[3] @ unit[PANEL[[0, 1, 3]]].T, atol=1e-5)
    assert relation.knows(EVERY).tolist() == known.tolist()


def test_vectors_that_no_gene_has(coexpression):
    relation = Vectors(np.zeros((N_GENES, 5), np.float32), np.zeros(N_GENES, bool), coexpression)
    np.testing.assert_array_equal(relation.similarity(EVERY), coexpression.similarity(EVERY))


def test_edges_fall_back_for_genes_without_any(coexpression):
    graph = sparse.lil_matrix((N_GENES, N_GENES), dtype=np.float32)
    graph[0, 1], graph[0, 3], graph[3, 5] = 2.0, 1.0, 1.0  # genes 3 and 5 are not in the panel
    relation = Edges(sparse.csr_matrix(graph), coexpression)
    found = relation.similarity(EVERY)
    assert found[0].tolist() == [0, 2, 0, 0]
    np.testing.assert_array_equal(found[3], coexpression.similarity(EVERY)[3])
    assert relation.knows(EVERY).tolist() == [True, *[False] * 8]


@given(st.permutations(range(N_GENES)))
def test_similarities_do_not_depend_on_what_else_is_asked(order):
    x = np.random.default_rng(0).gamma(1.0, 1.0, (50, N_GENES)).astype(np.float32)
    relation = Coexpression(ReferenceBank(x, pd.Index(map(str, range(N_GENES))), counts=False), PANEL)
    order = np.array(order)
    np.testing.assert_allclose(relation.similarity(order), relation.similarity(EVERY)[order], rtol=1e-6)
    np.testing.assert_allclose(relation.similarity(order[:2]), relation.similarity(EVERY)[order[:2]], rtol=1e-6)


# ---------------------------------------------------------------- from the AnnData


def test_what_the_reference_has_registered(bank):
    reference = AnnData(bank.dense(EVERY), var=pd.DataFrame(index=bank.genes))
    reference.varm["protein"] = np.eye(N_GENES, 3, dtype=np.float32)
    reference.varp["string"] = sparse.eye(N_GENES, format="csr")
    reference.var["has_protein"] = True
    reference.uns["stimpute"] = {
        "relations": {"protein": {"kind": "vectors", "varm": "protein"}, "string": {"kind": "edges", "varp": "string"}}
    }
    kinds = {name: type(relation) for name, relation in read_relations(reference, bank, PANEL).items()}
    assert kinds == {"coexpression": Coexpression, "protein": Vectors, "string": Edges}
    assert list(read_relations(reference, bank, PANEL, "string")) == ["string"]
    assert list(read_relations(reference, bank, PANEL, ["string", "protein"])) == ["string", "protein"]
    with pytest.raises(KeyError, match="no relation .*kegg.*coexpression.*add_relation"):
        read_relations(reference, bank, PANEL, "kegg")

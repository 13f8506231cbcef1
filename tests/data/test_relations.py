import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from stimpute import pp
from stimpute.data import _coexpression
from stimpute.data._coexpression import Coexpression
from stimpute.data._expression import ExpressionMatrix
from stimpute.data._reference import ReferenceExpression
from stimpute.data._relation_store import StoredRelation, write_relation
from stimpute.data._relations import Edges, Vectors, load_relations, row_normalized

N_GENES, SHARED = 9, np.array([6, 1, 4, 2])
ALL = np.arange(N_GENES)


def make_expression() -> ReferenceExpression:
    """Nine genes, of which one is zero and one constant."""
    x = np.random.default_rng(0).gamma(1.0, 1.0, (50, N_GENES)).astype(np.float32)
    x[:, 8] = 0
    x[:, 7] = 2
    genes = pd.Index([f"g{i}" for i in range(N_GENES)])
    return ReferenceExpression(ExpressionMatrix(sparse.csr_matrix(x), genes, is_counts=False))


@pytest.fixture(scope="module")
def expression():
    return make_expression()


@pytest.fixture(scope="module")
def coexpression(expression):
    return Coexpression(expression, SHARED)


# ---------------------------------------------------------------- co-expression in principal components


@pytest.mark.parametrize("centered", [True, False])
def test_with_all_components_coexpression_is_exact(expression, centered):
    found = Coexpression(expression, SHARED, centered, n_components=len(SHARED)).similarity(ALL)
    np.testing.assert_allclose(found, Coexpression(expression, SHARED, centered).similarity(ALL), atol=1e-4)


def test_few_components_keep_what_many_genes_have_in_common():
    """Two programs behind thirty genes: two components have nearly all of their correlation."""
    rng = np.random.default_rng(0)
    x = rng.gamma(1.0, 1.0, (400, 2)) @ rng.gamma(0.3, 1.0, (2, 30)) + 0.05 * rng.random((400, 30))
    matrix = ExpressionMatrix(sparse.csr_matrix(x.astype(np.float32)), pd.Index([f"g{i}" for i in range(30)]), False)
    many, shared = ReferenceExpression(matrix), np.arange(5, 30)
    few = Coexpression(many, shared, n_components=2)
    assert few.loadings.shape == (25, 2)
    exact = Coexpression(many, shared).similarity(np.arange(5))
    np.testing.assert_allclose(few.similarity(np.arange(5)), exact, atol=0.1)
    np.testing.assert_allclose(few.loadings @ few.loadings.T, few.similarity(shared), atol=1e-4)


def test_components_are_found_block_by_block(expression, monkeypatch):
    whole = Coexpression(expression, SHARED, n_components=2).similarity(ALL)
    monkeypatch.setattr(_coexpression, "BLOCK_SIZE", 1)
    np.testing.assert_allclose(Coexpression(expression, SHARED, n_components=2).similarity(ALL), whole, atol=1e-3)


# ---------------------------------------------------------------- edge weights


@given(st.integers(2, 12), st.integers(2, 12), st.integers(0, 9))
def test_edges_start_at_input_genes_and_sum_to_one(n_targets, n_shared, seed):
    rng = np.random.default_rng(seed)
    similarity = rng.uniform(-1, 1, (n_targets, n_shared)).astype(np.float32)
    position = np.where(rng.random(n_targets) < 0.5, rng.integers(0, n_shared, n_targets), -1)
    inputs = np.sort(rng.choice(n_shared, rng.integers(2, n_shared + 1), replace=False))
    weights = row_normalized(similarity, position, inputs)
    assert weights.shape == (n_targets, len(inputs))
    assert weights.dtype == np.float32
    assert (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-5)
    is_itself = position[:, None] == inputs[None]
    np.testing.assert_array_equal(weights == 0, is_itself)
    alone = row_normalized(similarity[:1], position[:1], inputs)
    np.testing.assert_allclose(alone, weights[:1], rtol=1e-6)


def test_edge_weights_by_hand():
    similarity = np.array([[0.2, 0.5, -1.0, 0.3], [0.2, 0.5, 0.1, 0.3]])
    weights = row_normalized(similarity, np.array([-1, 3]), np.array([0, 2, 3]))
    first = np.array([0.2, 1e-3, 0.3])  # negative similarities have the smallest weight
    np.testing.assert_allclose(weights, [first / first.sum(), [2 / 3, 1 / 3, 0]], rtol=1e-6)


def test_similarities_to_held_out_genes_are_not_used():
    similarity, position = np.random.default_rng(0).random((5, 6)), np.full(5, -1)
    inputs = np.array([0, 2, 5])
    changed = similarity.copy()
    changed[:, [1, 3, 4]] = 1
    np.testing.assert_array_equal(
        row_normalized(similarity, position, inputs), row_normalized(changed, position, inputs)
    )


def test_a_target_that_is_the_only_input_gets_no_edge():
    assert row_normalized(np.ones((1, 2)), np.array([0]), np.array([0])).tolist() == [[0]]


# ---------------------------------------------------------------- similarities


def test_coexpression_is_a_correlation(expression, coexpression):
    x = expression.dense(ALL)
    expected = np.corrcoef(x[:, :7].T)[:, SHARED]
    found = coexpression.similarity(ALL)
    np.testing.assert_allclose(found[:7], expected, atol=1e-5)
    assert (found[7:] == 0).all()  # constant genes are similar to none
    assert np.isfinite(found).all()
    assert found.dtype == np.float32


@pytest.mark.parametrize("n_components", [None, 4])
def test_a_gene_that_is_constant_is_similar_to_none_on_either_side(n_components):
    """Half of the genes have one value, of which a sum over the cells in float32 is rounded."""
    n_genes = 8
    x = np.random.default_rng(0).gamma(1.0, 1.0, (3001, n_genes)).astype(np.float32)
    x[:, ::2] = np.float32([0.1, 1.7, 3.3, 1e-4])
    matrix = ExpressionMatrix(sparse.csr_matrix(x), pd.Index([f"g{i}" for i in range(n_genes)]), is_counts=False)
    expression = ReferenceExpression(matrix)
    assert (expression.std[::2] == 0).all()
    assert (expression.std[1::2] > 0.5).all()
    found = Coexpression(expression, np.arange(n_genes), n_components=n_components).similarity(np.arange(n_genes))
    assert (found[::2] == 0).all()
    assert (found[:, ::2] == 0).all()
    np.testing.assert_allclose(np.diag(found)[1::2], 1, rtol=1e-3)


@pytest.mark.parametrize("n_components", [None, 4])
def test_coexpression_is_that_of_the_first_dataset_with_both_genes(n_components):
    x = np.random.default_rng(1).gamma(1.0, 1.0, (2, 60, N_GENES)).astype(np.float32)
    x[0, :, [3, 4]] = 0

    def similarity(values, dataset=None):
        matrix = ExpressionMatrix(sparse.csr_matrix(values), pd.Index([f"g{i}" for i in range(N_GENES)]), False)
        joined = ReferenceExpression(matrix, dataset)
        return Coexpression(joined, SHARED, n_components=n_components).similarity(ALL)

    found = similarity(np.concatenate(x), np.repeat([0, 1], 60))
    is_second = np.isin(ALL, [3, 4])[:, None] | np.isin(SHARED, [3, 4])
    np.testing.assert_allclose(found, np.where(is_second, similarity(x[1]), similarity(x[0])), atol=1e-5)


def test_coexpression_of_the_paper_is_a_cosine(expression):
    x = expression.dense(ALL)
    unit = x / np.maximum(np.linalg.norm(x, axis=0), 1e-12)
    found = Coexpression(expression, SHARED, centered=False).similarity(ALL)
    np.testing.assert_allclose(found, unit.T @ unit[:, SHARED], atol=1e-5)


def test_vectors_fall_back_where_either_gene_has_none(coexpression):
    has_vector = np.ones(N_GENES, bool)
    has_vector[[0, 4]] = False
    vectors = np.random.default_rng(1).normal(size=(N_GENES, 5)).astype(np.float32)
    found, fallback = Vectors(vectors, has_vector, coexpression).similarity(ALL), coexpression.similarity(ALL)
    np.testing.assert_array_equal(found[0], fallback[0])
    np.testing.assert_array_equal(found[:, 2], fallback[:, 2])
    unit = vectors - vectors[has_vector].mean(0)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    np.testing.assert_allclose(found[3, [0, 1, 3]], unit[3] @ unit[SHARED[[0, 1, 3]]].T, atol=1e-5)


def test_vectors_of_the_paper_are_not_centered(coexpression):
    vectors = np.random.default_rng(1).normal(3, 1, size=(N_GENES, 5)).astype(np.float32)
    relation = Vectors(vectors, np.ones(N_GENES, bool), coexpression, centered=False)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    np.testing.assert_allclose(relation.similarity(ALL), unit @ unit[SHARED].T, atol=1e-5)


def test_vectors_that_no_gene_has(coexpression):
    relation = Vectors(np.zeros((N_GENES, 5), np.float32), np.zeros(N_GENES, bool), coexpression)
    np.testing.assert_array_equal(relation.similarity(ALL), coexpression.similarity(ALL))


def test_edges_fall_back_for_genes_without_any(coexpression):
    graph = sparse.lil_matrix((N_GENES, N_GENES), dtype=np.float32)
    graph[0, 1], graph[0, 3], graph[3, 5] = 2.0, 1.0, 1.0  # genes 3 and 5 are not shared
    found = Edges(sparse.csr_matrix(graph), coexpression).similarity(ALL)
    assert found[0].tolist() == [0, 2, 0, 0]
    np.testing.assert_array_equal(found[3], coexpression.similarity(ALL)[3])
    np.testing.assert_array_equal(found[1], coexpression.similarity(ALL)[1])  # an edge has a direction


@given(st.permutations(range(N_GENES)))
def test_similarities_do_not_depend_on_what_else_is_asked(order):
    coexpression = Coexpression(make_expression(), SHARED)
    vectors = np.random.default_rng(1).normal(size=(N_GENES, 5)).astype(np.float32)
    order = np.array(order)
    for relation in (coexpression, Vectors(vectors, np.arange(N_GENES) < 8, coexpression)):
        together = relation.similarity(ALL)
        np.testing.assert_allclose(relation.similarity(order), together[order], rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(relation.similarity(order[:2]), together[order[:2]], rtol=1e-6, atol=1e-7)


# ---------------------------------------------------------------- from the AnnData


def test_relations_are_loaded_by_name_in_the_order_asked(expression):
    reference = AnnData(expression.dense(ALL), var=pd.DataFrame(index=expression.genes))
    everything = np.ones(N_GENES, bool)
    write_relation(reference, StoredRelation("protein", "vectors", np.eye(N_GENES, 3), everything))
    write_relation(reference, StoredRelation("string", "edges", sparse.eye(N_GENES, format="csr"), everything))
    names = ["string", "coexpression", "protein"]
    loaded = load_relations(reference, expression, SHARED, names, centered=False)
    assert [(name, type(relation)) for name, relation in loaded.items()] == [
        ("string", Edges),
        ("coexpression", Coexpression),
        ("protein", Vectors),
    ]
    assert not loaded["coexpression"].centered
    assert loaded["coexpression"].expression is expression
    assert loaded["coexpression"].shared is SHARED
    assert loaded["protein"].fallback is loaded["string"].fallback is loaded["coexpression"]
    assert not loaded["protein"].centered
    assert not loaded["string"].fallback.centered
    assert load_relations(reference, expression, SHARED, ["protein"])["protein"].centered
    np.testing.assert_array_equal(loaded["protein"].vectors, np.eye(N_GENES, 3))
    assert loaded["protein"].has_vector.tolist() == [True] * N_GENES
    np.testing.assert_array_equal(loaded["string"].graph.toarray(), np.eye(N_GENES))
    few = load_relations(reference, expression, SHARED, ["coexpression"], n_components=3)["coexpression"]
    assert (few.centered, few.n_components) == (True, 3)
    assert load_relations(reference, expression, SHARED, []) == {}
    with pytest.raises(KeyError, match="no relation .*kegg.*coexpression.*add_gene_network"):
        load_relations(reference, expression, SHARED, ["kegg"])


def test_the_length_of_vectors_does_not_matter(coexpression):
    vectors = np.random.default_rng(0).normal(size=(N_GENES, 3))
    expected = Vectors(vectors, np.ones(N_GENES, bool), coexpression).similarity(ALL)
    found = Vectors(1e-3 * vectors, np.ones(N_GENES, bool), coexpression).similarity(ALL)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_an_edge_of_any_weight_is_an_edge(coexpression):
    graph = sparse.csr_matrix(([0.01], ([0], [SHARED[1]])), shape=(N_GENES, N_GENES))
    found = Edges(graph, coexpression).similarity(np.array([0]))
    np.testing.assert_allclose(found, [[0, 0.01, 0, 0]])
    assert found.dtype == np.float32


@pytest.mark.parametrize("factor", [1, 1000])
def test_weights_of_a_network_have_the_scale_of_correlations(expression, factor):
    adata = AnnData(expression.dense(np.arange(expression.n_genes)), var=pd.DataFrame(index=expression.genes))
    edges = pd.DataFrame({"a": adata.var_names[:3], "b": adata.var_names[1:4], "weight": np.array([1, 0.5, 0.25])})
    pp.add_gene_network(adata, edges.assign(weight=factor * edges["weight"]), "net")
    shared = np.arange(4)
    found = load_relations(adata, expression, shared, ["net"])["net"].similarity(shared)
    np.testing.assert_allclose(found[[0, 1, 2], [1, 2, 3]], [1, 0.5, 0.25])


def test_what_a_fingerprint_reads_of_vectors_does_not_depend_on_their_type(coexpression):
    vectors = np.arange(6.0).reshape(3, 2)
    has_vector = np.array([True, False, True])
    expected = [has_vector[[2, 0, 1]].tobytes(), vectors[[2, 0, 1]].astype("<f4").tobytes()]
    for stored in (vectors, vectors.astype(np.float32)):
        assert Vectors(stored, has_vector, coexpression).digest_parts(np.array([2, 0, 1])) == expected


def test_what_a_fingerprint_reads_of_edges_depends_on_neither_machine_nor_storage():
    graph = sparse.csr_matrix(np.array([[0, 0.5, 0], [0, 0, 0], [2, 0, 1]]))
    expected = [np.array([0, 2, 3, 3], "<i8"), np.array([0, 1, 2], "<i8"), np.array([1, 2, 0.5], "<f4")]
    for stored in (graph, graph.astype(np.float32), sparse.csr_matrix(graph[:, ::-1])[:, ::-1]):
        assert Edges(stored, None).digest_parts(np.array([2, 0, 1])) == [part.tobytes() for part in expected]

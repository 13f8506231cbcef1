import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from stimpute import pp
from stimpute.data._coexpression import Coexpression
from stimpute.data._expression import read_expression
from stimpute.data._reference import ReferenceExpression
from stimpute.data._relation_store import read_relation, relation_names
from stimpute.data._relations import load_relations
from stimpute.datasets import synthetic_tissue
from stimpute.tl._permute_relation import PERMUTED_COEXPRESSION, permute_relation

COUNTS = {"expression": "counts"}
FIRST_GENES = np.arange(5)


@pytest.fixture(scope="module")
def tissue():
    tissue = synthetic_tissue(n_cells=20, n_reference=80, n_measured=14, n_unmeasured=6, n_missing_proteins=3)
    pp.add_protein_embeddings(tissue.reference, tissue.proteins)
    genes = list(tissue.reference.var_names)
    pp.add_gene_network(tissue.reference, pd.DataFrame({"a": genes[:8], "b": genes[1:9]}), "chain")
    return tissue


def permute(tissue, relation, shared=FIRST_GENES, seed=0, centered=True):
    rng = np.random.default_rng(seed)
    return permute_relation(tissue.reference, relation, shared, rng, COUNTS, centered=centered)


def test_inputs_are_not_changed(tissue):
    reference = tissue.reference.copy()
    for relation in ("protein", "chain", "coexpression"):
        permute_relation(reference, relation, FIRST_GENES, np.random.default_rng(0), COUNTS, centered=True)
    np.testing.assert_array_equal(reference.varm["protein"], tissue.reference.varm["protein"])
    assert (reference.varp["chain"] != tissue.reference.varp["chain"]).nnz == 0
    assert relation_names(reference) == ["coexpression", "chain", "protein"]
    assert set(reference.varp) == {"chain"}
    pd.testing.assert_frame_equal(reference.var, tissue.reference.var)


def test_vectors_stay_among_genes_that_have_one(tissue):
    before = tissue.reference.varm["protein"]
    after = read_relation(permute(tissue, "protein"), "protein")
    has_vector = tissue.reference.var["has_protein"].to_numpy()
    assert not np.allclose(before, after.values)
    np.testing.assert_array_equal(np.sort(before[has_vector], axis=0), np.sort(after.values[has_vector], axis=0))
    assert not after.values[~has_vector].any()
    np.testing.assert_array_equal(after.has_values, has_vector)


def test_edges_keep_their_number_and_genes(tissue):
    before = tissue.reference.varp["chain"]
    after = read_relation(permute(tissue, "chain", seed=1), "chain").values
    assert after.nnz == before.nnz
    assert (after != after.T).nnz == 0
    assert (after != before).nnz > 0
    np.testing.assert_array_equal(np.diff(after.indptr) > 0, np.diff(before.indptr) > 0)
    np.testing.assert_array_equal(np.sort(np.diff(after.indptr)), np.sort(np.diff(before.indptr)))


def test_directed_edges_are_permuted_on_both_axes(tissue):
    """Edges from one gene to seven: still from one gene to seven, none of them itself."""
    reference = tissue.reference.copy()
    genes = list(reference.var_names)
    pp.add_gene_network(reference, pd.DataFrame({"a": genes[0], "b": genes[1:8]}), "star", directed=True)
    permuted = permute_relation(reference, "star", FIRST_GENES, np.random.default_rng(3), COUNTS, centered=True)
    relation = read_relation(permuted, "star")
    assert relation.values.sum(1).max() == 1
    assert sorted(np.asarray(relation.values.sum(0)).ravel())[-2:] == [0, 7]
    assert relation.values.diagonal().sum() == 0
    np.testing.assert_array_equal(relation.values.sum(1).A1 > 0, relation.has_values)


@pytest.mark.parametrize("centered", [True, False])
def test_permuted_coexpression_is_that_of_other_genes(tissue, centered):
    shared = np.array([0, 3, 7, 11])
    permuted = permute(tissue, "coexpression", shared, seed=2, centered=centered)
    other = np.random.default_rng(2).permutation(20)[:4]
    counts = tissue.reference.X.toarray().astype(float)
    totals = counts.sum(1, keepdims=True)
    log = np.log1p(counts / totals * np.median(totals))
    unit = log / np.linalg.norm(log, axis=0)
    expected = (np.corrcoef(log.T) if centered else unit.T @ unit)[np.ix_(other, other)]
    graph = sparse.csr_matrix(permuted.varp[PERMUTED_COEXPRESSION]).toarray()
    np.testing.assert_allclose(graph[np.ix_(shared, shared)], expected, atol=1e-4)
    assert graph.sum() == pytest.approx(graph[np.ix_(shared, shared)].sum())


def test_permuted_coexpression_is_never_the_true_one():
    """Not of genes that are not expressed, and not of the pooled cells of several references."""
    tissue = synthetic_tissue(n_cells=20, n_reference=60, n_measured=8, n_unmeasured=52, n_missing_proteins=0)
    reference = tissue.reference
    is_silent = ~reference.var_names.isin(tissue.spatial.var_names)
    x = reference.X.toarray()
    x[:, is_silent] = 0
    reference.X = sparse.csr_matrix(x)
    reference.obs["dataset"] = np.repeat(["a", "b"], 30)
    shared = np.flatnonzero(~is_silent)
    setup = {"dataset_key": "dataset", "expression": "counts"}
    permuted = permute_relation(reference, "coexpression", shared, np.random.default_rng(0), setup, centered=True)
    expression = ReferenceExpression(read_expression(reference), np.repeat([0, 1], 30))
    true = Coexpression(expression, shared).similarity(shared)
    found = load_relations(permuted, expression, shared, [PERMUTED_COEXPRESSION])[PERMUTED_COEXPRESSION]
    order = np.random.default_rng(0).permutation(shared)
    expected = Coexpression(expression, order).similarity(order)
    np.testing.assert_allclose(found.similarity(shared), expected, atol=1e-5)
    assert not any(np.allclose(found.similarity(shared)[i], true[i], atol=1e-3) for i in range(8))

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from stimpute import pp
from stimpute.data import _fingerprint, _reference
from stimpute.data._expression import ExpressionMatrix
from stimpute.data._reference import Reference, ReferenceExpression
from stimpute.data._relations import load_relations

GENES = pd.Index([f"g{i}" for i in range(9)])


@pytest.fixture
def counts():
    x = np.random.default_rng(0).poisson(1.0, (40, 9)).astype(np.float32)
    x[:, 4], x[7] = 0, 0
    return x


def matrix(x, genes=GENES, is_counts=True):
    return ExpressionMatrix(sparse.csr_matrix(x), genes, is_counts)


def with_explicit_zeros(x):
    stored = sparse.csr_matrix(np.ones_like(x))
    stored.data = x.ravel().copy()
    return stored


def log_normalized(counts):
    totals = counts.sum(1)
    return np.log1p(counts * (np.median(totals[totals > 0]) / np.maximum(totals, 1))[:, None])


# ---------------------------------------------------------------- expression


def fingerprint(expression, relations, dataset=None):
    digest = _fingerprint.expression_digest(expression)
    return _fingerprint.fingerprint(digest, expression.genes, relations, dataset)


def test_statistics_are_those_of_the_dense_matrix(counts):
    expression = ReferenceExpression(matrix(counts))
    dense = log_normalized(counts)
    np.testing.assert_allclose(expression.dense(np.arange(9)), dense, rtol=1e-5)
    np.testing.assert_allclose(expression.mean, dense.mean(0), rtol=1e-5)
    np.testing.assert_allclose(expression.std, dense.std(0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(expression.detection_rate, (dense > 0).mean(0))
    assert (expression.n_cells, expression.n_genes) == (40, 9)
    assert expression.datasets[0].target_sum == np.median(counts.sum(1)[counts.sum(1) > 0])


def test_some_genes_are_returned_in_the_order_asked(counts):
    expression = ReferenceExpression(matrix(counts))
    found = expression.dense(np.array([3, 0]))
    np.testing.assert_array_equal(found, expression.dense(np.arange(9))[:, [3, 0]])
    assert found.dtype == np.float32
    assert found.flags.c_contiguous


def test_normalized_values_are_not_scaled(counts):
    values = np.log1p(counts)
    expression = ReferenceExpression(matrix(values, is_counts=False))
    np.testing.assert_array_equal(expression.dense(np.arange(9)), values)
    assert expression.datasets[0].target_sum == 1


def test_explicit_zeros_are_not_detected(counts):
    expression = ReferenceExpression(matrix(with_explicit_zeros(counts)))
    np.testing.assert_allclose(expression.detection_rate, (counts > 0).mean(0))


def test_cells_at_the_end_without_any_count_are_cells(counts):
    counts[-3:] = 0
    expression = ReferenceExpression(matrix(counts))
    assert expression.n_cells == 40
    np.testing.assert_allclose(expression.detection_rate, (counts > 0).mean(0))


def test_values_of_one_entry_that_are_stored_apart_are_added():
    apart = sparse.csr_matrix((np.array([1.0, 2, 3, 1]), np.array([0, 0, 1, 1]), np.array([0, 3, 4])), shape=(2, 2))
    assert not apart.has_canonical_format
    genes = pd.Index(["a", "b"])
    dense = ReferenceExpression(matrix(apart.toarray(), genes))
    for name in ("mean", "std", "detection_rate"):
        found = getattr(ReferenceExpression(matrix(apart, genes)), name)
        np.testing.assert_allclose(found, getattr(dense, name), rtol=1e-6)


def test_the_input_is_not_changed(counts):
    x = sparse.csr_matrix(counts)
    before = x.copy()
    fingerprint(matrix(x), {})
    assert ReferenceExpression(matrix(x)).std.any()
    ReferenceExpression(matrix(x, is_counts=False)).datasets[0].by_gene.data[:] = 0
    assert (x != before).nnz == 0
    assert x.nnz == before.nnz


def test_statistics_in_blocks_of_genes_are_those_of_all_genes(counts, monkeypatch):
    expected = ReferenceExpression(matrix(counts))
    monkeypatch.setattr(_reference, "GENES_PER_BLOCK", 4)
    found = ReferenceExpression(matrix(counts))
    np.testing.assert_allclose(found.mean, expected.mean)
    np.testing.assert_allclose(found.std, expected.std)


# ---------------------------------------------------------------- several datasets


DATASET = np.arange(40) % 3


@pytest.fixture
def several(counts):
    """Three datasets; the first has no gene 0, the first two have no gene 1, and no dataset has gene 4."""
    counts += 1
    counts[:, 4] = 0
    counts[DATASET == 0, 0] = 0
    counts[DATASET < 2, 1] = 0
    return ReferenceExpression(matrix(counts), DATASET), counts


def test_each_dataset_is_normalized_by_its_own_totals(several):
    expression, counts = several
    expected = np.empty_like(counts)
    for index in range(3):
        expected[index == DATASET] = log_normalized(counts[index == DATASET])
    found = expression.dense(np.arange(9))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert found.dtype == np.float32


def test_statistics_are_of_the_first_dataset_that_has_the_gene(several):
    expression, counts = several
    first = np.array([1, 2, 0, 0, 0, 0, 0, 0, 0])
    np.testing.assert_array_equal(expression.first_dataset, first)
    dense = expression.dense(np.arange(9))
    for gene, index in enumerate(first):
        values = dense[index == DATASET, gene]
        expected = {"mean": values.mean(), "std": values.std(), "detection_rate": (values > 0).mean()}
        for name, value in expected.items():
            on_scale = expression.on_first_scale(index, name, np.array([value]))
            assert getattr(expression, name)[gene] == pytest.approx(on_scale[0], rel=1e-4)
    np.testing.assert_allclose(expression.n_expressing(np.arange(9)), (counts > 0).sum(0))


@pytest.mark.parametrize("total", [50, 5e4])
def test_a_gene_that_only_another_dataset_has_gets_the_scale_of_the_first(total):
    """The second dataset is normalized to another total than that of the first, 600."""
    rng = np.random.default_rng(0)
    genes = pd.RangeIndex(300).astype(str)
    first = rng.poisson(rng.gamma(1.0, 2.0, 300), (400, 300))
    second = rng.permuted(first, axis=0)
    values = np.vstack([log_normalized(first), np.log1p(total * second / second.sum(1, keepdims=True))])
    expected = ReferenceExpression(matrix(values[:400], genes, is_counts=False))
    values[:400, :60] = 0
    found = ReferenceExpression(matrix(values, genes, is_counts=False), np.repeat([0, 1], 400))
    for name in ("mean", "std", "detection_rate"):
        error = np.abs(getattr(found, name) - getattr(expected, name))
        assert error[:60].mean() < 0.1
        assert error[60:].max() < 1e-6
    assert np.abs(found.datasets[1].mean[:60] - expected.mean[:60]).mean() > 0.5


def test_values_of_two_genes_are_of_the_first_dataset_that_has_both(several):
    expression, _ = several
    genes, others = np.array([2, 0, 4, 1]), np.array([3, 0, 1])
    by_dataset = [np.full((4, 3), index) for index in range(3)]
    found = expression.from_first_with_both(by_dataset.__getitem__, genes, others)
    assert found.tolist() == [[0, 1, 2], [1, 1, 2], [0, 0, 0], [2, 2, 2]]
    assert not expression.has_both(0, genes, others)[0, 1]
    needed = []
    expression.from_first_with_both(lambda index: needed.append(index) or by_dataset[index], genes[:1], others[:1])
    assert needed == [0]


# ---------------------------------------------------------------- shared genes


def test_targets_are_found_among_the_shared_genes(counts):
    reference = Reference(ReferenceExpression(matrix(counts)), np.array([6, 1, 3]), {})
    assert reference.position_among_shared(np.array([1, 0, 6, 8])).tolist() == [1, -1, 0, -1]


def test_expressing_cells_are_counted(counts):
    reference = Reference(ReferenceExpression(matrix(counts)), np.array([6, 1, 3]), {})
    found = reference.n_cells_expressing(np.array([4, 0, 8]))
    np.testing.assert_allclose(found, (counts[:, [4, 0, 8]] > 0).sum(0))


# ---------------------------------------------------------------- fingerprint


@given(st.permutations(range(9)))
def test_the_fingerprint_does_not_depend_on_the_order_of_the_genes(order):
    counts = np.random.default_rng(0).poisson(1.0, (40, 9)).astype(np.float32)
    order = np.array(order)
    assert fingerprint(matrix(counts[:, order], GENES[order]), {}) == fingerprint(matrix(counts), {})


def test_the_fingerprint_does_not_depend_on_how_the_matrix_is_stored(counts):
    same = fingerprint(matrix(counts), {})
    unsorted = sparse.csr_matrix(counts)[:, ::-1][:, ::-1]
    for form in (sparse.csc_matrix(counts), counts.astype(np.int64), with_explicit_zeros(counts), unsorted):
        assert fingerprint(matrix(form), {}) == same


def test_differing_parts_are_named():
    compare = _fingerprint.differing_parts
    assert compare("a-b-c-d", "a-b-c-d") == []
    assert compare("a-b-c-d", "a-x-c-y") == ["cells or expression", "which cells are of which data set"]
    assert compare("a-b-c-d", "x-y-c-d") == ["names of genes"]
    for older in ("a", "a-b-c"):
        (difference,) = compare("a-b-c-d", older)
        assert "another version" in difference


def test_the_fingerprint_depends_on_values_cells_and_names(counts):
    order = np.random.default_rng(1).permutation(9)
    changed = counts.copy()
    changed[3, 3] += 1
    found = [
        fingerprint(matrix(counts), {}),
        fingerprint(matrix(counts[:, order]), {}),
        fingerprint(matrix(counts[::-1]), {}),
        fingerprint(matrix(counts[:-1]), {}),
        fingerprint(matrix(np.vstack([counts, np.zeros(9)])), {}),
        fingerprint(matrix(counts, pd.Index([*GENES[:-1], "other"])), {}),
        fingerprint(matrix(changed), {}),
    ]
    assert len(set(found)) == len(found)


@pytest.fixture
def related(counts):
    """A reference with vectors and edges."""
    reference = AnnData(counts, var=pd.DataFrame(index=GENES))
    vectors = np.random.default_rng(2).normal(size=(8, 3))
    pp.add_protein_embeddings(reference, dict(zip(GENES, vectors, strict=False)))
    pp.add_gene_network(reference, pd.DataFrame([["g0", "g1", 0.5], ["g4", "g6", 2]]), "net")
    return reference


def digest(adata, names=("coexpression", "protein", "net"), centered=True):
    x = matrix(adata.X, adata.var_names)
    shared = adata.var_names.get_indexer(["g3", "g1"])
    return fingerprint(x, load_relations(adata, ReferenceExpression(x), shared, names, centered=centered))


@pytest.mark.parametrize("seed", range(3))
def test_the_fingerprint_of_relations_does_not_depend_on_the_order_of_the_genes(related, seed):
    order = np.random.default_rng(seed).permutation(9)
    assert digest(related[:, order].copy()) == digest(related)
    assert digest(related, ["net", "coexpression", "protein"]) == digest(related)


def test_the_fingerprint_depends_on_each_relation(related):
    names = ["coexpression", "protein", "net"]
    choices = [names, names[:1], names[:2], names[1:2], names[2:]]
    found = [digest(related, chosen) for chosen in choices]
    for relation in ("protein", "net"):
        changed = related.copy()
        slot = changed.varm if relation == "protein" else changed.varp
        slot[relation] = slot[relation] * 2 if relation == "protein" else slot[relation].power(2)
        found.append(digest(changed))
    changed = related.copy()
    changed.var["has_protein"] = True
    found.append(digest(changed))
    assert len(set(found)) == len(found)


def test_the_spread_of_a_strongly_expressed_gene_is_exact_over_many_cells():
    """Sums of float32 lose it: the mean square is large, and the variance is small."""
    values = np.random.default_rng(0).normal(5, 0.07, (600_000, 1)).astype(np.float32)
    expression = ReferenceExpression(matrix(values, pd.Index(["g"]), is_counts=False))
    assert expression.std[0] == pytest.approx(values.std(dtype=np.float64), rel=1e-4)

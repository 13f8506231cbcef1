import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from stimpute.data import _metacells
from stimpute.data._expression import ExpressionMatrix
from stimpute.data._metacells import (
    Metacells,
    find_metacells,
    gene_statistics,
    standardized_blocks,
    standardized_genes,
    weighted_gene_statistics,
)
from stimpute.data._reference import Reference, ReferenceExpression

SHARED = np.array([4, 0, 2])


def make_reference(n_cells=60, n_genes=6, shared=SHARED, seed=0) -> Reference:
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 3, n_cells)
    counts = rng.poisson(rng.gamma(1.0, 3.0, (3, n_genes))[kind]).astype(np.float32)
    counts[:, 5] = 0
    genes = pd.Index([f"g{i}" for i in range(n_genes)])
    return Reference(ReferenceExpression(ExpressionMatrix(sparse.csr_matrix(counts), genes, True)), shared, {})


@pytest.fixture(scope="module")
def reference():
    return make_reference()


@given(st.integers(1, 70), st.integers(0, 3))
def test_metacells_are_numbered_without_gaps(n, seed):
    metacell = find_metacells(make_reference(), n, seed)
    assert len(metacell) == 60
    assert set(metacell) == set(range(metacell.max() + 1))
    assert metacell.max() + 1 <= min(n, 60)


@pytest.mark.parametrize("n", [60, 61, 1000])
def test_every_cell_is_its_own_metacell_where_there_are_few(reference, n):
    assert find_metacells(reference, n, 0).tolist() == list(range(60))


def test_one_seed_gives_one_grouping(reference):
    first = find_metacells(reference, 7, 1)
    np.testing.assert_array_equal(find_metacells(reference, 7, 1), first)


def test_cells_that_are_alike_are_grouped():
    """Cells of three kinds without noise."""
    kinds = np.array([[9, 1, 1, 1], [1, 9, 1, 1], [1, 1, 9, 1]], np.float32)
    kind = np.arange(90) % 3
    matrix = ExpressionMatrix(sparse.csr_matrix(kinds[kind]), pd.Index(list("abcd")), True)
    metacell = find_metacells(Reference(ReferenceExpression(matrix), np.arange(3), {}), 3, 0)
    table = pd.crosstab(kind, metacell).to_numpy()
    assert ((table > 0).sum(0) == 1).all()


def test_many_shared_genes_are_reduced_first():
    reference = make_reference(n_genes=45, shared=np.arange(40))
    metacell = find_metacells(reference, 5, 0)
    assert set(metacell) == set(range(metacell.max() + 1))


def test_profiles_by_hand(reference):
    metacell = np.arange(60) % 4
    found = Metacells(reference, metacell)
    expression = reference.expression.dense(np.arange(6)).astype(np.float64)
    mean = np.stack([expression[metacell == index].mean(0) for index in range(4)])
    std = expression.std(0)
    expected = (mean - expression.mean(0)) / np.where(std > 0, std, 1)
    np.testing.assert_allclose(found.profiles(np.arange(6)), expected, atol=1e-5)
    np.testing.assert_array_equal(found.profiles(np.array([5])), np.zeros((4, 1)))  # a gene that is zero
    np.testing.assert_array_equal(found.shared_profiles, found.profiles(SHARED))
    assert found.shared_profiles.dtype == np.float32


def standardized(reference):
    return standardized_genes(reference.expression.datasets[0], reference.shared)


def test_profiles_of_single_cells_are_the_standardized_cells(reference):
    found = Metacells(reference, np.arange(60))
    np.testing.assert_allclose(found.shared_profiles, standardized(reference), atol=1e-5)
    expression = reference.expression.dense(SHARED)
    expected = (expression - expression.mean(0)) / expression.std(0)
    np.testing.assert_allclose(standardized(reference), expected, atol=1e-4)


def test_correlation_over_metacells_is_that_of_numpy(reference):
    found = Metacells(reference, find_metacells(reference, 8, 0))
    profiles = found.profiles(np.arange(5))
    expected = np.corrcoef(profiles.T)[:, SHARED]
    np.testing.assert_allclose(found.correlations(np.arange(5))[0], expected, atol=1e-5)
    np.testing.assert_allclose(found.correlations(np.array([5]))[0], 0)  # a gene that is zero is similar to none


def test_statistics_of_genes(reference):
    expression = reference.expression
    found = gene_statistics(expression, np.array([3, 5]))
    dense = expression.dense(np.array([3, 5]))
    expected = np.column_stack([dense.mean(0), dense.std(0), (dense > 0).mean(0)])
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_equal_weights_give_the_statistics_of_the_reference(reference):
    genes = np.array([5, 1, 3])
    weights = np.full(60, 1 / 60)
    found = weighted_gene_statistics(reference.expression.datasets[0], genes, weights)
    np.testing.assert_allclose(found, gene_statistics(reference.expression, genes), rtol=1e-5, atol=1e-6)


def test_weighted_statistics_are_those_of_repeated_cells(reference):
    genes = np.arange(6)
    times = np.random.default_rng(3).integers(0, 4, 60)
    found = weighted_gene_statistics(reference.expression.datasets[0], genes, times / times.sum())
    repeated = np.repeat(reference.expression.dense(genes).astype(float), times, axis=0)
    expected = [repeated.mean(0), repeated.std(0), (repeated > 0).mean(0)]
    np.testing.assert_allclose(found, np.transpose(expected), rtol=1e-5, atol=1e-6)


def test_zeros_that_are_stored_are_not_detected():
    stored = sparse.csr_matrix((np.array([0.0, 2, 1]), np.array([0, 0, 1]), np.array([0, 1, 3])), shape=(2, 2))
    expression = ReferenceExpression(ExpressionMatrix(stored, pd.Index(["a", "b"]), False))
    found = weighted_gene_statistics(expression.datasets[0], np.array([0]), np.array([0.25, 0.75]))
    np.testing.assert_allclose(found, [[1.5, np.sqrt(0.75), 0.75]])


def test_weights_of_metacells_are_spread_evenly_over_their_cells(reference):
    metacell = np.arange(60) % 7
    metacells = Metacells(reference, metacell)
    weights = np.random.default_rng(0).random(7)
    found = metacells.by_dataset[0].cell_weights(weights)
    assert found.sum() == pytest.approx(1)
    np.testing.assert_allclose(np.bincount(metacell, found), weights / weights.sum(), rtol=1e-6)
    assert all(np.ptp(found[metacell == index]) < 1e-9 for index in range(7))
    np.testing.assert_allclose(metacells.by_dataset[0].cell_weights(np.zeros(7)), 1 / 60)


def test_cells_in_blocks_are_all_cells(reference, monkeypatch):
    monkeypatch.setattr(_metacells, "CELLS_PER_BLOCK", 7)
    blocks = list(standardized_blocks(reference.expression.datasets[0], reference.shared))
    assert len(blocks) > 1
    np.testing.assert_allclose(np.concatenate(blocks), standardized(reference), atol=1e-5)


def test_of_many_shared_genes_the_most_variable_ones_are_clustered_on(reference, monkeypatch):
    std = reference.expression.std[reference.shared]
    variable = reference.shared[np.sort(np.argsort(std)[-2:])]
    few = Reference(reference.expression, variable, {})
    of_all = find_metacells(reference, 5, 0)
    monkeypatch.setattr(_metacells, "MAX_GENES", 2)
    found = find_metacells(reference, 5, 0)
    np.testing.assert_array_equal(found, find_metacells(few, 5, 0))
    assert (found != of_all).any()


# ---------------------------------------------------------------- several datasets


@pytest.fixture(scope="module")
def both():
    """Two references of one gene fewer each, and the reference of both, cell by cell in turn."""
    rng = np.random.default_rng(5)
    counts = rng.poisson(3.0, (2, 40, 6)).astype(np.float32)
    counts[0, :, 3] = 0
    counts[1, :, 2] = 0
    genes = pd.Index([f"g{i}" for i in range(6)])

    def make(values, dataset=None):
        matrix = ExpressionMatrix(sparse.csr_matrix(values), genes, True)
        return Reference(ReferenceExpression(matrix, dataset), SHARED, {})

    in_turn = counts.transpose(1, 0, 2).reshape(80, 6)
    return make(in_turn, np.arange(80) % 2), [make(values) for values in counts]


def test_cells_of_different_datasets_are_in_different_metacells(both):
    joined, alone = both
    metacell = find_metacells(joined, 7, 0)
    first, second = (find_metacells(part, 7, 0) for part in alone)
    np.testing.assert_array_equal(metacell[::2], first)
    np.testing.assert_array_equal(metacell[1::2], second + first.max() + 1)


def test_profiles_of_all_datasets_are_below_each_other(both):
    joined, alone = both
    found = Metacells(joined, find_metacells(joined, 7, 0))
    parts = [Metacells(part, find_metacells(part, 7, 0)) for part in alone]
    sizes = [len(part.dataset) for part in parts]
    assert found.dataset.tolist() == [0] * sizes[0] + [1] * sizes[1]
    genes = np.array([5, 2, 3, 0])
    np.testing.assert_allclose(found.profiles(genes), np.concatenate([part.profiles(genes) for part in parts]))
    np.testing.assert_allclose(found.shared_profiles, found.profiles(SHARED))


def test_correlations_stand_in_where_a_dataset_does_not_have_both_genes(both):
    joined, alone = both
    genes = np.arange(6)
    found = Metacells(joined, find_metacells(joined, 7, 0)).correlations(genes)
    first, second = (Metacells(part, find_metacells(part, 7, 0)).correlations(genes)[0] for part in alone)
    lacks_first = (genes == 3)[:, None] & (SHARED != 2)
    lacks_second = (genes == 2)[:, None] | (SHARED == 2)
    np.testing.assert_allclose(found[0], np.where(lacks_first, second, first), atol=1e-6)
    np.testing.assert_allclose(found[1], np.where(lacks_second, found[0], second), atol=1e-6)
    assert len(found) == 2


def test_weighted_statistics_are_of_the_first_dataset_that_has_the_gene(both):
    joined, alone = both
    found = Metacells(joined, find_metacells(joined, 7, 0))
    weights = np.random.default_rng(0).random(len(found.dataset))
    genes = np.array([3, 5, 2, 0])
    metacell = find_metacells(joined, 7, 0)
    of_cell = weights[metacell] / np.bincount(metacell)[metacell]
    dense = joined.expression.dense(genes)
    for row, values, gene in zip(found.weighted_statistics(genes, weights), dense.T, genes, strict=True):
        cells = slice(1, None, 2) if gene == 3 else slice(0, None, 2)
        mean = np.average(values[cells], weights=of_cell[cells])
        std = np.sqrt(np.average((values[cells] - mean) ** 2, weights=of_cell[cells]))
        detection_rate = np.average(values[cells] > 0, weights=of_cell[cells])
        expected = {"mean": mean, "std": std, "detection_rate": detection_rate}
        if gene == 3:
            expected = {name: joined.expression.on_first_scale(1, name, value) for name, value in expected.items()}
        np.testing.assert_allclose(row, list(expected.values()), rtol=1e-5)


def test_a_few_cells_with_many_genes_are_grouped():
    """Fewer cells than principal components."""
    reference = make_reference(n_cells=25, n_genes=60, shared=np.arange(6, 56))
    found = find_metacells(reference, 10, seed=0)
    assert found.shape == (25,)
    assert 1 < len(np.unique(found)) <= 10

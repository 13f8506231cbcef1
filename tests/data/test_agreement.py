import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.stats import spearmanr

from stimpute.data._agreement import Agreement, compare_coexpression
from stimpute.data._expression import ExpressionMatrix
from stimpute.data._reference import Reference, ReferenceExpression

N_GENES = 24


def counts(n_cells: int, seed: int, *, genes=None) -> np.ndarray:
    """Counts in which genes of one program go together."""
    rng = np.random.default_rng(seed)
    loadings = np.random.default_rng(0).gamma(0.5, 2.0, (4, N_GENES))
    values = rng.poisson(rng.gamma(0.5, 2.0, (n_cells, 4)) @ loadings).astype(np.float32)
    return values if genes is None else values[:, genes]


def reference_of(*datasets: np.ndarray, is_counts: bool = True) -> Reference:
    dataset = np.repeat(np.arange(len(datasets)), [len(values) for values in datasets])
    names = pd.Index([f"g{i}" for i in range(N_GENES)])
    matrix = ExpressionMatrix(sparse.csr_matrix(np.concatenate(datasets)), names, is_counts)
    return Reference(ReferenceExpression(matrix, dataset), np.arange(N_GENES), {})


def section(n_cells: int = 300) -> np.ndarray:
    values = np.log1p(counts(n_cells, 1))
    return ((values - values.mean(0)) / values.std(0)).astype(np.float32)


def test_a_reference_agrees_and_one_with_permuted_genes_does_not():
    permuted = counts(400, 3, genes=np.random.default_rng(1).permutation(N_GENES))
    found = compare_coexpression(reference_of(counts(400, 2), permuted), section())
    assert found.is_beyond_chance.tolist() == [True, False]
    assert found.correlation[0] > 0.5 > 0.2 > abs(found.correlation[1])


def test_it_is_the_rank_correlation_over_pairs_of_genes():
    reference = reference_of(counts(400, 2))
    pairs = np.triu_indices(N_GENES, 1)
    expression = reference.expression.dense(np.arange(N_GENES))
    expected = spearmanr(np.corrcoef(expression.T)[pairs], np.corrcoef(section().T)[pairs])[0]
    assert compare_coexpression(reference, section()).correlation[0] == pytest.approx(expected, abs=1e-5)


def one_program(n_cells: int, seed: int) -> np.ndarray:
    """Counts in which all genes go together, more or less."""
    rng = np.random.default_rng(seed)
    return rng.poisson(rng.gamma(0.5, 2.0, (n_cells, 1)) * np.linspace(0, 3, N_GENES) + 1).astype(np.float32)


def test_chance_is_the_spread_for_permuted_genes():
    reference = reference_of(one_program(400, 2))
    spatial = np.log1p(one_program(300, 1))
    spatial = (spatial - spatial.mean(0)) / spatial.std(0)
    found = compare_coexpression(reference, spatial)
    assert found.chance == compare_coexpression(reference, spatial).chance
    pairs = np.triu_indices(N_GENES, 1)
    correlations = np.corrcoef(reference.expression.dense(np.arange(N_GENES)).T)
    in_section = np.corrcoef(spatial.T)[pairs]
    orders = [np.random.default_rng(seed).permutation(N_GENES) for seed in range(200)]
    permuted = [spearmanr(correlations[order][:, order][pairs], in_section)[0] for order in orders]
    assert found.chance[0] == pytest.approx(np.std(permuted), rel=0.2)


def test_few_shared_genes_cannot_tell():
    few = counts(400, 3)
    few[:, 9:] = 0
    enough = counts(400, 3)
    enough[:, 10:] = 0
    found = compare_coexpression(reference_of(counts(400, 2), few, enough), section())
    assert found.is_beyond_chance[:2].tolist() == [True, True]
    assert (found.correlation[1], found.chance[1]) == (0, 0)
    assert found.correlation[2] > 0.2
    assert found.chance[2] > 0


def test_constant_genes_do_not_matter():
    constant = counts(400, 2)
    constant[:, 0] = 0
    spatial = section()
    spatial[:, 1] = 0
    found = compare_coexpression(reference_of(constant), spatial)
    assert np.isfinite(found.correlation).all()
    assert found.is_beyond_chance.all()


@pytest.mark.parametrize("value", [1, 1.1])
def test_a_gene_of_the_same_value_in_all_cells_does_not_matter(value):
    constant = np.log1p(counts(400, 2))
    constant[:, 0] = value
    found = compare_coexpression(reference_of(constant, is_counts=False), section())
    constant[:, 0] = 0
    assert found.correlation == compare_coexpression(reference_of(constant, is_counts=False), section()).correlation


@pytest.mark.parametrize("chance", [0.06, 0.2])
def test_the_warning_names_the_reference(chance):
    found = Agreement(np.array([0.5, 0.01]), np.array([0.05, chance]))
    told = rf"reference 'other' the shared genes .* 0\.01.* 0 ± {chance:.2f}\. It is hardly used\. Check"
    with pytest.warns(UserWarning, match=told):
        found.warn(("own", "other"))
    with pytest.warns(UserWarning, match=r"In the reference the shared genes .* 0 ± 0\.05\. Check"):
        Agreement(np.array([0.0]), np.array([0.05])).warn(())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Agreement(np.array([0.5]), np.array([0.1])).warn(())
        Agreement(np.array([0.2]), np.array([0.13])).warn(())  # a small panel


def test_a_gene_that_no_compared_cell_expresses_does_not_matter():
    """Its standardized value is the same in all cells, and the rounding of a mean gives it a variance."""
    spatial = section(1000)
    spatial[:, 1] = 0
    expected = compare_coexpression(reference_of(counts(400, 2)), spatial)
    spatial[:, 1] = np.float32(-0.1234567)
    assert spatial[:, 1].std() > 0
    found = compare_coexpression(reference_of(counts(400, 2)), spatial)
    np.testing.assert_array_equal([found.correlation, found.chance], [expected.correlation, expected.chance])

"""Features of genes that edge weights are computed from."""

import pickle

import numpy as np
import pytest
import torch
from small import N_MEASURED, fit, set_up, small_pair

from stimpute.recipes._crossfit_genes import N_DERIVED, N_STATISTICS, GeneFeatures


@pytest.fixture(scope="module")
def model():
    return fit(*set_up(*small_pair()), "crossfit", {"max_epochs": 1}, n_metacells=40)


@pytest.fixture(scope="module")
def reference(model):
    return model.data.need_reference().reference


@pytest.fixture
def features(model, reference):
    """Features that nobody asked for anything yet."""
    return GeneFeatures(reference, model.fit.preparation, ridge=1.0)


def test_statistics_are_standardized_over_the_shared_genes(features, reference):
    statistics = features.statistics(reference.shared).numpy()
    assert statistics.shape == (N_MEASURED, N_STATISTICS)
    inside = np.abs(statistics) < 3
    assert inside.mean() > 0.9
    assert np.abs(features.statistics(np.arange(44)).numpy()).max() <= 3


def test_relations_come_first_then_what_is_made_from_coexpression(features, reference):
    targets = np.array([5, 2, 40])
    found = features.relation_features(targets, None).numpy()
    assert found.shape == (2 + N_DERIVED, 3, N_MEASURED)
    correlation = reference.relations["coexpression"].similarity(targets)
    np.testing.assert_array_equal(found[0], correlation)
    np.testing.assert_array_equal(found[1], reference.relations["protein"].similarity(targets))
    np.testing.assert_allclose(found[2], np.sign(correlation) * np.sqrt(np.abs(correlation)), rtol=1e-6)
    np.testing.assert_allclose(found[3], features.metacells.correlations(targets)[0], rtol=1e-5)


def test_features_of_a_gene_do_not_depend_on_the_others(features):
    together = features.relation_features(np.array([5, 2, 40]), 1)
    alone = features.relation_features(np.array([2]), 1)
    torch.testing.assert_close(alone[:, 0], together[:, 1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("fold", [None, 0])
def test_transferred_correlations_have_the_scale_of_the_original_ones(features, reference, fold):
    found = features.relation_features(reference.shared, fold).numpy()
    assert found[4].std() == pytest.approx(found[0].std(), rel=0.01)


def test_transferred_correlations_depend_on_the_fold(features):
    """The totals of the probe cells are over other genes."""
    targets = np.array([40])
    a, b = (features.relation_features(targets, fold)[4] for fold in (None, 0))
    assert not torch.allclose(a, b)


def test_the_precision_inverts_the_correlation_of_the_shared_genes(features, reference):
    correlation = reference.relations["coexpression"].similarity(reference.shared)
    product = features.precision.matrix.numpy() @ (correlation + np.eye(N_MEASURED))
    np.testing.assert_allclose(product, np.eye(N_MEASURED), atol=1e-4)


def test_without_coexpression_genes_are_not_decorrelated():
    model = fit(*set_up(*small_pair()), "crossfit", {"max_epochs": 1}, relations=["protein"])
    features = model.predictor().ensemble.features
    np.testing.assert_allclose(features.precision.matrix.numpy(), np.eye(N_MEASURED) / 2, atol=1e-6)
    assert features.relation_features(np.arange(3), None).shape == (1, 3, N_MEASURED)


def test_without_relations_there_are_no_features():
    model = fit(*set_up(*small_pair()), "crossfit", {"max_epochs": 1}, relations=[])
    features = model.predictor().ensemble.features
    assert features.relation_features(np.arange(3), None).shape == (0, 3, N_MEASURED)
    assert (model.impute(progress=False).var["n_edges"] == 0).all()


def test_nothing_is_kept_of_target_genes(features):
    def ask(targets):
        features.relation_features(targets, 0)
        features.statistics(targets)
        return len(pickle.dumps(features))

    size = ask(np.arange(10))
    for seed in range(3):
        assert ask(np.random.default_rng(seed).permutation(44)[:20]) == size


def test_the_precision_in_components_inverts_their_correlation_with_1_on_the_diagonal():
    model = fit(*set_up(*small_pair()), "crossfit", {"max_epochs": 1}, max_exact_genes=10, n_components=6)
    reference = model.data.need_reference().reference
    features = GeneFeatures(reference, model.fit.preparation, ridge=0.5)
    correlation = features.coexpression.loadings @ features.coexpression.loadings.T
    np.fill_diagonal(correlation, 1)
    expected = np.linalg.inv(correlation + 0.5 * np.eye(N_MEASURED))
    found = features.precision.rows(torch.arange(N_MEASURED))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)

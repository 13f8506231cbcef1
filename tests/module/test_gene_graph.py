import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stimpute.module._gene_graph import CORRECTION_SCALE, INITIAL_SLOPE, GeneGraphNetwork, pass_messages, whiten
from stimpute.module._precision import DensePrecision, LowRankPrecision

N_FEATURES, N_STATISTICS, N_TARGETS, N_SOURCES = 3, 2, 5, 7


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def random_graph(n_members=3, n_inputs=1) -> GeneGraphNetwork:
    graph = GeneGraphNetwork(N_FEATURES, N_STATISTICS, n_inputs, n_members)
    for parameter in graph.parameters():
        torch.nn.init.normal_(parameter)
    return graph


def random_inputs(rng):
    sizes = ((N_FEATURES, N_TARGETS, N_SOURCES), (N_TARGETS, N_STATISTICS), (N_SOURCES, N_STATISTICS))
    return [torch.tensor(rng.normal(size=size), dtype=torch.float32) for size in sizes]


# ---------------------------------------------------------------- whitening


@given(st.integers(0, 5), st.integers(0, 20), st.floats(0.1, 3))
def test_whitening_a_shared_gene_equals_refitting_without_it(gene, seed, ridge):
    rng = np.random.default_rng(seed)
    correlation = np.corrcoef((rng.normal(size=(50, 6)) @ rng.normal(size=(6, 6))).T)
    weights = torch.tensor(rng.normal(size=(2, 6)))
    precision = DensePrecision(torch.tensor(np.linalg.inv(correlation + ridge * np.eye(6))))
    found = whiten(weights, precision, torch.tensor([gene, -1]))

    others = [other for other in range(6) if other != gene]
    refitted = np.linalg.inv(correlation[np.ix_(others, others)] + ridge * np.eye(5))
    np.testing.assert_allclose(found[0, others], weights[0, others] @ torch.tensor(refitted), atol=1e-9)
    assert found[0, gene] == 0
    np.testing.assert_allclose(found[1], weights[1] @ precision.matrix, atol=1e-9)


def test_a_shared_gene_has_no_edge_to_itself(rng):
    precision = DensePrecision(torch.tensor(np.linalg.inv(np.corrcoef(rng.normal(size=(40, 5)).T) + np.eye(5))))
    found = whiten(torch.tensor(rng.normal(size=(3, 2, 5, 5))), precision, torch.arange(5))
    assert torch.all(found.diagonal(dim1=-2, dim2=-1) == 0)


def test_without_shared_targets_weights_are_multiplied_by_the_precision(rng):
    precision = torch.tensor(rng.normal(size=(4, 4)))
    weights = torch.tensor(rng.normal(size=(3, 4)))
    found = whiten(weights, DensePrecision(precision), torch.full((3,), -1))
    torch.testing.assert_close(found, weights @ precision)


@pytest.mark.parametrize("low_rank", [False, True])
def test_messages_are_whitened_weights_times_values(rng, low_rank):
    loadings, diagonal = torch.tensor(rng.normal(size=(6, 2))).float(), torch.full((6,), 1.5)
    precision = LowRankPrecision(loadings, diagonal)
    if not low_rank:
        precision = DensePrecision(torch.linalg.inv(loadings @ loadings.T + diagonal.diag()))
    weights = torch.tensor(rng.normal(size=(3, 2, 4, 6))).float()
    inputs = torch.tensor(rng.normal(size=(2, 7, 6))).float()
    targets = torch.tensor([5, 0, 2, 3])
    found = pass_messages(weights, precision, inputs, targets, leave_out=True)
    expected = (whiten(weights, precision, targets) @ inputs.transpose(1, 2)).sum(1)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)

    found = pass_messages(weights, precision, inputs, targets, leave_out=False)
    expected = (precision.multiply(weights) @ inputs.transpose(1, 2)).sum(1)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


# ---------------------------------------------------------------- edge weights


def test_edge_weights_are_the_equation(rng):
    graph = random_graph(n_members=2, n_inputs=2)
    features, target, source = random_inputs(rng)
    found = graph(features, target, source)
    assert found.shape == (2, 2, N_TARGETS, N_SOURCES)
    for member in range(2):
        for g, v in ((0, 0), (4, 6), (2, 3)):
            f, t, s = features[:, g, v], target[g], source[v]
            hidden = f @ graph.from_features[member] + t @ graph.from_target[member] + s @ graph.from_source[member]
            hidden = torch.relu(hidden + graph.bias[member, 0, 0])
            correction = hidden @ graph.readout[member, 0] + graph.offset[member, 0, 0]
            linear = (f @ graph.linear[member, 0]) * torch.exp(s @ graph.source_scale[member])
            expected = linear + CORRECTION_SCALE * correction
            torch.testing.assert_close(found[member, :, g, v], expected, rtol=1e-4, atol=1e-5)


def test_the_graph_starts_as_regression_on_its_first_relation(rng):
    graph = GeneGraphNetwork(N_FEATURES, N_STATISTICS, n_inputs=2, n_members=4)
    features, _, _ = random_inputs(rng)
    weights = graph(features, torch.zeros(N_TARGETS, N_STATISTICS), torch.zeros(N_SOURCES, N_STATISTICS))
    assert weights.shape == (4, 2, N_TARGETS, N_SOURCES)
    torch.testing.assert_close(weights[1, 0], INITIAL_SLOPE * features[0])
    torch.testing.assert_close(weights[:, 1], torch.zeros(4, N_TARGETS, N_SOURCES))


def test_members_can_be_computed_one_by_one(rng):
    graph, inputs = random_graph(), random_inputs(rng)
    together = graph(*inputs)
    for member in range(3):
        alone = graph(*inputs, member=member)
        assert alone.shape == (1, 1, N_TARGETS, N_SOURCES)
        torch.testing.assert_close(alone[0], together[member])


def test_the_weights_of_a_target_do_not_depend_on_other_targets(rng):
    graph = random_graph()
    features, target, source = random_inputs(rng)
    torch.testing.assert_close(graph(features[:, 2:3], target[2:3], source), graph(features, target, source)[:, :, 2:3])

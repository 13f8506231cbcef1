"""The graph network of the paper against its equations, computed by hand."""

import numpy as np
import pytest
import torch
from scvi import REGISTRY_KEYS

from stimpute.module._neighbor_graph import NEIGHBORS_KEY, NeighborGraphNetwork, centered_cosine

N_CELLS, N_GENES, N_NEIGHBORS, N_HIDDEN = 7, 5, 4, 3
UNIFORM = (torch.ones(N_GENES, N_GENES) - torch.eye(N_GENES)) / (N_GENES - 1)


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def make_network(**options) -> NeighborGraphNetwork:
    network = NeighborGraphNetwork(N_NEIGHBORS, N_HIDDEN, 2, N_GENES, **options)
    network.adjacency.copy_(UNIFORM)
    return network.eval()


@pytest.fixture
def x():
    return torch.rand(N_GENES, N_CELLS, N_NEIGHBORS)


def test_it_is_eq_7_to_9(x):
    network = make_network()
    states = x
    for layer in network.layers:
        aggregated = torch.einsum("ts,sck->tck", UNIFORM, states)
        both = aggregated @ layer.lin_l.weight.T + layer.lin_l.bias + states @ layer.lin_r.weight.T
        states = torch.clamp(both, min=0)
    readout = network.readout[0]
    by_hand = torch.log1p(torch.exp(states @ readout.weight.T + readout.bias)).squeeze(-1).T
    found = network.generative(network.inference(x)["states"])["expression"]
    assert found.shape == (N_CELLS, N_GENES)
    torch.testing.assert_close(found, by_hand)


@pytest.mark.parametrize("normalize", [False, True])
def test_targets_are_predicted_as_the_training_network_predicts_them(x, normalize):
    network = make_network(normalize=normalize)
    together = network.generative(network.inference(x)["states"])["expression"]
    states = network.source_states(x, UNIFORM)
    assert len(states) == 2
    torch.testing.assert_close(network.predict_targets(x, states, UNIFORM), together)
    one = network.predict_targets(x[3:4], states, UNIFORM[3:4])
    torch.testing.assert_close(one, together[:, 3:4])


def test_normalized_states_have_unit_length_or_are_zero(x):
    length = make_network(normalize=True).inference(x)["states"].norm(dim=-1)
    assert ((length - 1).abs().lt(1e-5) | (length == 0)).all()


def test_a_prediction_depends_on_its_own_expression_and_its_edges_only(x):
    network = make_network()
    edge_from_0 = torch.zeros(1, N_GENES)
    edge_from_0[0, 0] = 1
    adjacency = UNIFORM.clone()
    adjacency[0] = torch.eye(N_GENES)[1]  # gene 0 aggregates gene 1 alone
    predict = lambda values: network.predict_targets(x[:1], network.source_states(values, adjacency), edge_from_0)
    changed = x.clone()
    changed[2:] += 1
    torch.testing.assert_close(predict(changed), predict(x))
    changed[1] += 1
    assert not torch.allclose(predict(changed), predict(x))


def test_the_loss_is_eq_10():
    network = make_network(similarity_weight=3.0, residual_weight=0.5)
    x, y = torch.rand(N_CELLS, N_GENES), torch.rand(N_CELLS, N_GENES)
    loss = network.loss({REGISTRY_KEYS.X_KEY: x}, {}, {"expression": y}).loss
    cells = np.mean([1 - np.corrcoef(a, b)[0, 1] for a, b in zip(x.numpy(), y.numpy(), strict=True)])
    genes = np.mean([1 - np.corrcoef(a, b)[0, 1] for a, b in zip(x.numpy().T, y.numpy().T, strict=True)])
    assert loss.item() == pytest.approx(3 * (cells + genes) + 0.5 * ((x - y) ** 2).mean().item(), rel=1e-4)


def test_a_batch_is_read_from_its_neighbors_and_truth(x):
    network = make_network()
    batch = {NEIGHBORS_KEY: x, REGISTRY_KEYS.X_KEY: torch.rand(N_CELLS, N_GENES)}
    inference, output, loss = network(batch)
    torch.testing.assert_close(output["expression"], network.generative(inference["states"])["expression"])
    assert loss.n_obs_minibatch == N_CELLS


def test_constant_profiles_have_no_similarity_and_finite_gradients():
    a, b = torch.ones(N_CELLS, N_GENES, requires_grad=True), torch.rand(N_CELLS, N_GENES)
    similarity = centered_cosine(a, b, dim=0)
    similarity.sum().backward()
    assert (similarity == 0).all()
    assert a.grad.isfinite().all()

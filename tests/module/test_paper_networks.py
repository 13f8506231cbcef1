"""The networks of the paper against its equations, computed by hand."""

import numpy as np
import pytest
import torch
from scvi import REGISTRY_KEYS
from torch_geometric.nn import SAGEConv

from stimpute.module._autoencoder import TARGET_KEY, Autoencoder
from stimpute.module._paper_graph import NeighbourGraphNetwork, centred_cosine
from stimpute.module._reliability import SCORE_KEY, ReliabilityNetwork
from stimpute.module._sage import NodeMajorSAGEConv

CELLS, GENES, K, WIDTH = 7, 5, 4, 3


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def uniform(n: int) -> torch.Tensor:
    return (torch.ones(n, n) - torch.eye(n)) / (n - 1)


def network(**kwargs) -> NeighbourGraphNetwork:
    graph = NeighbourGraphNetwork(K, WIDTH, 2, GENES, **kwargs)
    graph.adjacency.copy_(uniform(GENES))
    return graph.eval()


def test_autoencoder_is_eq_1_and_2():
    net, x = Autoencoder(GENES, 6), torch.rand(CELLS, GENES)
    (we, be), (wd, bd) = ((m.weight, m.bias) for m in (net.encoder[0], net.decoder[0]))
    z = torch.clamp(x @ we.T + be, min=0)
    out = net.inference(x)["z"]
    torch.testing.assert_close(out, z)
    torch.testing.assert_close(net.generative(out)["reconstruction"], torch.clamp(z @ wd.T + bd, min=0))


def test_autoencoder_loss_is_eq_3_and_with_a_target_eq_11():
    net, x, predicted = Autoencoder(GENES, 6), torch.rand(CELLS, GENES), torch.rand(CELLS, GENES)
    own = net.generative(net.inference(x)["z"])
    batch = {REGISTRY_KEYS.X_KEY: x}
    reconstruction = own["reconstruction"]
    torch.testing.assert_close(net.loss(batch, {}, own).loss, ((x - reconstruction) ** 2).sum() / CELLS)
    again = net.loss({**batch, TARGET_KEY: x - predicted}, {}, own).loss
    torch.testing.assert_close(again, ((x - (reconstruction + predicted)) ** 2).sum() / CELLS)


def test_sage_equals_torch_geometric_cell_by_cell():
    layer, plain = NodeMajorSAGEConv(K, WIDTH), SAGEConv(K, WIDTH, aggr="mean")
    plain.load_state_dict(layer.state_dict())
    features = torch.randn(GENES, CELLS, K)
    edges = uniform(GENES).nonzero().T.flip(0)  # from source to target
    found = layer(features, features, uniform(GENES))
    for cell in range(CELLS):
        torch.testing.assert_close(found[:, cell], plain(features[:, cell], edges))


def test_graph_network_is_eq_7_to_9():
    graph, x = network(), torch.rand(GENES, CELLS, K)
    hidden = x
    for layer in graph.layers:
        heard = torch.einsum("ts,sck->tck", uniform(GENES), hidden)
        both = heard @ layer.lin_l.weight.T + layer.lin_l.bias + hidden @ layer.lin_r.weight.T
        hidden = torch.clamp(both, min=0)
    by_hand = torch.log1p(torch.exp(hidden @ graph.readout[0].weight.T + graph.readout[0].bias)).squeeze(-1).T
    found = graph.generative(graph.inference(x)["hidden"])["expression"]
    assert found.shape == (CELLS, GENES)
    torch.testing.assert_close(found, by_hand)


@pytest.mark.parametrize("normalize", [False, True])
def test_measured_genes_predict_themselves_alike_on_both_ways(normalize):
    graph, x = network(normalize=normalize), torch.rand(GENES, CELLS, K)
    whole = graph.generative(graph.inference(x)["hidden"])["expression"]
    listened = graph.listen(x, graph.sources(x, uniform(GENES)), uniform(GENES))
    torch.testing.assert_close(listened, whole)


def test_normalised_nodes_have_unit_length_or_are_zero():
    length = network(normalize=True).inference(torch.rand(GENES, CELLS, K))["hidden"].norm(dim=-1)
    assert ((length - 1).abs().lt(1e-5) | (length == 0)).all()


def test_a_prediction_hears_its_own_expression_and_its_neighbours_genes_only():
    graph, x = network(), torch.rand(GENES, CELLS, K)
    deaf = torch.zeros(1, GENES)
    deaf[0, 0] = 1  # hears gene 0, which hears the others
    alone = graph.adjacency.clone()
    alone[0] = torch.eye(GENES)[1]
    before = graph.listen(x[:1], graph.sources(x, alone), deaf)
    changed = x.clone()
    changed[2:] += 1
    torch.testing.assert_close(graph.listen(x[:1], graph.sources(changed, alone), deaf), before)


def test_loss_is_eq_10():
    graph = network(similarity_weight=3.0, residual_weight=0.5)
    x, y = torch.rand(CELLS, GENES), torch.rand(CELLS, GENES)
    loss = graph.loss({REGISTRY_KEYS.X_KEY: x}, {}, {"expression": y}).loss
    cells = np.mean([1 - np.corrcoef(a, b)[0, 1] for a, b in zip(x.numpy(), y.numpy(), strict=True)])
    genes = np.mean([1 - np.corrcoef(a, b)[0, 1] for a, b in zip(x.numpy().T, y.numpy().T, strict=True)])
    assert loss.item() == pytest.approx(3 * (cells + genes) + 0.5 * ((x - y) ** 2).mean().item(), rel=1e-4)


def test_constant_profiles_have_no_similarity_and_finite_gradients():
    a, b = torch.ones(CELLS, GENES, requires_grad=True), torch.rand(CELLS, GENES)
    similarity = centred_cosine(a, b, dim=0)
    similarity.sum().backward()
    assert (similarity == 0).all()
    assert a.grad.isfinite().all()


def test_output_units_live_at_the_start():
    net = Autoencoder(30, 100)
    reconstruction = net.generative(net.inference(torch.rand(50, 30))["z"])["reconstruction"]
    assert (reconstruction > 0).any(0).all()


def test_reliability_loss_is_eq_13():
    net, profiles, scores = ReliabilityNetwork(8), torch.rand(6, 8), torch.rand(6)
    score = net.inference(profiles)["score"]
    assert ((score > 0) & (score < 1)).all()
    loss = net.loss({SCORE_KEY: scores}, {}, {"score": score}).loss
    torch.testing.assert_close(loss, ((score - scores) ** 2).mean())

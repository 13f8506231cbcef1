"""The networks of `crossfit`, against what their equations say."""

import numpy as np
import pytest
import torch
from scvi import REGISTRY_KEYS

from stimpute.module._attention import MASK_KEY, AttentionAutoencoder
from stimpute.module._gene_graph import GeneGraphNetwork, whiten
from stimpute.module._hidden_genes import HIDDEN_KEY, TRUTH_KEY, HiddenGeneModule


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def precision_of(x, ridge=1.0):
    return np.linalg.inv(np.corrcoef(x.T) + ridge * np.eye(x.shape[1]))


def test_whitening_a_panel_gene_equals_refitting_without_it(rng):
    x = rng.normal(size=(50, 6)) @ rng.normal(size=(6, 6))
    correlation = np.corrcoef(x.T)
    weights = torch.tensor(rng.normal(size=(2, 6)))
    precision = torch.tensor(np.linalg.inv(correlation + np.eye(6)))
    edges = whiten(weights, precision, torch.tensor([3, -1]))

    others = [0, 1, 2, 4, 5]
    refitted = np.linalg.inv(correlation[np.ix_(others, others)] + np.eye(5))
    np.testing.assert_allclose(edges[0, others], weights[0, others] @ torch.tensor(refitted), atol=1e-9)
    assert edges[0, 3] == 0
    np.testing.assert_allclose(edges[1], weights[1] @ precision, atol=1e-9)


def test_a_gene_of_the_panel_does_not_hear_itself(rng):
    precision = torch.tensor(precision_of(rng.normal(size=(40, 5))))
    weights = torch.tensor(rng.normal(size=(3, 2, 5, 5)))
    edges = whiten(weights, precision, torch.arange(5))
    assert torch.all(edges.diagonal(dim1=-2, dim2=-1) == 0)


def test_the_graph_starts_as_regression_on_its_first_relation(rng):
    graph = GeneGraphNetwork(n_features=3, n_statistics=2, n_channels=2, n_members=4)
    features = torch.tensor(rng.normal(size=(5, 7, 3)), dtype=torch.float32)
    weights = graph(features, torch.zeros(5, 2), torch.zeros(7, 2))
    assert weights.shape == (4, 2, 5, 7)
    torch.testing.assert_close(weights[1, 0], 0.8 * features[..., 0])
    torch.testing.assert_close(weights[:, 1], torch.zeros(4, 5, 7))


def test_members_can_be_computed_one_by_one(rng):
    torch.manual_seed(0)
    graph = GeneGraphNetwork(n_features=3, n_statistics=2, n_channels=1, n_members=3)
    for parameter in graph.parameters():
        torch.nn.init.normal_(parameter)
    inputs = [torch.tensor(rng.normal(size=s), dtype=torch.float32) for s in ((5, 7, 3), (5, 2), (7, 2))]
    together = graph(*inputs)
    for member in range(3):
        torch.testing.assert_close(graph(*inputs, torch.tensor([member]))[0], together[member])


@pytest.fixture
def autoencoder(rng):
    torch.manual_seed(0)
    autoencoder = AttentionAutoencoder(n_genes=6, n_latent=4, n_members=2)
    autoencoder.start_from(torch.tensor(rng.normal(size=(9, 6)), dtype=torch.float32))
    return autoencoder


def test_hidden_genes_cannot_reach_the_latent_space(autoencoder, rng):
    x = torch.tensor(rng.normal(size=(3, 6)), dtype=torch.float32)
    mask = torch.tensor([1.0, 1, 0, 1, 0, 1])
    changed = x.clone()
    changed[:, mask == 0] = 100
    torch.testing.assert_close(autoencoder.inference(x, mask)["z"], autoencoder.inference(changed, mask)["z"])


def test_attention_is_a_mixture_of_metacells(autoencoder, rng):
    x, mask = torch.tensor(rng.normal(size=(3, 6)), dtype=torch.float32), torch.ones(6)
    z = autoencoder.inference(x, mask)["z"]
    torch.testing.assert_close(z.norm(dim=-1), torch.ones(2, 3))
    share = autoencoder.attention(z, autoencoder.embed_reference(autoencoder.profiles, mask)) / autoencoder.scale
    torch.testing.assert_close(share.sum(-1), torch.ones(2, 3))
    assert (share >= 0).all()


def hidden_gene_module(autoencoder, learns):
    features = torch.eye(6)[:, :, None] * 0 + torch.linspace(0.1, 0.5, 36).reshape(6, 6, 1)
    graph = GeneGraphNetwork(n_features=1, n_statistics=1, n_channels=1, n_members=2)
    return HiddenGeneModule(autoencoder, graph, features, torch.zeros(6, 1), torch.eye(6), learns)


def batch(rng, hidden):
    x = torch.tensor(rng.normal(size=(12, 6)), dtype=torch.float32)
    mask = torch.ones(6)
    mask[hidden] = 0
    return {REGISTRY_KEYS.X_KEY: x, MASK_KEY: mask, HIDDEN_KEY: hidden, TRUTH_KEY: x[:, hidden]}


def test_the_truth_of_a_hidden_gene_changes_the_loss_but_not_its_prediction(autoencoder, rng):
    module = hidden_gene_module(autoencoder, torch.ones(2, 6, dtype=torch.bool))
    tensors = batch(rng, torch.tensor([2]))
    changed = {**tensors, REGISTRY_KEYS.X_KEY: tensors[REGISTRY_KEYS.X_KEY].clone()}
    changed[REGISTRY_KEYS.X_KEY][:, 2] += torch.arange(12.0)
    first, second = module(tensors), module(changed)
    torch.testing.assert_close(first[1]["signal"], second[1]["signal"])


def test_a_member_learns_nothing_from_its_own_fold(autoencoder, rng):
    learns = torch.ones(2, 6, dtype=torch.bool)
    learns[0, [2, 4]] = False
    module = hidden_gene_module(autoencoder, learns)
    module(batch(rng, torch.tensor([2, 4])))[2].loss.backward()
    for name, parameter in module.named_parameters():
        if parameter.grad is not None:
            assert parameter.grad[0].abs().sum() == 0, name
    assert autoencoder.queries.grad[1].abs().sum() > 0

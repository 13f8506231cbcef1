"""The autoencoder of the paper against its equations, computed by hand."""

import pytest
import torch
from scvi import REGISTRY_KEYS

from stimpute.module._autoencoder import RESIDUAL_KEY, Autoencoder

N_CELLS, N_GENES = 7, 5


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def test_it_is_eq_1_and_2():
    network, x = Autoencoder(N_GENES, 6), torch.rand(N_CELLS, N_GENES)
    encoder, decoder = network.encoder[0], network.decoder[0]
    z = torch.clamp(x @ encoder.weight.T + encoder.bias, min=0)
    found = network.inference(x)["z"]
    torch.testing.assert_close(found, z)
    reconstruction = torch.clamp(z @ decoder.weight.T + decoder.bias, min=0)
    torch.testing.assert_close(network.generative(found)["reconstruction"], reconstruction)


def test_the_loss_is_eq_3_and_with_a_residual_eq_11():
    network, x, predicted = Autoencoder(N_GENES, 6), torch.rand(N_CELLS, N_GENES), torch.rand(N_CELLS, N_GENES)
    batch = {REGISTRY_KEYS.X_KEY: x}
    _, output, loss = network(batch)
    reconstruction = output["reconstruction"]
    torch.testing.assert_close(loss.loss, ((x - reconstruction) ** 2).sum() / N_CELLS)
    again = network.loss({**batch, RESIDUAL_KEY: x - predicted}, {}, output).loss
    torch.testing.assert_close(again, ((x - (reconstruction + predicted)) ** 2).sum() / N_CELLS)


def test_output_units_are_active_at_the_start():
    network = Autoencoder(30, 100)
    reconstruction = network.generative(network.inference(torch.rand(50, 30))["z"])["reconstruction"]
    assert (reconstruction > 0).any(0).all()

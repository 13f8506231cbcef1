import numpy as np
import pytest
import torch

from stimpute.module._attention import AttentionAutoencoder

N_GENES, N_METACELLS = 6, 9


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def profiles(rng):
    return torch.tensor(rng.normal(size=(N_METACELLS, N_GENES)), dtype=torch.float32)


@pytest.fixture
def autoencoder(profiles):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        autoencoder = AttentionAutoencoder(N_GENES, n_latent=4, n_members=2)
    autoencoder.start_from(profiles)
    with torch.no_grad():  # members start equal
        autoencoder.queries[1] += 0.1 * torch.arange(24.0).reshape(6, 4)
        autoencoder.log_weights[1] = torch.linspace(-1, 1, N_GENES)
    return autoencoder


@pytest.fixture
def x(rng):
    return torch.tensor(rng.normal(size=(3, N_GENES)), dtype=torch.float32)


MASK = torch.tensor([1.0, 1, 0, 1, 0, 1])


def test_embeddings_are_the_equation(autoencoder, x, profiles):
    z, keys = autoencoder.embed_cells(x, MASK), autoencoder.embed_reference(profiles, MASK)
    assert z.shape == (2, 3, 4)
    assert keys.shape == (2, N_METACELLS, 4)
    for member in range(2):
        weights = MASK * autoencoder.log_weights[member, 0].exp()
        by_hand = (x * weights) @ autoencoder.queries[member]
        torch.testing.assert_close(z[member], by_hand / by_hand.norm(dim=1, keepdim=True))
        by_hand = (profiles * weights) @ autoencoder.keys[member]
        torch.testing.assert_close(keys[member], by_hand / by_hand.norm(dim=1, keepdim=True))


@pytest.mark.parametrize("embed", ["embed_cells", "embed_reference"])
def test_masked_genes_do_not_change_the_embedding(autoencoder, x, embed):
    changed = x.clone()
    changed[:, MASK == 0] = 100
    torch.testing.assert_close(getattr(autoencoder, embed)(x, MASK), getattr(autoencoder, embed)(changed, MASK))


def test_attention_is_a_mixture_of_metacells(autoencoder, x, profiles):
    mask = torch.ones(N_GENES)
    z, keys = autoencoder.embed_cells(x, mask), autoencoder.embed_reference(profiles, mask)
    torch.testing.assert_close(z.norm(dim=-1), torch.ones(2, 3))
    share = autoencoder.attention(z, keys) / autoencoder.scale
    torch.testing.assert_close(share.sum(-1), torch.ones(2, 3))
    assert (share >= 0).all()
    by_hand = torch.softmax(10 * torch.einsum("mcl,mrl->mcr", z, keys), -1)
    torch.testing.assert_close(share, by_hand)


def test_members_can_be_computed_apart(autoencoder, x, profiles):
    with torch.no_grad():
        autoencoder.scale[1] = 2
        autoencoder.log_temperature[1] = 0
    z, keys = autoencoder.embed_cells(x, MASK), autoencoder.embed_reference(profiles, MASK)
    together = autoencoder.attention(z, keys)
    for member in (slice(1, 2), slice(0, 1), torch.tensor([1])):
        torch.testing.assert_close(autoencoder.attention(z, keys, member), together[member])
    for members in (torch.arange(2), torch.tensor([1])):
        mean = autoencoder.mean_attention(profiles, MASK, members)
        torch.testing.assert_close(mean(x), together[members].mean(0))
    assert not torch.allclose(together[0], together[1])


def test_the_mean_knows_the_dataset_of_a_metacell(x, profiles):
    autoencoder = AttentionAutoencoder(N_GENES, n_latent=4, n_members=2, n_datasets=2, preference=-2.0)
    autoencoder.start_from(profiles)
    dataset = torch.arange(N_METACELLS) % 2
    z, keys = autoencoder.embed_cells(x, MASK), autoencoder.embed_reference(profiles, MASK)
    members = torch.arange(2)
    mean = autoencoder.mean_attention(profiles, MASK, members, dataset)
    torch.testing.assert_close(mean(x), autoencoder.attention(z, keys, members, dataset).mean(0))
    torch.testing.assert_close(mean.preference[:, 0, dataset == 1], torch.full((2, N_METACELLS // 2), -2.0))


def test_datasets_that_are_not_used_get_hardly_any_attention(x, profiles):
    autoencoder = AttentionAutoencoder(N_GENES, n_latent=4, n_members=2, n_datasets=3, preference=-2.0)
    autoencoder.start_from(profiles, torch.tensor([True, False, True]))
    dataset = torch.arange(N_METACELLS) % 3
    z, keys = autoencoder.embed_cells(x, MASK), autoencoder.embed_reference(profiles, MASK)
    share = autoencoder.attention(z, keys, dataset=dataset) / autoencoder.scale
    logits = 10 * torch.einsum("mcl,mrl->mcr", z, keys) + torch.tensor([0.0, -6, -2])[dataset]
    torch.testing.assert_close(share, torch.softmax(logits, -1))


def test_random_projections_keep_the_scale_of_the_cells():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        autoencoder = AttentionAutoencoder(100, n_latent=100, n_members=1)
    assert 0.9 < (torch.ones(100) @ autoencoder.queries[0]).std() < 1.1
    torch.testing.assert_close(autoencoder.keys, autoencoder.queries)


def test_it_starts_with_the_principal_axes_of_the_metacells(profiles):
    autoencoder = AttentionAutoencoder(N_GENES, n_latent=4, n_members=2)
    autoencoder.start_from(profiles)
    _, values, axes = np.linalg.svd(profiles.numpy(), full_matrices=False)
    found = autoencoder.queries[1].detach().numpy()
    np.testing.assert_allclose(np.abs(axes[:4] @ found), np.eye(4), atol=1e-5)
    assert (np.diff(values) < 0).all()
    torch.testing.assert_close(autoencoder.keys, autoencoder.queries)


def test_fewer_metacells_than_latent_dimensions():
    autoencoder = AttentionAutoencoder(N_GENES, n_latent=5, n_members=1)
    autoencoder.start_from(torch.eye(N_GENES)[:3])
    assert autoencoder.queries[:, :, 3:].abs().sum() == 0
    assert autoencoder.embed_cells(torch.ones(2, N_GENES), torch.ones(N_GENES)).isfinite().all()


def test_the_latent_space_is_not_wider_than_the_genes():
    autoencoder = AttentionAutoencoder(N_GENES, n_latent=32, n_members=1)
    assert autoencoder.queries.shape == (1, N_GENES, N_GENES)


def test_a_cell_without_expression_has_a_finite_embedding(autoencoder, profiles):
    z = autoencoder.embed_cells(torch.zeros(1, N_GENES), MASK)
    assert z.isfinite().all()
    assert autoencoder.attention(z, autoencoder.embed_reference(profiles, MASK)).isfinite().all()

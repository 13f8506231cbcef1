import numpy as np
import pytest
import torch
from scvi import REGISTRY_KEYS

from stimpute.module._attention import MASK_KEY, AttentionAutoencoder
from stimpute.module._gene_graph import GeneGraphNetwork, whiten
from stimpute.module._masked_genes import FEATURES_KEY, MASKED_KEY, NICHE_KEY, TRUTH_KEY, MaskedGeneModule
from stimpute.module._precision import DensePrecision

N_GENES, N_CELLS = 6, 12
FEATURES = torch.linspace(0.1, 0.5, N_GENES**2).reshape(1, N_GENES, N_GENES)
LEARNS_ALL = torch.ones(2, N_GENES, dtype=torch.bool)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def profiles(rng):
    return torch.tensor(rng.normal(size=(9, N_GENES)), dtype=torch.float32)


@pytest.fixture
def make_module(profiles):
    """A function that makes a module of two members; its graph and autoencoder are always the same."""

    def make(learns=LEARNS_ALL, *, with_graph=True, n_inputs=1, **options):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            autoencoder = AttentionAutoencoder(N_GENES, n_latent=4, n_members=2)
            graph = GeneGraphNetwork(n_features=1, n_statistics=1, n_inputs=n_inputs, n_members=2)
            torch.nn.init.normal_(graph.linear)
        autoencoder.start_from(profiles)
        precision = DensePrecision(torch.eye(N_GENES) + 0.1)
        graph = graph if with_graph else None
        statistics = torch.zeros(N_GENES, 1)
        return MaskedGeneModule(autoencoder, graph, profiles, statistics, precision, learns, **options)

    return make


def make_batch(rng, masked, niche=False):
    x = torch.tensor(rng.normal(size=(N_CELLS, N_GENES)), dtype=torch.float32)
    mask = torch.ones(N_GENES)
    mask[masked] = 0
    batch = {REGISTRY_KEYS.X_KEY: x, MASK_KEY: mask, MASKED_KEY: masked, TRUTH_KEY: x[:, masked]}
    batch[FEATURES_KEY] = FEATURES[:, masked]
    if niche:
        batch[NICHE_KEY] = torch.tensor(rng.normal(size=(N_CELLS, N_GENES)), dtype=torch.float32)
    return batch


def test_the_truth_of_a_masked_gene_changes_the_loss_but_not_its_prediction(make_module, rng):
    module = make_module()
    batch = make_batch(rng, torch.tensor([2]))
    changed = {**batch, REGISTRY_KEYS.X_KEY: batch[REGISTRY_KEYS.X_KEY].clone()}
    changed[REGISTRY_KEYS.X_KEY][:, 2] += torch.arange(12.0)
    changed[TRUTH_KEY] = changed[REGISTRY_KEYS.X_KEY][:, [2]]
    first, second = module(batch), module(changed)
    torch.testing.assert_close(first[1]["z_score"], second[1]["z_score"])
    assert first[1]["z_score"].shape == (2, 1, N_CELLS)
    assert first[2].loss.item() != second[2].loss.item()


def test_a_member_learns_nothing_from_its_own_fold(make_module, rng):
    learns = LEARNS_ALL.clone()
    learns[0, [2, 4]] = False
    module = make_module(learns)
    module(make_batch(rng, torch.tensor([2, 4])))[2].loss.backward()
    for name, parameter in module.named_parameters():
        if parameter.grad is not None:
            assert parameter.grad[0].abs().sum() == 0, name
    assert module.autoencoder.queries.grad[1].abs().sum() > 0
    assert module.graph.linear.grad[1].abs().sum() > 0


def test_the_prediction_is_attention_plus_messages(make_module, rng, profiles):
    masked = torch.tensor([1, 5])
    batch = make_batch(rng, masked, niche=True)
    module = make_module(n_inputs=2)
    _, output, _ = module(batch)
    z = module.autoencoder.embed_cells(batch[REGISTRY_KEYS.X_KEY], batch[MASK_KEY])
    keys = module.autoencoder.embed_reference(profiles, batch[MASK_KEY])
    expected = (module.autoencoder.attention(z, keys) @ profiles[:, masked]).transpose(1, 2)
    weights = module.graph(FEATURES[:, masked], module.statistics[masked], module.statistics)
    weights = whiten(weights, module.precision, masked)
    expected = expected + weights[:, 0] @ batch[REGISTRY_KEYS.X_KEY].T + weights[:, 1] @ batch[NICHE_KEY].T
    torch.testing.assert_close(output["z_score"], expected)


def test_a_batch_without_a_niche_uses_the_first_input_alone(make_module, rng):
    batch = make_batch(rng, torch.tensor([1, 5]))
    one, two = make_module(n_inputs=1), make_module(n_inputs=2)
    with torch.no_grad():
        two.graph.linear[..., :1] = one.graph.linear
    torch.testing.assert_close(two(batch)[1]["z_score"], one(batch)[1]["z_score"])


@pytest.mark.parametrize("options", [{"use_attention": False}, {"with_graph": False}])
def test_either_part_can_be_left_out(make_module, rng, options):
    batch = make_batch(rng, torch.tensor([1, 5]))
    part, whole = make_module(**options), make_module()
    rest = make_module(**({"with_graph": False} if "use_attention" in options else {"use_attention": False}))
    torch.testing.assert_close(part(batch)[1]["z_score"] + rest(batch)[1]["z_score"], whole(batch)[1]["z_score"])


def test_without_leaving_out_a_gene_predicts_itself(make_module, rng):
    batch = make_batch(rng, torch.tensor([2]))
    changed = {**batch, REGISTRY_KEYS.X_KEY: batch[REGISTRY_KEYS.X_KEY].clone()}
    changed[REGISTRY_KEYS.X_KEY][:, 2] += torch.arange(12.0)
    module = make_module(leave_out=False)
    assert not torch.allclose(module(batch)[1]["z_score"], module(changed)[1]["z_score"])


def test_the_loss_is_the_equation(make_module, rng):
    masked = torch.tensor([0, 3, 4])
    learns = LEARNS_ALL.clone()
    learns[0, 3] = False
    learns[1, [0, 4]] = False
    batch = make_batch(rng, masked)
    _, output, loss = make_module(learns, error_weight=0.7)(batch)
    predicted, truth = output["z_score"].detach().numpy(), batch[TRUTH_KEY].numpy().T

    def of_gene(member, gene):
        correlation = np.corrcoef(predicted[member, gene], truth[gene])[0, 1]
        return 1 - correlation + 0.7 * ((predicted[member, gene] - truth[gene]) ** 2).mean()

    expected = np.mean([of_gene(0, 0), of_gene(0, 2)]) + of_gene(1, 1)
    assert loss.loss.item() == pytest.approx(expected, rel=1e-4)
    assert loss.n_obs_minibatch == N_CELLS
    assert set(loss.extra_metrics) == {"correlation", "held_out_correlation"}


def test_a_constant_gene_gives_a_finite_loss(make_module, rng):
    batch = make_batch(rng, torch.tensor([2]))
    batch[TRUTH_KEY] = torch.zeros(N_CELLS, 1)
    module = make_module()
    loss = module(batch)[2].loss
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.isfinite().all() for p in module.parameters() if p.grad is not None)


def test_weights_alone_are_saved(make_module):
    assert all(name.startswith(("autoencoder.", "graph.")) for name in make_module().state_dict())

import torch
from scvi import REGISTRY_KEYS

from stimpute.module._reliability_network import SCORE_KEY, ReliabilityNetwork


def test_the_loss_is_eq_13():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network, profiles, scores = ReliabilityNetwork(8), torch.rand(6, 8), torch.rand(6)
    _, output, loss = network({REGISTRY_KEYS.X_KEY: profiles, SCORE_KEY: scores})
    score = network.inference(profiles)["score"]
    assert score.shape == (6,)
    assert ((score > 0) & (score < 1)).all()
    torch.testing.assert_close(output["score"], score)
    torch.testing.assert_close(loss.loss, ((score - scores) ** 2).mean())

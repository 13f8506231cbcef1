import sys
import tempfile

import pytest
import torch
from torch_geometric.nn import SAGEConv

from stimpute.module._sage import NodeMajorSAGEConv

N_CELLS, N_GENES, N_IN, N_OUT = 7, 5, 4, 3


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def test_it_equals_torch_geometric_cell_by_cell():
    layer, plain = NodeMajorSAGEConv(N_IN, N_OUT), SAGEConv(N_IN, N_OUT, aggr="mean")
    plain.load_state_dict(layer.state_dict())
    features = torch.randn(N_GENES, N_CELLS, N_IN)
    uniform = (torch.ones(N_GENES, N_GENES) - torch.eye(N_GENES)) / (N_GENES - 1)
    edges = uniform.nonzero().T.flip(0)  # from source to target
    found = layer(features, features, uniform)
    assert found.shape == (N_GENES, N_CELLS, N_OUT)
    for cell in range(N_CELLS):
        torch.testing.assert_close(found[:, cell], plain(features[:, cell], edges))


def test_weights_and_other_targets_by_hand():
    layer = NodeMajorSAGEConv(N_IN, N_OUT)
    sources, targets = torch.randn(N_GENES, N_CELLS, N_IN), torch.randn(2, N_CELLS, N_IN)
    adjacency = torch.softmax(torch.randn(2, N_GENES), 1)
    aggregated = torch.einsum("ts,sci->tci", adjacency, sources)
    by_hand = aggregated @ layer.lin_l.weight.T + layer.lin_l.bias + targets @ layer.lin_r.weight.T
    torch.testing.assert_close(layer(sources, targets, adjacency), by_hand)


def test_without_a_root_weight_the_own_features_are_not_used():
    layer = NodeMajorSAGEConv(N_IN, N_OUT, root_weight=False, bias=False)
    sources = torch.randn(N_GENES, N_CELLS, N_IN)
    adjacency = torch.eye(N_GENES)[:2]
    torch.testing.assert_close(layer(sources, None, adjacency), sources[:2] @ layer.lin_l.weight.T)


def test_no_generated_code_is_left_in_a_temporary_file(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    NodeMajorSAGEConv(N_IN, N_OUT)
    assert not list(tmp_path.iterdir())
    assert not [name for name in sys.modules if "NodeMajorSAGEConv" in name]

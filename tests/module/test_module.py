import pytest
import torch
from torch import nn

from stimpute.module._module import StImputeModule


def test_networks_are_found_by_name_and_saved_together():
    networks = {"first": nn.Linear(2, 3), "second": nn.Linear(3, 1)}
    module = StImputeModule(networks)
    assert module["second"] is networks["second"]
    assert set(module.state_dict()) == {
        f"networks.{name}.{part}" for name in ("first", "second") for part in ("weight", "bias")
    }
    with pytest.raises(KeyError):
        module["third"]


def test_networks_are_built_again_when_a_model_is_loaded():
    class Recipe:
        def build(self, sizes):
            return {"network": nn.Linear(sizes, 1)}

    class Model:
        recipe = Recipe()
        sizes = 4

    module = StImputeModule({})
    module.on_load(Model())
    assert module["network"].in_features == 4


def test_the_module_itself_is_not_run():
    with pytest.raises(NotImplementedError, match=r"model.train\(\).*model.impute\(\)"):
        StImputeModule({})({"X": torch.ones(2, 2)})

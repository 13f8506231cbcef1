"""Phases and plans on a network of one weight, whose optimum is known."""

import logging

import numpy as np
import pytest
import torch
from scvi.module.base import BaseModuleClass, LossOutput
from torch import nn

from stimpute.train._phases import Phases, seeded
from stimpute.train._plan import LossPlan, OneCyclePlan


class Line(BaseModuleClass):
    """y = weight * x."""

    def __init__(self):
        super().__init__()
        self.weight, self.slow = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))

    def _get_inference_input(self, tensors):
        return {"x": tensors["x"]}

    def _get_generative_input(self, tensors, inference_outputs):
        return inference_outputs

    def inference(self, x):
        return {"y": x * (self.weight + self.slow)}

    def generative(self, y):
        return {"y": y}

    def loss(self, tensors, inference_outputs, generative_outputs):
        error = ((generative_outputs["y"] - tensors["y"]) ** 2).mean()
        return LossOutput(loss=error, n_obs_minibatch=len(tensors["x"]), extra_metrics={"half": error.detach() / 2})


def phases(**options):
    options = {"accelerator": "cpu", "devices": 1} | options
    options["trainer_kwargs"] = {"enable_progress_bar": False} | options.get("trainer_kwargs", {})
    return Phases(**options)


def line_data(p, n=33, batch_size=8):
    x = torch.linspace(-1, 1, n)[:, None]
    return p.batches({"x": x, "y": 3 * x}, batch_size)


def run(p, epochs=5, **kwargs):
    module = Line()
    p.run("line", module, line_data(p), epochs, **kwargs)
    return module


def test_it_learns():
    p = phases()
    module = run(p, 60, lr=0.1)
    assert module.weight.item() + module.slow.item() == pytest.approx(3, abs=0.05)
    assert not module.training


def test_history_has_every_loss_by_epoch():
    p = phases(early_stopping=True)
    run(p, 5, lr=0.1)
    assert set(p.history) == {"line_train_loss", "line_validation_loss", "line_half_train", "line_half_validation"}
    for table in p.history.values():
        assert table.index.tolist() == list(range(5))
        assert table.index.name == "epoch"
    loss = p.history["line_train_loss"].to_numpy(float)
    assert loss[-1] < loss[0]
    np.testing.assert_allclose(p.history["line_half_train"].to_numpy(float), loss / 2, rtol=1e-5)


def test_a_phase_that_runs_again_is_appended():
    p = phases()
    run(p, 2)
    run(p, 3)
    assert len(p.history["line_train_loss"]) == 5
    assert p.history["line_train_loss"].index.tolist() == list(range(5))


def test_max_epochs_is_an_upper_bound():
    for bound, expected in ((2, 2), (None, 5), (50, 5)):
        p = phases(max_epochs=bound)
        run(p, 5)
        assert len(p.history["line_train_loss"]) == expected


def test_early_stopping():
    p = phases(early_stopping=True, trainer_kwargs={"early_stopping_patience": 1, "early_stopping_min_delta": 1e9})
    run(p, 50)
    assert len(p.history["line_train_loss"]) < 5


def test_early_stopping_without_enough_rows():
    p = phases(early_stopping=True)
    p.run("line", Line(), line_data(p, n=5), 3)
    assert len(p.history["line_train_loss"]) == 3


def test_the_users_plan_options_win():
    p = phases(plan_kwargs={"lr": 0.0})
    assert run(p, 3, lr=0.5).weight.item() == 0
    assert run(phases(), 3, lr=0.5).weight.item() != 0


def test_the_users_batch_size_wins():
    p = phases(batch_size=3)
    assert line_data(p, batch_size=8).batch_size == 3
    assert line_data(phases(), batch_size=8).batch_size == 8


def test_optimisers_of_the_plan():
    plan = LossPlan(Line(), lr=0.3)
    optimiser = plan.configure_optimizers()["optimizer"]
    assert optimiser.defaults["lr"] == 0.3
    assert optimiser.defaults["weight_decay"] == 0
    assert optimiser.defaults["eps"] == 1e-8


def test_one_cycle_has_another_rate_for_slow_parameters():
    """Adam's first steps are as large as the rate: the slow parameter stays behind."""
    module = run(phases(), 2, plan_class=OneCyclePlan, lr=1e-2, slow_lr=1e-5, slow="slow", weight_decay=0.0)
    assert 0 < module.slow.item() < 0.01 * module.weight.item()


def test_one_seed_one_result():
    states = []
    for _ in range(2):
        with seeded(7):
            states.append((torch.rand(3).tolist(), run(phases(seed=7), 3, lr=0.1).weight.item()))
    assert states[0] == states[1]


def test_seeded_restores_the_state_even_after_an_error():
    state = torch.get_rng_state()

    def fail():
        with seeded(3):
            torch.rand(5)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert torch.equal(state, torch.get_rng_state())


def test_logging_is_as_before():
    logger = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    level = logger.level
    run(phases(), 1)
    assert logger.level == level

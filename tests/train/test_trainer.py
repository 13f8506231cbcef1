"""Training plans and phases on a network of two weights, whose optimum is known."""

import logging
import signal

import numpy as np
import pytest
import torch
from scvi.module.base import BaseModuleClass, LossOutput
from torch import nn

from stimpute.train._contexts import seeded
from stimpute.train._plan import LossPlan, OneCyclePlan
from stimpute.train._trainer import PhaseTrainer


class Line(BaseModuleClass):
    """y = (weight + slow) * x."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.slow = nn.Parameter(torch.zeros(1))

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


def make_trainer(**options):
    options = {"accelerator": "cpu", "devices": 1} | options
    options["trainer_kwargs"] = {"enable_progress_bar": False} | options.get("trainer_kwargs", {})
    return PhaseTrainer(**options)


def line_batches(trainer, n=33, batch_size=8):
    x = torch.linspace(-1, 1, n)[:, None]
    return trainer.batches({"x": x, "y": 3 * x}, batch_size)


def run(trainer, epochs=5, name="line", **kwargs):
    module = Line()
    trainer.run(name, module, line_batches(trainer), epochs, **kwargs)
    return module


# ---------------------------------------------------------------- phases


def test_it_learns():
    module = run(make_trainer(), 60, lr=0.1)
    assert module.weight.item() + module.slow.item() == pytest.approx(3, abs=0.05)
    assert not module.training


def test_history_has_every_loss_by_epoch():
    trainer = make_trainer(early_stopping=True)
    run(trainer, 5, lr=0.1)
    assert set(trainer.history) == {
        "line_train_loss",
        "line_validation_loss",
        "line_half_train",
        "line_half_validation",
    }
    for table in trainer.history.values():
        assert table.index.tolist() == list(range(5))
        assert table.index.name == "epoch"
    loss = trainer.history["line_train_loss"].to_numpy(float)
    assert loss[-1] < loss[0]
    np.testing.assert_allclose(trainer.history["line_half_train"].to_numpy(float), loss / 2, rtol=1e-5)


def test_the_history_is_the_mean_over_rows():
    """Without learning, the loss of an epoch is that of all rows, whatever the size of the last batch."""
    trainer = make_trainer(plan_kwargs={"lr": 0.0})
    run(trainer, 1)
    x = torch.linspace(-1, 1, 33)
    expected = ((3 * x) ** 2).mean().item()
    assert trainer.history["line_train_loss"].to_numpy(float)[0, 0] == pytest.approx(expected, rel=1e-5)


def untrained(trainer):
    return {name: table.attrs["untrained"] for name, table in trainer.history.items() if "untrained" in table.attrs}


def test_the_history_knows_the_value_of_the_untrained_network():
    trainer = make_trainer(batch_size=33)
    run(trainer, 3, lr=0.1)
    x = torch.linspace(-1, 1, 33)
    loss = (9 * x**2).mean().item()
    assert untrained(trainer) == pytest.approx({"line_train_loss": loss, "line_half_train": loss / 2}, rel=1e-5)
    run(trainer, 3, lr=0.1)  # the phase goes on; where it began stays
    assert untrained(trainer)["line_train_loss"] == pytest.approx(loss, rel=1e-5)


class Noisy(Line):
    """A line that learns from other inputs in every step."""

    def inference(self, x):
        noise = torch.nn.functional.dropout(torch.ones_like(x), training=self.training)
        return {"y": x * noise * (self.weight + self.slow)}


def test_the_untrained_value_changes_nothing_that_is_learned(monkeypatch):
    def weights_and_random_state():
        with seeded(3):
            module = Noisy()
            make_trainer().run("line", module, line_batches(make_trainer()), 4, lr=0.1)
            return module.weight.item(), module.slow.item(), torch.rand(1).item()

    with_it = weights_and_random_state()
    monkeypatch.setattr(LossPlan, "_evaluate_untrained", lambda self, batch: None)
    assert weights_and_random_state() == with_it


def test_a_phase_that_runs_again_is_appended():
    trainer = make_trainer()
    run(trainer, 2)
    run(trainer, 3)
    assert len(trainer.history["line_train_loss"]) == 5
    assert trainer.history["line_train_loss"].index.tolist() == list(range(5))


def test_phases_have_histories_of_their_own():
    trainer = make_trainer()
    for name in ("first", "second"):
        trainer.run(name, Line(), line_batches(trainer), 1)
    assert {key.split("_")[0] for key in trainer.history} == {"first", "second"}
    assert make_trainer().history == {}


@pytest.mark.parametrize(("bound", "expected"), [(2, 2), (None, 5), (50, 5)])
def test_max_epochs_is_an_upper_bound(bound, expected):
    trainer = make_trainer(max_epochs=bound)
    run(trainer, 5)
    assert len(trainer.history["line_train_loss"]) == expected


def test_early_stopping():
    options = {"early_stopping_patience": 1, "early_stopping_min_delta": 1e9}
    trainer = make_trainer(early_stopping=True, trainer_kwargs=options)
    run(trainer, 50)
    assert len(trainer.history["line_train_loss"]) < 5


def test_early_stopping_without_enough_rows():
    trainer = make_trainer(early_stopping=True)
    trainer.run("line", Line(), line_batches(trainer, n=5), 3)
    assert len(trainer.history["line_train_loss"]) == 3


def test_rows_are_held_out_for_early_stopping_alone():
    assert len(line_batches(make_trainer()).held_out) == 0
    assert len(line_batches(make_trainer(early_stopping=True)).held_out) == 3


def test_the_plan_options_of_the_user_win():
    assert run(make_trainer(plan_kwargs={"lr": 0.0}), 3, lr=0.5).weight.item() == 0
    assert run(make_trainer(), 3, lr=0.5).weight.item() != 0


def test_the_batch_size_of_the_user_wins():
    assert line_batches(make_trainer(batch_size=3), batch_size=8).batch_size == 3
    assert line_batches(make_trainer(), batch_size=8).batch_size == 8


def test_callbacks_of_the_user_are_called():
    from lightning.pytorch.callbacks import LambdaCallback

    epochs = []
    count = LambdaCallback(on_train_epoch_end=lambda trainer, module: epochs.append(trainer.current_epoch))
    run(make_trainer(trainer_kwargs={"callbacks": [count]}), 3)
    run(make_trainer(trainer_kwargs={"callbacks": count, "simple_progress_bar": True}), 1)
    run(make_trainer(trainer_kwargs={"callbacks": None}), 1)
    assert epochs == [0, 1, 2, 0]


def test_callbacks_begin_each_phase_anew():
    """Early stopping that has waited in one phase would end the next one too early."""
    from lightning.pytorch.callbacks import EarlyStopping

    stop = EarlyStopping("train_loss", min_delta=1e9, patience=2, check_on_train_epoch_end=True)  # never so much
    trainer = make_trainer(trainer_kwargs={"callbacks": [stop]})
    for name in ("one", "two"):
        run(trainer, 9, name=name)
    assert len(trainer.history["one_train_loss"]) == len(trainer.history["two_train_loss"]) == 3


@pytest.mark.parametrize(
    ("name", "value", "advice"),
    [
        ("fast_dev_run", True, "max_epochs=1"),
        ("enable_checkpointing", True, r"model\.save"),
        ("precision", 64, "32-true"),
        ("precision", "64-true", "32-true"),
    ],
)
def test_trainer_arguments_that_phases_cannot_use_are_refused(name, value, advice):
    with pytest.raises(ValueError, match=f"`{name}` is .*{advice}"):
        make_trainer(trainer_kwargs={name: value})


def test_callbacks_that_are_none_are_refused():
    with pytest.raises(TypeError, match="`callbacks` is an int; expected a Callback"):
        make_trainer(trainer_kwargs={"callbacks": [3]})


def test_trainer_arguments_that_phases_can_use():
    for given in ({"fast_dev_run": False}, {"enable_checkpointing": False}, {"precision": "32-true"}):
        run(make_trainer(trainer_kwargs=given), 1)


@pytest.mark.parametrize(("plan_class", "lr"), [(LossPlan, 1e37), (OneCyclePlan, 1e38)])
def test_diverging_training_names_its_phase_and_what_to_do(plan_class, lr):
    with pytest.raises(FloatingPointError, match=r"diverged in the phase 'line'.*plan_kwargs=\{\"lr\""):
        run(make_trainer(), 2, plan_class=plan_class, lr=lr)  # a recipe checks its own rates


def test_a_phase_that_diverges_leaves_no_history():
    trainer = make_trainer()
    with pytest.raises(FloatingPointError):
        run(trainer, 2, lr=1e37)
    assert trainer.history == {}


def test_the_device_is_that_of_the_accelerator():
    assert make_trainer().device == torch.device("cpu")


# ---------------------------------------------------------------- plans


def test_options_of_the_optimizer():
    plan = LossPlan(Line(), lr=0.3)
    optimizer = plan.configure_optimizers()["optimizer"]
    assert optimizer.defaults["lr"] == 0.3
    assert optimizer.defaults["weight_decay"] == 0
    assert optimizer.defaults["eps"] == 1e-8


def test_one_cycle_has_another_rate_for_slow_parameters():
    """The first steps of Adam are as large as the rate: the slow parameter changes less."""
    options = {"lr": 1e-2, "slow_lr": 1e-5, "slow_prefix": "slow", "weight_decay": 0.0}
    module = run(make_trainer(), 2, plan_class=OneCyclePlan, **options)
    assert 0 < module.slow.item() < 0.01 * module.weight.item()


@pytest.mark.parametrize("prefix", ["none has it", ""])
def test_one_cycle_with_one_group_alone(prefix):
    module = run(make_trainer(), 2, plan_class=OneCyclePlan, slow_prefix=prefix, weight_decay=0.0)
    assert module.slow.item() == pytest.approx(module.weight.item())
    assert module.slow.item() > 0


# ---------------------------------------------------------------- random numbers and messages


def test_one_seed_gives_one_result():
    results = []
    for _ in range(2):
        with seeded(7):
            results.append((torch.rand(3).tolist(), run(make_trainer(seed=7), 3, lr=0.1).weight.item()))
    assert results[0] == results[1]
    assert run(make_trainer(seed=8), 3, lr=0.1).weight.item() != results[0][1]


def test_the_random_state_is_restored_even_after_an_error():
    state = torch.get_rng_state()

    def fail():
        with seeded(3):
            torch.rand(5)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert torch.equal(state, torch.get_rng_state())


def test_training_leaves_the_loggers_as_they_were():
    logger = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    level = logger.level
    run(make_trainer(), 1)
    assert logger.level == level


# ---------------------------------------------------------------- interruptions


class Interrupt(LossPlan):
    """A user who presses Ctrl-C in the second epoch."""

    def on_train_epoch_end(self):
        super().on_train_epoch_end()
        if self.current_epoch == 1:
            signal.raise_signal(signal.SIGINT)


@pytest.fixture
def interruptible():
    """Let SIGINT interrupt, which a shell tells its background processes to ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interruption_is_not_the_end_of_python(interruptible):
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run(make_trainer(), plan_class=Interrupt)
    assert signal.getsignal(signal.SIGINT) is before
    with pytest.raises(KeyboardInterrupt):  # a second one is not ignored
        signal.raise_signal(signal.SIGINT)


class Exit(LossPlan):
    """A callback that ends Python."""

    def on_train_epoch_end(self):
        raise SystemExit(3)


def test_another_end_of_python_is_left_alone():
    with pytest.raises(SystemExit, match="3"):
        run(make_trainer(), plan_class=Exit)


def test_integers_of_numpy_are_seeds():
    first, second = (make_trainer(seed=seed) for seed in (3, np.int64(3)))
    torch.testing.assert_close(run(first).weight, run(second).weight, rtol=0, atol=0)


@pytest.mark.parametrize("option", [{"optimizer": "Adam"}, {"reduce_lr_on_plateau": True}, {"lr_patience": 3}])
def test_options_that_one_cycle_does_not_use_are_refused(option):
    with pytest.raises(ValueError, match=rf"`plan_kwargs` has {next(iter(option))}, .*one cycle.*`lr`"):
        run(make_trainer(plan_kwargs=option), 1, plan_class=OneCyclePlan)

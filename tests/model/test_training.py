"""`train` and its options."""

import random
import signal
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import scvi
import torch
from lightning.pytorch.callbacks import Callback
from small import N_CELLS, QUIET, can, fit, if_known, set_up, small_pair, values

from stimpute import StImputeModel

GENES = ["Gene40", "Gene07", "Gene03", "Gene30"]


def learned(model):
    """Everything that a trained model is: weights of the networks, and learned arrays."""
    weights = {name: value.numpy().copy() for name, value in model.module.state_dict().items()}
    return {**weights, **model.fit_arrays_}


def assert_same(a, b):
    assert a.keys() == b.keys()
    for name, value in a.items():
        np.testing.assert_array_equal(value, b[name], err_msg=name)


def is_same(a, b):
    return a.keys() == b.keys() and all(np.array_equal(value, b[name]) for name, value in a.items())


def weights(model):
    return torch.cat([value.flatten().double() for value in model.module.state_dict().values()])


def test_history_is_one_table_per_loss(model, recipe):
    assert bool(model.history) == can(recipe, "networks")
    for name, table in model.history.items():
        assert isinstance(table, pd.DataFrame), name
        assert table.index.name == "epoch"
        assert len(table) >= 2
        assert np.isfinite(table.to_numpy(float)).all()


@pytest.mark.needs("networks")
@pytest.mark.slow
def test_training_lowers_the_loss(pair, recipe):
    model = fit(*pair, recipe, {"max_epochs": 20})
    tables = [table for name, table in model.history.items() if name.endswith("train_loss")]
    assert tables
    for table in tables:
        assert float(table.iloc[-1, 0]) < float(table.iloc[0, 0])


@pytest.mark.needs("networks")
def test_max_epochs_bounds_every_phase(pair, recipe):
    once, twice = (fit(*pair, recipe, {"max_epochs": n}).history for n in (1, 2))
    assert once.keys() == twice.keys()
    for name in once:
        assert len(twice[name]) == 2 * len(once[name])


def test_more_epochs_than_the_recipe_has_are_told(pair):
    with pytest.warns(UserWarning, match="`max_epochs` is 400, an upper bound: the recipe trains 1 epochs or fewer"):
        model = fit(*pair, "crossfit", {"max_epochs": 400}, n_steps=5)
    assert len(model.history["masked_genes_train_loss"]) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        fit(*pair, "crossfit", {"max_epochs": 1}, n_steps=5)


@pytest.mark.needs("networks")
@pytest.mark.slow
def test_early_stopping_ends_every_phase(pair, recipe):
    once = fit(*pair, recipe, {"max_epochs": 1}).history
    options = {"max_epochs": 30, "early_stopping": True, "early_stopping_patience": 2, "early_stopping_min_delta": 1e9}
    model = fit(*pair, recipe, options)
    watched = [name for name in model.history if name.endswith("validation_loss")]
    assert watched
    for name in watched:
        n_runs = len(once[name.replace("validation", "train")])  # a phase may run more than once
        assert len(model.history[name]) <= 4 * n_runs
    assert np.isfinite(model.impute(genes=["Gene40"], progress=False).X).all()


@pytest.mark.needs("networks")
def test_plan_kwargs_reach_the_optimizer(pair, model, recipe):
    slow = fit(*pair, recipe, {"plan_kwargs": {"lr": 1e-9}})
    assert not torch.equal(weights(slow), weights(model))
    with pytest.raises(TypeError, match="no_such_option"):
        fit(*pair, recipe, {"plan_kwargs": {"no_such_option": 1}})


@pytest.mark.needs("networks")
def test_trainer_kwargs_reach_the_trainer(pair, recipe):
    class Count(Callback):
        epochs, accelerators = 0, set()

        def on_train_epoch_end(self, trainer, pl_module):
            self.epochs += 1
            self.accelerators.add(type(trainer.accelerator).__name__)

    count = Count()
    fit(*pair, recipe, {"callbacks": [count]})
    assert count.epochs >= 2
    assert count.accelerators == {"CPUAccelerator"}


def test_an_argument_that_no_trainer_has_is_refused_before_training(fresh, recipe):
    model = StImputeModel(*set_up(*fresh), recipe=recipe)
    with pytest.raises(TypeError, match=r"`train` has no argument 'n_epochs'.*Did you mean .*max_epochs"):
        model.train(n_epochs=3)
    with pytest.raises(TypeError, match="`train` has no argument 'train_size'"):
        model.train(train_size=0.9)


def test_the_device_is_honored(saved, pair):
    model = StImputeModel.load(saved, *pair, accelerator="cpu")
    assert str(model.device) == "cpu"
    model.to_device("cpu")
    assert model.impute(genes=["Gene40"], progress=False).n_vars == 1


def test_nothing_that_was_computed_on_another_device_is_kept(saved, pair):
    model = StImputeModel.load(saved, *pair, accelerator="cpu")
    before = model.impute(genes=["Gene40"], progress=False)
    predictor = model.predictor()
    model.to_device("cpu")
    assert model.predictor() is not predictor
    np.testing.assert_array_equal(model.impute(genes=["Gene40"], progress=False).X, before.X)


@pytest.mark.parametrize("batch_size", [N_CELLS - 1, 1, N_CELLS + 50])
@pytest.mark.slow
def test_any_batch_size(pair, recipe, batch_size):
    model = fit(*pair, recipe, {"batch_size": batch_size, "max_epochs": 1})
    assert np.isfinite(model.impute(genes=["Gene40"], batch_size=N_CELLS - 1, progress=False).X).all()


# ---------------------------------------------------------------- random numbers


def test_global_random_states_are_left_alone(pair, recipe, saved):
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    fit(*pair, recipe).impute(genes=["Gene40"], progress=False)
    StImputeModel.load(saved, *pair, accelerator="cpu")
    assert torch.equal(states[0], torch.get_rng_state())
    np.testing.assert_array_equal(states[1], np.random.get_state()[1])  # noqa: NPY002
    assert states[2] == random.getstate()


def test_global_random_states_do_not_matter(pair, model, recipe):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(12345)
        again = fit(*pair, recipe)
    assert_same(learned(again), learned(model))


@pytest.fixture
def settings_seed():
    """Set the seed of scvi-tools' settings, and restore it afterwards."""
    before = scvi.settings.seed

    def set_seed(seed):
        scvi.settings.seed = seed

    yield set_seed
    scvi.settings.seed = before


@pytest.mark.slow
def test_the_seed_of_the_settings_is_used_if_no_seed_is_given(pair, model, recipe, settings_seed):
    by_argument = learned(fit(*pair, recipe, {"seed": 3}))
    assert not is_same(by_argument, learned(model))
    settings_seed(3)
    assert_same(learned(fit(*pair, recipe)), by_argument)
    assert_same(learned(fit(*pair, recipe, {"seed": 0})), learned(model))


# ---------------------------------------------------------------- training again


@pytest.mark.slow
def test_training_twice_starts_again(pair, model, recipe):
    again = fit(*pair, recipe)
    lengths = {name: len(table) for name, table in again.history.items()}
    again.train(**QUIET)
    assert_same(learned(again), learned(model))
    assert lengths == {name: len(table) for name, table in again.history.items()}


@pytest.mark.slow
def test_training_with_another_seed_replaces_the_predictions(pair, recipe):
    again = fit(*pair, recipe)
    genes = list(pair[0].var_names)
    before = values(again.impute(genes=genes, progress=False))
    again.train(**QUIET, seed=1)
    assert not np.array_equal(values(again.impute(genes=genes, progress=False)), before)


class Fail(Callback):
    """Raises an error at the end of an epoch, counted over all phases."""

    def __init__(self, epoch, error=None):
        self.epoch = epoch
        self.n_epochs = 0
        self.error = error or RuntimeError("stopped by a callback")

    def on_train_epoch_end(self, trainer, pl_module):
        self.n_epochs += 1
        if self.n_epochs == self.epoch:
            raise self.error


def fail_after_fit(monkeypatch, model):
    fit_once = type(model.recipe).fit

    def fit_and_fail(*args):
        fit_once(*args)
        raise MemoryError("at the very end")

    monkeypatch.setattr(type(model.recipe), "fit", fit_and_fail)


FAILURES = {
    "weights diverge": ({"plan_kwargs": {"lr": 1e30}, "max_epochs": 5}, FloatingPointError, "diverged.*plan_kwargs"),
    "callback raises in the first phase": ("first", RuntimeError, "stopped by a callback"),
    "callback raises in the last phase": ("last", RuntimeError, "stopped by a callback"),
}


@pytest.fixture
def trained(saved, pair):
    """A trained model of one test."""
    return StImputeModel.load(saved, *pair, accelerator="cpu")


def assert_training_fails_without_a_trace(model, error, message, **options):
    before = learned(model)
    predicted = values(model.impute(genes=GENES, progress=False))
    history, rows = dict(model.history), model.train_indices.copy()
    with pytest.raises(error, match=message):
        model.train(**{**QUIET, "seed": 5, "max_cells": 99, **options})
    assert_same(learned(model), before)
    np.testing.assert_array_equal(values(model.impute(genes=GENES, progress=False)), predicted)
    assert model.history.keys() == history.keys()
    assert all(model.history[name].equals(table) for name, table in history.items())
    np.testing.assert_array_equal(model.train_indices, rows)
    assert model.is_trained
    assert not model.module.training


@pytest.mark.needs("networks")
@pytest.mark.parametrize("how", FAILURES)
@pytest.mark.slow
def test_networks_that_cannot_be_trained_leave_the_model_as_it_was(trained, how, monkeypatch):
    monkeypatch.setattr("stimpute.train._checks.LARGEST", np.inf)  # so that weights diverge at once
    options, error, message = FAILURES[how]
    n_epochs = sum(len(table) for name, table in trained.history.items() if name.endswith("train_loss"))
    if options in ("first", "last"):
        options = {"callbacks": [Fail(1 if options == "first" else n_epochs)]}
    assert_training_fails_without_a_trace(trained, error, message, **options)


@pytest.mark.needs("networks")
def test_an_interrupted_training_leaves_the_model_as_it_was(trained):
    """Lightning turns an interrupt into the end of the program."""
    handler = signal.getsignal(signal.SIGINT)
    callback = Fail(2, KeyboardInterrupt())
    assert_training_fails_without_a_trace(trained, KeyboardInterrupt, "^$", callbacks=[callback])
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_recipe_that_fails_at_the_end_leaves_the_model_as_it_was(trained, monkeypatch):
    fail_after_fit(monkeypatch, trained)
    assert_training_fails_without_a_trace(trained, MemoryError, "at the very end")


@pytest.mark.parametrize(
    ("option", "value", "error"),
    [
        ("max_cells", 0, ValueError),
        ("plan_kwargs", {"lr": float("nan")}, ValueError),
        ("plan_kwargs", {"no_such_option": 1}, TypeError),
    ],
)
def test_wrong_options_leave_the_model_as_it_was(trained, option, value, error):
    assert_training_fails_without_a_trace(trained, error, "expected|does not have", **{option: value})


@pytest.mark.slow
def test_a_first_training_that_fails_leaves_an_untrained_model(pair, recipe, monkeypatch):
    model = StImputeModel(*pair, recipe=recipe)
    with monkeypatch.context() as failing:
        fail_after_fit(failing, model)
        with pytest.raises(MemoryError, match="at the very end"):
            model.train(**QUIET)
    assert not model.is_trained
    with pytest.raises(RuntimeError, match="not trained"):
        model.impute()
    model.train(**QUIET)
    assert model.impute(genes=["Gene40"], progress=False).n_vars == 1


# ---------------------------------------------------------------- unusual data


def test_a_sample_of_cells(pair, recipe):
    model = fit(*pair, recipe, {"max_cells": 60})
    assert len(model.train_indices) == 60
    assert len(set(model.train_indices)) == 60
    assert model.impute(genes=["Gene40"], progress=False).n_obs == N_CELLS


def test_one_spatial_cell(recipe):
    spatial, reference = small_pair(proteins=False)
    model = fit(*set_up(spatial[:1].copy(), reference), recipe, {"early_stopping": True})
    assert np.isfinite(model.impute(progress=False).X).all()


def test_cells_and_genes_without_any_count(recipe):
    """They train, and a gene that is zero in one dataset is no input; it can still be asked for."""
    spatial, reference = small_pair(proteins=False)
    for adata, gene, cell in ((spatial, spatial.var_names[0], 3), (reference, spatial.var_names[1], 8)):
        adata.X = adata.X.toarray()
        adata.X[:, adata.var_names.get_loc(gene)] = 0
        adata.X[cell] = 0
    reference.X[:, reference.var_names.get_loc("Gene40")] = 0
    set_up(spatial, reference)
    with pytest.warns(UserWarning, match=r"2 shared gene\(s\) are zero"):
        model = StImputeModel(spatial, reference, recipe=recipe)
    model.train(**QUIET)
    empty = spatial.var_names[:2]
    assert not set(empty) & set(model.shared_genes)
    result = model.impute(genes=[*empty, "Gene40", "Gene03"], progress=False)
    assert np.isfinite(result.X).all()
    assert np.isfinite(result.var["reliability"]).all()
    assert result.var.loc[["Gene40", empty[1]], "reliability"].tolist() == [0, 0]  # constant in the reference


def test_three_shared_genes(recipe):
    spatial, reference = small_pair(proteins=False, n_measured=3)
    model = fit(*set_up(spatial, reference), recipe)
    result = model.impute(genes=list(reference.var_names), progress=False)
    assert np.isfinite(result.X).all()
    assert result.var["n_edges"].between(1, 3).all()


def test_a_small_reference(recipe):
    spatial, reference = small_pair(proteins=False, n_reference=12)
    model = fit(*set_up(spatial, reference), recipe, **if_known(recipe, n_neighbors=12))
    assert np.isfinite(model.impute(progress=False).X).all()


def test_several_sections(recipe):
    spatial, reference = small_pair(proteins=False)
    spatial.obs["section"] = np.where(np.arange(spatial.n_obs) < 149, "a", "b")  # one of a single cell
    model = fit(*set_up(spatial, reference, batch_key="section"), recipe)
    assert np.isfinite(model.impute(progress=False).X).all()


def test_the_seed_is_kept_with_the_model(pair, recipe, tmp_path):
    model = StImputeModel(*pair, recipe=recipe)
    assert model.training_record is None
    model.train(**QUIET, seed=np.int64(7), batch_size=40, plan_kwargs={"lr": 1e-3} if can(recipe, "networks") else None)
    assert model.training_record["seed"] == 7
    assert model.training_record["max_epochs"] == QUIET["max_epochs"]
    assert model.training_record["batch_size"] == 40
    model.save(tmp_path / "model")
    again = StImputeModel.load(tmp_path / "model", *pair, accelerator="cpu")
    assert again.training_record == model.training_record


def test_models_that_are_trained_in_threads_are_those_of_their_seed(pair):
    def weights(seed):
        model = fit(*pair, "crossfit", {"max_epochs": 3, "seed": seed}, n_metacells=40)
        return torch.cat([parameter.detach().ravel() for parameter in model.module.parameters()])

    expected = [weights(seed) for seed in (0, 1, 0)]
    with ThreadPoolExecutor(3) as threads:
        found = list(threads.map(weights, (0, 1, 0)))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)

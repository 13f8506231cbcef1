"""`train` and its options."""

import random

import numpy as np
import pandas as pd
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from small import N_CELLS, QUIET, fit, set_up, small_pair

from stimpute import StImputeModel


def weights(model):
    return torch.cat([value.flatten().double() for value in model.module.state_dict().values()])


def test_history_is_one_table_per_loss(model):
    assert model.history
    for name, table in model.history.items():
        assert isinstance(table, pd.DataFrame), name
        assert table.index.name == "epoch"
        assert len(table) >= 2
        assert np.isfinite(table.to_numpy(float)).all()


def test_training_lowers_the_loss(pair, recipe):
    model = fit(*pair, recipe, {"max_epochs": 20})
    for table in model.history.values():
        if table.columns[0].endswith("train_loss"):
            assert float(table.iloc[-1, 0]) < float(table.iloc[0, 0])


def test_max_epochs_bounds_every_phase(pair, recipe):
    once, twice = (fit(*pair, recipe, {"max_epochs": n}).history for n in (1, 2))
    assert once.keys() == twice.keys()
    for name in once:
        assert len(twice[name]) == 2 * len(once[name])


def test_early_stopping(pair, recipe):
    options = {"max_epochs": 30, "early_stopping": True, "early_stopping_patience": 2, "early_stopping_min_delta": 1e9}
    model = fit(*pair, recipe, options)
    watched = [name for name in model.history if name.endswith("validation_loss")]
    assert watched
    for name in watched:
        runs = 3 if name.startswith("autoencoder") else 6 if name.startswith("reliability") else 2
        assert len(model.history[name]) <= 4 * runs
    assert np.isfinite(model.impute(genes=["Gene40"], progress=False).X).all()


def test_plan_kwargs_reach_the_optimiser(pair, model, recipe):
    slow = fit(*pair, recipe, {"plan_kwargs": {"lr": 1e-9}})
    assert not torch.equal(weights(slow), weights(model))
    with pytest.raises(TypeError, match="no_such_option"):
        fit(*pair, recipe, {"plan_kwargs": {"no_such_option": 1}})


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


def test_the_device_is_honoured(model):
    assert str(model.device) == "cpu"
    model.to_device("cpu")


@pytest.mark.parametrize("batch_size", [N_CELLS - 1, 1, N_CELLS + 50])
def test_any_batch_size(pair, recipe, batch_size):
    model = fit(*pair, recipe, {"batch_size": batch_size, "max_epochs": 1})
    assert np.isfinite(model.impute(genes=["Gene40"], batch_size=N_CELLS - 1, progress=False).X).all()


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
    assert torch.equal(weights(again), weights(model))


def test_training_twice_starts_again(pair, model, recipe):
    again = fit(*pair, recipe)
    lengths = {name: len(table) for name, table in again.history.items()}
    again.train(**QUIET)
    assert torch.equal(weights(again), weights(model))
    assert lengths == {name: len(table) for name, table in again.history.items()}


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
    silent = spatial.var_names[:2]
    assert not set(silent) & set(model.panel_)
    result = model.impute(genes=[*silent, "Gene40", "Gene03"], progress=False)
    assert np.isfinite(result.X).all()
    assert np.isfinite(result.var["reliability"]).all()
    assert result.var.loc[["Gene40", silent[1]], "reliability"].tolist() == [0, 0]  # constant in the reference


def test_the_smallest_panel(recipe):
    spatial, reference = small_pair(proteins=False, n_measured=3)
    model = fit(*set_up(spatial, reference), recipe)
    result = model.impute(genes=list(reference.var_names), progress=False)
    assert np.isfinite(result.X).all()


def test_as_many_neighbours_as_reference_cells(recipe):
    spatial, reference = small_pair(proteins=False, n_reference=12)
    model = fit(*set_up(spatial, reference), recipe, n_neighbors=12)
    assert np.isfinite(model.impute(progress=False).X).all()


def test_several_sections(recipe):
    spatial, reference = small_pair(proteins=False)
    spatial.obs["section"] = np.where(np.arange(spatial.n_obs) < 149, "a", "b")  # one of a single cell
    model = fit(*set_up(spatial, reference, batch_key="section"), recipe)
    assert np.isfinite(model.impute(progress=False).X).all()

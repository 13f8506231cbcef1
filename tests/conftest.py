import logging
import random
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import linear_recipe  # noqa: F401 - registers a recipe that only the tests have
import numpy as np
import pytest
import torch
from hypothesis import settings
from small import can, fit, set_up, small_pair

from stimpute.recipes import RECIPES

settings.register_profile("stimpute", deadline=None, max_examples=30, derandomize=True)
settings.load_profile("stimpute")


def pytest_configure(config):
    config.addinivalue_line("markers", "needs(ability, ...): run for recipes that have these abilities, see small.can")


def pytest_collection_modifyitems(config, items):
    """Leave out the tests that need what a recipe does not have."""

    def is_kept(item):
        recipe = getattr(item, "callspec", None) and item.callspec.params.get("recipe")
        needed = [ability for mark in item.iter_markers("needs") for ability in mark.args]
        return recipe is None or all(can(recipe, ability) for ability in needed)

    config.hook.pytest_deselected(items=[item for item in items if not is_kept(item)])
    items[:] = [item for item in items if is_kept(item)]


@pytest.fixture(scope="session", autouse=True)
def _quiet():
    logging.getLogger("scvi").setLevel(logging.WARNING)


N_THREADS = torch.get_num_threads()


@pytest.fixture(autouse=True)
def _same_number_of_threads():
    """Numba, which scanpy and datashader use, sets torch to all threads; sums then differ in their last bits."""
    torch.set_num_threads(N_THREADS)


@pytest.fixture(autouse=True)
def _same_random_states():
    """What a test seeds is not what the next one draws."""
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    yield
    torch.set_rng_state(states[0])
    np.random.set_state(states[1])  # noqa: NPY002
    random.setstate(states[2])


@pytest.fixture(scope="session", params=sorted(RECIPES))
def recipe(request) -> str:
    """The name of each recipe."""
    return request.param


@pytest.fixture(scope="session")
def pair():
    """Spatial data and reference, set up; tests may not change them."""
    pair = set_up(*small_pair())
    yield pair
    for adata, expected in zip(pair, small_pair(), strict=True):
        assert (adata.X != expected.X).nnz == 0
        assert adata.obs_names.equals(expected.obs_names)
        assert adata.var_names.equals(expected.var_names)


@pytest.fixture
def fresh():
    """Spatial data and reference, not set up; tests may do as they like."""
    return small_pair(proteins=False)


@pytest.fixture(scope="session")
def model(pair, recipe):
    """A trained model of each recipe; tests may not train it again."""
    return fit(*pair, recipe)


@pytest.fixture(scope="session")
def imputed(model, pair):
    """All genes of the reference, in its order, measured ones as if they were not."""
    return model.impute(genes=list(pair[1].var_names), progress=False)


@pytest.fixture(scope="session")
def saved(model, tmp_path_factory):
    """Where the trained model is saved."""
    path = tmp_path_factory.mktemp("saved") / "model"
    model.save(path)
    return path


@pytest.fixture(scope="session")
def other_process():
    """A process that shares nothing with this one."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        yield pool

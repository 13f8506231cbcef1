import logging

import pytest
from hypothesis import settings
from small import fit, set_up, small_pair

from stimpute.recipes import RECIPES

settings.register_profile("stimpute", deadline=None, max_examples=30, derandomize=True)
settings.load_profile("stimpute")


@pytest.fixture(scope="session", autouse=True)
def _quiet():
    logging.getLogger("scvi").setLevel(logging.WARNING)


@pytest.fixture(scope="session", params=sorted(RECIPES))
def recipe(request) -> str:
    return request.param


@pytest.fixture(scope="session")
def pair():
    """Spatial data and reference, set up; tests may not change them."""
    return set_up(*small_pair())


@pytest.fixture
def fresh():
    """Spatial data and reference, not set up; tests may do as they like."""
    return small_pair(proteins=False)


@pytest.fixture(scope="session")
def model(pair, recipe):
    """A trained model of each recipe."""
    return fit(*pair, recipe)


@pytest.fixture(scope="session")
def imputed(model, pair):
    """All genes of the reference, in its order, measured ones as if hidden."""
    return model.impute(genes=list(pair[1].var_names), progress=False)


@pytest.fixture(scope="session")
def saved(model, tmp_path_factory):
    """Where the trained model is saved."""
    path = tmp_path_factory.mktemp("saved") / "model"
    model.save(path)
    return path

from types import SimpleNamespace

import anndata as ad
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from stimpute import tl

GENES = [f"g{i}" for i in range(6)]


@pytest.fixture(autouse=True)
def no_figures_left():
    matplotlib.use("agg")
    yield
    plt.close("all")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def scores(rng):
    """Tables of a good and a bad method."""
    truth = rng.random((30, 6))
    noisy = lambda noise: tl.score(truth, truth + noise * rng.random(truth.shape), GENES)
    return {"good": noisy(0.1), "bad": noisy(2.0)}


@pytest.fixture
def validation(rng):
    """Stand-in for a cross-validation with intervals that cover 80 % of the values."""
    truth = rng.uniform(0, 1, (500, 6)) + np.arange(6)
    predicted = ad.AnnData(
        truth,
        var=pd.DataFrame({"reliability": np.linspace(0.1, 0.9, 6)}, index=GENES),
        layers={"lower": 0 * truth + np.arange(6), "upper": 0 * truth + np.arange(6) + 0.8},
    )
    observed = {"stimpute": np.linspace(0.2, 0.8, 6), "mean": np.zeros(6)}
    tables = [
        pd.DataFrame({"method": method, "gene": GENES[::-1], "metric": metric, "value": factor * values[::-1]})
        for method, values in observed.items()
        for metric, factor in (("pcc", 1), ("css", -1))
    ]
    settings = SimpleNamespace(interval=0.8, reliability_metric="pcc")
    return tl.CrossValidation(pd.concat(tables), pd.DataFrame(), predicted, settings)

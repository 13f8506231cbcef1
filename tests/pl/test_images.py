"""The pictures look as they did. To accept new looks: `STIMPUTE_NEW_IMAGES=1 pytest tests/pl/test_images.py`."""

import os
import shutil
from pathlib import Path

import anndata as ad
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.testing.compare import compare_images
from scipy.sparse import csr_matrix

from stimpute import pl, tl

EXPECTED = Path(__file__).parent / "images"
TOLERANCE = 8  # root mean square of the difference, of 255; small changes of these data give 11 to 57


@pytest.fixture
def looks_the_same(tmp_path, request):
    def check():
        path = tmp_path / f"{request.node.name.removeprefix('test_')}.png"
        plt.gcf().savefig(path, dpi=50)
        expected = EXPECTED / path.name
        if os.environ.get("STIMPUTE_NEW_IMAGES"):
            EXPECTED.mkdir(exist_ok=True)
            shutil.copy(path, expected)
        shutil.copy(expected, tmp_path / "expected.png")
        assert compare_images(tmp_path / "expected.png", path, TOLERANCE) is None

    with mpl.rc_context(mpl.rcParamsDefault | {"backend": "agg"}):
        yield check


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_accuracy(rng, looks_the_same):
    truth = rng.poisson(2, (60, 12)).astype(float)
    noisy = {name: truth + rng.normal(0, noise, truth.shape) for name, noise in (("good", 1.0), ("poor", 5.0))}
    genes = [f"g{i}" for i in range(12)]
    pl.accuracy({name: tl.score(truth, values, genes) for name, values in noisy.items()}, ["pcc", "mse"])
    looks_the_same()


def test_reliability(rng, looks_the_same):
    reliability = np.linspace(0.05, 0.8, 40)
    var = pd.DataFrame({"reliability": reliability, "pcc": reliability + rng.normal(0, 0.1, 40)}, map(str, range(40)))
    pl.reliability(var.assign(measured=np.arange(40) % 2 == 0))
    looks_the_same()


def test_intervals(rng, looks_the_same):
    mean = np.linspace(0.1, 3, 20)
    truth = rng.normal(mean, 1, (300, 20))
    pl.intervals(truth, truth * 0 + mean - 1.64, truth * 0 + mean + 1.64, level=0.9)
    looks_the_same()


def test_history(looks_the_same):
    epochs = np.arange(20)
    falling = pd.DataFrame({"loss": np.exp(-epochs / 5)}, index=epochs)
    pl.history({"first_train_loss": falling, "first_validation_loss": falling + 0.1, "second_train_loss": 2 * falling})
    looks_the_same()


def test_gene_graph(looks_the_same):
    genes = list("ABCDE")
    reference = ad.AnnData(np.zeros((2, 5), np.float32), var=pd.DataFrame(index=genes))
    distance = np.abs(np.subtract.outer(np.arange(5.0), np.arange(5.0)))
    reference.varp["one"] = csr_matrix(distance)
    reference.varp["two"] = csr_matrix(np.where(distance > 2, distance, 0))
    reference.uns["stimpute"] = {"relations": {name: {"varp": name} for name in ("one", "two")}}
    pl.gene_graph(reference, "A", measured=["B", "C"])
    looks_the_same()


def test_imputed(rng, looks_the_same):
    x, y = (a.ravel().astype(float) for a in np.meshgrid(np.arange(20), np.arange(12)))
    obs, var = pd.DataFrame(index=[f"c{i}" for i in range(240)]), pd.DataFrame({"reliability": [0.7]}, index=["A"])
    counts = rng.poisson(x[:, None] / 4 + [[0.5, 2, 2]]).astype(np.float32)
    spatial = ad.AnnData(counts, obs=obs, var=pd.DataFrame(index=list("ABC")), obsm={"spatial": np.c_[x, y]})
    values = (x[:, None] / 10).astype(np.float32)
    layers = {"lower": 0 * values, "upper": 2 * values}
    result = ad.AnnData(
        values, obs=obs, var=var, layers=layers, obsm=dict(spatial.obsm), uns={"stimpute": {"interval": 0.9}}
    )
    pl.imputed(spatial, result, "A", interval=True, size=60)
    looks_the_same()

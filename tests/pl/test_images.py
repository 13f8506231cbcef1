"""Figures look as before. To accept new ones: `STIMPUTE_NEW_IMAGES=1 pytest tests/pl/test_images.py`."""

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
from stimpute.data._relation_store import StoredRelation, write_relation

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


@pytest.mark.filterwarnings("ignore:`truth` holds integers")
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


def test_history(rng, looks_the_same):
    curve = lambda n, values: pd.DataFrame(
        {"value": values + rng.normal(0, 0.05, n)}, index=pd.Index(range(n), name="epoch")
    )
    falling = np.exp(-np.arange(100) / 20)
    pl.history(
        {
            "autoencoder_train_loss": curve(20, falling[:20]),
            "autoencoder_validation_loss": curve(20, falling[:20] + 0.3),
            "gene_graph_train_loss": curve(100, falling),
            "gene_graph_correlation_train": curve(100, 0.8 - falling),
            "gene_graph_held_out_correlation_train": curve(100, 0.6 - falling),
        }
    )
    looks_the_same()


def test_gene_neighbors(rng, looks_the_same):
    genes = ["Gad1", "Gad2", "Slc32a1", "Slc17a7", "Rorb", "Foxp2"]
    counts = rng.poisson(5, (200, 30)).astype(np.float32)
    counts[:, :4] += rng.poisson(5, (200, 1))
    reference = ad.AnnData(counts, var=pd.DataFrame(index=genes + [f"other{i}" for i in range(24)]))
    vectors = rng.normal(size=(30, 3))
    vectors[1:3] = vectors[0] + 0.5 * rng.normal(size=(2, 3))
    write_relation(reference, StoredRelation("protein", "vectors", vectors, np.ones(30, bool)))
    edges = csr_matrix(([0.9, 0.4], ([0, 0], [2, 4])), shape=(30, 30))
    write_relation(reference, StoredRelation("string", "edges", edges, np.ones(30, bool)))
    pl.gene_neighbors(reference, "Gad1", measured=genes[1:5])
    looks_the_same()


def test_imputed(rng, looks_the_same):
    x, y = (a.ravel().astype(float) for a in np.meshgrid(np.arange(20), np.arange(12)))
    obs = pd.DataFrame({"section": np.where(x < 10, "left", "right")}, index=[f"c{i}" for i in range(240)])
    counts = rng.poisson(x[:, None] / 4 + [[0.5, 2, 2]]).astype(np.float32)
    spatial = ad.AnnData(counts, obs=obs, var=pd.DataFrame(index=list("ABC")), obsm={"spatial": np.c_[x, y]})
    values = (x[:, None] / [[10, 20]]).astype(np.float32)
    var = pd.DataFrame({"reliability": [0.7, 0.3]}, index=["A", "New"])
    layers = {"lower": 0 * values, "upper": 2 * values}
    result = ad.AnnData(values, obs=obs, var=var, layers=layers, uns={"stimpute": {"interval": 0.9}})
    pl.imputed(spatial, result, ["A", "New"], interval=True, library_key="section", size=60)
    looks_the_same()

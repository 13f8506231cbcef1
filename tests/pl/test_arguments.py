"""Every argument of every plot changes something."""

import inspect

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from stimpute import pl
from stimpute.data._relation_store import StoredRelation, write_relation

pytestmark = pytest.mark.slow

GENES = [f"g{i}" for i in range(6)]
N_CELLS = 40
SHARED = {"figsize", "ax", "save", "return_ax", "show"}


def _scores(seed):
    values = np.random.default_rng(seed).random((6, 2, 2))
    index = pd.MultiIndex.from_product([GENES, ["x", "y"], ["pcc", "css"]], names=["gene", "method", "metric"])
    return pd.Series(values.ravel(), index=index, name="value").reset_index()


def _adata(seed):
    """Counts of cells on a tissue in two sections, with another layer, other names and two relations."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(2, (N_CELLS, 6)).astype(np.float32)
    var = pd.DataFrame({"symbol": GENES[::-1], "reliability": rng.random(6), "other": rng.random(6)}, index=GENES)
    adata = ad.AnnData(counts, var=var, obsm={"spatial": rng.random((N_CELLS, 2)), "umap": rng.random((N_CELLS, 2))})
    adata.obs["section"] = np.arange(N_CELLS) % 2
    adata.obs["explained"] = rng.normal(size=N_CELLS)
    adata.obs["other_explained"] = rng.normal(size=N_CELLS)
    adata.layers["other"] = rng.poisson(2, counts.shape).astype(np.float32)
    adata.layers["lower"] = counts - rng.random(counts.shape)
    adata.layers["upper"] = counts + rng.random(counts.shape)
    write_relation(adata, StoredRelation("protein", "vectors", rng.normal(size=(6, 3)), np.ones(6, bool)))
    edges = sparse.csr_matrix(rng.random((6, 6)))
    write_relation(adata, StoredRelation("string", "edges", edges, np.ones(6, bool)))
    return adata


def _history(seed):
    values = np.random.default_rng(seed).random((4, 30))
    return {f"phase{i}_train_loss": pd.DataFrame({"loss": row}) for i, row in enumerate(values)}


ADATA, OTHER = _adata(0), _adata(1)
TABLE = ADATA.var.assign(pcc=np.linspace(0, 1, 6))
LATENT, LATENT_2 = (adata.obsm["spatial"] for adata in (ADATA, OTHER))
LABELS = ["a", "b"] * 20
TRUTH, LOWER, UPPER = ADATA.X, ADATA.layers["lower"], ADATA.layers["upper"]

# The arguments of a call, and another value of each argument.
CALLS = {
    "accuracy": (
        {"scores": _scores(0)},
        {"scores": _scores(1), "metrics": "css", "baseline": "x"},
    ),
    "explained": (
        {"adata": ADATA},
        {"adata": OTHER, "key": "other_explained", "spatial_key": "umap", "size": 3},
    ),
    "gene_neighbors": (
        {"reference": ADATA, "gene": "g0"},
        {
            "reference": OTHER,
            "gene": "g1",
            "relations": "protein",
            "measured": ["g1", "g2"],
            "n_neighbors": 1,
            "layer": "other",
            "expression": "normalized",
            "gene_symbols": "symbol",
        },
    ),
    "history": ({"model": _history(0)}, {"model": _history(1), "ncols": 2}),
    "imputed": (
        {"spatial": ADATA, "imputed": ADATA, "genes": ["g0", "g1"]},
        {
            "spatial": OTHER,
            "imputed": OTHER,
            "genes": "g1",
            "layer": "other",
            "expression": "normalized",
            "interval": True,
            "spatial_key": "umap",
            "library_key": "section",
            "ncols": 2,
            "cmap": "Reds",
            "vmin": 1,
            "vmax": 7,
            "size": 3,
            "kwargs": {"alpha": 0.3},
        },
    ),
    "intervals": (
        {"result": TRUTH, "lower": LOWER, "upper": UPPER},
        {"result": OTHER.X, "lower": LOWER - 1, "upper": UPPER + 1, "level": 0.7, "n_groups": 2},
    ),
    "joint_umap": (
        {"latent_spatial": LATENT, "latent_reference": LATENT_2},
        {
            "latent_spatial": LATENT_2,
            "latent_reference": LATENT,
            "labels_spatial": LABELS,
            "labels_reference": LABELS,
            "n_neighbors": 5,
            "max_cells": 20,
            "seed": 1,
            "size": 3,
        },
    ),
    "reliability": ({"imputed": TABLE}, {"imputed": OTHER, "observed": "other"}),
}
# Arguments that only some kinds of results need; tested beside these.
ONLY_WITH_AN_IMPUTED_RESULT = {"spatial"}
CHANGES = [(name, argument) for name, (_, changed) in CALLS.items() for argument in changed]


def _pixels(name, arguments):
    axes = getattr(pl, name)(**arguments, return_ax=True)
    figure = axes[0].figure
    figure.set_dpi(50)
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())


def _same(a, b):
    return a.shape == b.shape and np.array_equal(a, b)


@pytest.mark.filterwarnings("ignore:All values are integers")
@pytest.mark.parametrize(("name", "argument"), CHANGES)
def test_an_argument_changes_the_figure(name, argument):
    arguments, changed = CALLS[name]
    value = changed[argument]
    new = value if argument == "kwargs" else {argument: value}
    assert _same(_pixels(name, arguments), _pixels(name, arguments))
    assert not _same(_pixels(name, arguments), _pixels(name, {**arguments, **new}))


@pytest.mark.parametrize("name", pl.__all__)
def test_every_argument_is_tested_and_documented(name):
    function = getattr(pl, name)
    arguments = set(inspect.signature(function).parameters)
    tested = set(CALLS[name][1]) | SHARED
    assert arguments - tested <= ONLY_WITH_AN_IMPUTED_RESULT
    assert tested <= arguments
    for argument in arguments:
        assert argument in function.__doc__
    for heading in ("Parameters", "Returns", "Raises"):
        assert function.__doc__.count(f"\n{heading}\n---") == 1


@pytest.mark.parametrize("name", pl.__all__)
def test_the_arguments_that_all_plots_share(name, tmp_path, monkeypatch):
    function, arguments = getattr(pl, name), CALLS[name][0]
    assert function(**arguments) is None
    axes = function(**arguments, figsize=(5, 3), return_ax=True)
    assert isinstance(axes, np.ndarray)
    assert axes.ndim == 1
    assert axes.dtype == object
    np.testing.assert_allclose(axes[0].figure.get_size_inches(), (5, 3))

    _, own = plt.subplots(1, len(axes), squeeze=False)
    drawn = function(**arguments, ax=own, return_ax=True)
    assert list(drawn) == list(own.ravel())
    with pytest.raises(ValueError, match=rf"`ax` holds {len(axes) + 1} axes; expected {len(axes)}"):
        function(**arguments, ax=[*axes, axes[0]])

    assert len(function(**arguments, show=False)) == len(axes)
    monkeypatch.setattr(plt, "show", lambda: shown.append(name))
    shown = []
    assert function(**arguments, show=True) is None
    assert shown == [name]

    function(**arguments, save=tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 1000


@pytest.mark.parametrize("name", sorted(set(pl.__all__) - {"imputed"}))
def test_a_misspelled_argument_is_refused(name):
    with pytest.raises(TypeError, match=f"{name}.*figsise"):
        getattr(pl, name)(**CALLS[name][0], figsise=(5, 3))


def test_a_subfigure_saves_the_whole_figure(tmp_path):
    figure = plt.figure(figsize=(4, 4))
    upper, lower = figure.subfigures(2)
    lower.subplots().plot([0, 1])
    pl.reliability(TABLE.drop(columns="pcc"), ax=upper.subplots(), save=tmp_path / "figure.png")
    height, width = plt.imread(tmp_path / "figure.png").shape[:2]
    assert height > 0.7 * width

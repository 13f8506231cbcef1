from types import SimpleNamespace

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

from stimpute import pl, tl


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def _texts(ax):
    return [t.get_text() for t in ax.texts]


def test_reliability_is_ranked_and_calibrated():
    genes = ["a", "b", "c", "d"]
    var = pd.DataFrame(
        {"reliability": [0.1, 0.4, 0.2, 0.3], "pcc": [0.0, 0.5, 0.2, np.nan], "measured": [True, True, True, False]},
        genes,
    )
    imputed = ad.AnnData(np.zeros((2, 4), np.float32), var=var)
    rank, calibration = pl.reliability(imputed, return_ax=True)
    assert [t.get_text() for t in rank.get_xticklabels()] == ["b", "d", "c", "a"]
    assert [t.get_text() for t in rank.get_legend().texts] == ["measured (3)", "not measured (1)"]
    assert calibration.get_title() == "Spearman 1.00, 3 genes"
    assert rank.get_ylabel() == "reliability (predicted PCC)"
    imputed.uns["stimpute"] = {"reliability": "predicted CSS"}
    rank, calibration = pl.reliability(imputed, reached="pcc", return_ax=True)
    assert rank.get_ylabel() == "reliability (predicted CSS)"
    assert calibration.get_ylabel() == "PCC while hidden"
    alone = pl.reliability(var.drop(columns=["pcc", "measured"]), return_ax=True)
    assert alone.get_title() == "Reliability of each gene"
    with pytest.raises(KeyError, match="reliability"):
        pl.reliability(var[["pcc"]])


def test_intervals_show_coverage_by_expression(rng):
    mean = np.array([0.0, 1.0, 2.0, 3.0])
    truth = mean + rng.uniform(0, 1, (1000, 4))
    upper = mean + np.array([0.5, 0.5, 1.0, 1.0])
    coverage, width = pl.intervals(
        csr_matrix(truth), np.tile(mean, (1000, 1)), np.tile(upper, (1000, 1)), n_groups=2, return_ax=True
    )
    segments = coverage.collections[0].get_segments()
    assert [s[0, 1] for s in segments] == pytest.approx([0.5, 1.0], abs=0.03)
    assert [s[0, 1] for s in width.collections[0].get_segments()] == pytest.approx([0.5, 1.0])
    assert [s[:, 0].mean() for s in segments] == [0, 1]
    with pytest.raises(ValueError, match="equal"):
        pl.intervals(truth, truth[:, :1], truth)
    with pytest.raises(ValueError, match="level=90"):
        pl.intervals(truth, truth, truth, level=90)


def test_interval_groups_need_not_come_in_order(rng):
    truth = np.array([2.0, 0.0]) + rng.uniform(0, 1, (100, 2))
    coverage, _ = pl.intervals(truth, np.c_[truth[:, 0], truth[:, 1] + 1], truth + 2, n_groups=2, return_ax=True)
    assert [s[0, 1] for s in coverage.collections[0].get_segments()] == [0, 1]


def test_history_has_a_panel_for_each_phase():
    table = lambda *values: pd.DataFrame({"x": values}, index=pd.Index(range(len(values)), name="epoch"))
    logged = {
        "autoencoder_train_loss": table(3.0, 2.0, 1.0),
        "autoencoder_validation_loss": table(3.0, np.nan, 2.0),
        "gene_graph_train_loss": table(1.0),
        "train_loss": table(1.0, 2.0),
        "elbo_train": table(1.0, 2.0),
        "elbo_validation": table(1.0, 2.0),
        "kl_weight": table(0.0, 1.0),
        "empty_train_loss": table(np.nan),
    }
    axes = pl.history(SimpleNamespace(history=logged), return_ax=True)
    assert [a.get_title() for a in axes] == ["autoencoder: loss", "gene graph: loss", "loss", "elbo", "kl weight"]
    assert [len(a.lines) for a in axes] == [2, 1, 1, 2, 1]
    np.testing.assert_array_equal(axes[0].lines[1].get_xdata(), [0, 2])
    assert len(axes[0].figure.axes) == 5
    for nothing in (None, {}):
        with pytest.raises(ValueError, match="train"):
            pl.history(SimpleNamespace(history=nothing))


@pytest.fixture
def scores(rng):
    truth = rng.random((30, 6))
    noisy = lambda s: tl.score(truth, truth + s * rng.random(truth.shape), list("abcdef"))
    return {"good": noisy(0.1), "bad": noisy(2.0)}


def test_accuracy_puts_the_best_on_top(scores):
    axes = pl.accuracy(scores, ["pcc", "mse"], return_ax=True)
    for ax in axes:
        assert [t.get_text() for t in ax.get_yticklabels()] == ["bad", "good"]
    tidy = pd.concat([table.assign(method=name) for name, table in scores.items()])
    same = pl.accuracy(tidy, return_ax=True)
    assert _texts(same) == _texts(axes[0])


def test_accuracy_against_a_baseline(scores):
    axes = pl.accuracy(scores, ["pcc", "mse"], baseline="bad", return_ax=True)
    for ax in axes:
        assert _texts(ax) == ["6 of 6 better"]
    by_gene = {m: dict(zip("abc", v, strict=True)) for m, v in {"x": [1.0, 0.0, 1.0], "y": [0.5, 0.5, 0.5]}.items()}
    assert _texts(pl.accuracy(by_gene, baseline="y", return_ax=True)) == ["2 of 3 better"]


def test_accuracy_errors(scores):
    with pytest.raises(KeyError, match="rmse"):
        pl.accuracy(scores, "rmse")
    with pytest.raises(KeyError, match="best"):
        pl.accuracy(scores, baseline="best")
    with pytest.raises(KeyError, match="gene"):
        pl.accuracy(pd.DataFrame({"method": []}))


@pytest.fixture
def reference():
    genes = ["a", "b", "c", "d"]
    graph = csr_matrix(([1.0, 0.5, 0.2, 1.0], ([0, 0, 0, 1], [0, 1, 2, 3])), shape=(4, 4))
    other = csr_matrix(([0.3], ([0], [3])), shape=(4, 4))
    adata = ad.AnnData(
        np.zeros((1, 4), np.float32), var=pd.DataFrame(index=genes), varp={"protein": graph, "p2": other}
    )
    adata.uns["stimpute"] = {"relations": {"protein": {"varp": "protein"}, "pathways": {"varp": "p2"}}}
    return adata


def test_a_gene_among_its_neighbours(reference):
    ax = pl.gene_graph(reference, "a", return_ax=True)
    assert set(_texts(ax)) == {"a", "b", "c", "d"}
    one = pl.gene_graph(reference, "a", "protein", n_neighbors=1, measured=["b"], return_ax=True)
    assert set(_texts(one)) == {"a", "b"}
    assert [t.get_text() for t in one.get_legend().texts] == ["protein", "measured", "not measured"]
    assert _texts(pl.gene_graph(reference, "d", return_ax=True)) == ["d"]


def test_gene_graph_errors(reference):
    with pytest.raises(KeyError, match="Nope"):
        pl.gene_graph(reference, "Nope")
    with pytest.raises(KeyError, match="string"):
        pl.gene_graph(reference, "a", "string")
    del reference.uns["stimpute"]
    with pytest.raises(KeyError, match="protein_graph"):
        pl.gene_graph(reference, "a")


def test_embedding_has_a_panel_for_each_set_of_labels(rng):
    spatial, other = rng.normal(size=(40, 4)), rng.normal(size=(60, 4))
    labels = pd.Series(["x", "y"] * 20).mask(np.arange(40) < 10)
    axes = pl.embedding(spatial, other, labels, ["x"] * 60, return_ax=True)
    assert [a.get_title() for a in axes] == ["dataset", "labels, spatial", "labels, reference"]
    assert [t.get_text() for t in axes[1].get_legend().texts] == ["x", "y"]
    assert len(axes[1].collections[0].get_offsets()) == 60 + 10
    colours = [tuple(a.get_legend().legend_handles[0].get_facecolor()[0]) for a in axes[1:]]
    assert colours[0] == colours[1]


def test_embedding_of_many_labels_and_cells(rng):
    latent = rng.normal(size=(200, 3))
    ax = pl.embedding(latent, latent[:50], [str(i // 2) for i in range(200)], max_cells=150, return_ax=True)[1]
    names = [t.get_text() for t in ax.get_legend().texts]
    assert len(names) == 31
    assert "other" in names


def test_embedding_errors(rng):
    with pytest.raises(ValueError, match="as many dimensions"):
        pl.embedding(rng.random((5, 2)), rng.random((5, 3)))
    with pytest.raises(ValueError, match="labels_spatial has 1"):
        pl.embedding(rng.random((5, 2)), rng.random((5, 2)), ["a"])


def test_a_wrong_number_of_axes_is_named(scores):
    _, ax = plt.subplots()
    with pytest.raises(ValueError, match="1 axes: expected 2"):
        pl.accuracy(scores, ["pcc", "css"], ax=ax)

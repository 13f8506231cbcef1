import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from small import set_up, small_pair

from stimpute import StImputeModel, pl, pp


def _texts(ax):
    return [t.get_text() for t in ax.texts]


def _ticks(labels):
    return [t.get_text() for t in labels]


def test_reliability_is_ranked_and_compared_with_what_was_observed():
    genes = ["a", "b", "c", "d"]
    var = pd.DataFrame(
        {"reliability": [0.1, 0.4, 0.2, 0.3], "pcc": [0.0, 0.5, 0.2, np.nan], "measured": [True, True, True, False]},
        genes,
    )
    imputed = ad.AnnData(np.zeros((2, 4), np.float32), var=var)
    ranks, comparison = pl.reliability(imputed, return_ax=True)
    assert _ticks(ranks.get_xticklabels()) == ["b", "d", "c", "a"]
    assert _ticks(ranks.get_legend().texts) == ["measured (3)", "not measured (1)"]
    assert comparison.get_title() == "Spearman 1.00, 3 genes"
    assert ranks.get_ylabel() == "reliability"  # what it predicts is not recorded
    [alone] = pl.reliability(var.drop(columns=["pcc", "measured"]), return_ax=True)
    assert alone.get_title() == "Reliability of each gene"
    with pytest.raises(KeyError, match="reliability"):
        pl.reliability(var[["pcc"]])


def test_reliability_names_the_metric_that_the_recipe_predicts():
    var = pd.DataFrame({"reliability": [0.1, 0.2, 0.3], "css": [0.3, 0.2, 0.1], "pcc": [0.1, 0.2, 0.3]}, list("abc"))
    imputed = ad.AnnData(np.zeros((2, 3), np.float32), var=var, uns={"stimpute": {"reliability_metric": "css"}})
    ranks, comparison = pl.reliability(imputed, return_ax=True)
    assert ranks.get_ylabel() == "reliability (predicted CSS)"
    assert comparison.get_ylabel() == "observed CSS"
    ranks, comparison = pl.reliability(imputed, observed="pcc", return_ax=True)
    assert ranks.get_ylabel() == "reliability (predicted CSS)"
    assert comparison.get_ylabel() == "observed PCC"


def test_reliability_of_a_table_names_the_metric_if_it_is_recorded():
    table = pd.DataFrame({"reliability": [0.1, 0.2, 0.3], "spearman": [0.3, 0.2, 0.1]}, list("abc"))
    ranks, comparison = pl.reliability(table, observed="spearman", return_ax=True)
    assert ranks.get_ylabel() == "reliability"
    assert comparison.get_ylabel() == "observed SPEARMAN"
    table.attrs["reliability_metric"] = "css"
    [ranks] = pl.reliability(table, return_ax=True)
    assert ranks.get_ylabel() == "reliability (predicted CSS)"


def test_results_that_were_read_lazily_or_are_backed(tmp_path):
    spatial, reference = set_up(*small_pair(proteins=False))
    model = StImputeModel(spatial, reference, n_steps=10, n_metacells=30)
    model.train(max_epochs=1, enable_progress_bar=False)
    assert model.gene_reliability().attrs["reliability_metric"] == "pcc"
    result = model.impute(genes=list(model.shared_genes[:4]), progress=False)
    result.write_h5ad(tmp_path / "result.h5ad")
    lazy = ad.experimental.read_lazy(tmp_path / "result.h5ad")
    backed = ad.read_h5ad(tmp_path / "result.h5ad", backed="r")
    for other in (lazy, backed):
        assert pl.reliability(other, return_ax=True)[0].get_ylabel() == "reliability (predicted PCC)"
        assert len(pl.imputed(spatial, other, result.var_names[0], return_ax=True)) == 2
        assert pl.accuracy(other, spatial=spatial, return_ax=True)
        plt.close("all")


def test_reliability_of_a_cross_validation_is_compared_with_the_metric_of_its_recipe(validation):
    _, comparison = pl.reliability(validation, return_ax=True)
    points = comparison.lines[1]
    np.testing.assert_allclose(points.get_xdata(), np.linspace(0.1, 0.9, 6))
    np.testing.assert_allclose(points.get_ydata(), np.linspace(0.2, 0.8, 6))
    assert "reliability" in validation.predicted.var
    assert "pcc" not in validation.predicted.var
    validation.settings.reliability_metric = "css"
    ranks, comparison = pl.reliability(validation, return_ax=True)
    assert ranks.get_ylabel() == "reliability (predicted CSS)"
    np.testing.assert_allclose(comparison.lines[1].get_ydata(), -np.linspace(0.2, 0.8, 6))
    with pytest.raises(KeyError, match="ssim"):
        pl.reliability(validation, observed="ssim")


def test_names_of_cells_may_repeat_where_tables_have_one_order(rng):
    truth = pd.DataFrame(rng.normal(3, 1, (60, 4)), index=[f"c{i % 30}" for i in range(60)])
    coverage, _ = pl.intervals(truth, truth - 1, truth + 1, return_ax=True)
    assert coverage.get_title() == "Coverage, 100.0% overall"
    with pytest.raises(ValueError, match="`lower` is in another order than the measured values, and its names repeat"):
        pl.intervals(truth, (truth - 1)[::-1], truth + 1)


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


def test_intervals_of_a_cross_validation_know_their_level(validation):
    coverage, _ = pl.intervals(validation, return_ax=True)
    assert _ticks(coverage.get_legend().texts) == ["requested, 80%"]
    assert [s[0, 1] for s in coverage.collections[0].get_segments()] == pytest.approx([0.8] * 5, abs=0.05)
    for more in ({"level": 0.9}, {"lower": np.ones(1)}):
        with pytest.raises(TypeError, match="leave these arguments out"):
            pl.intervals(validation, **more)
    validation.settings.interval = None
    with pytest.raises(ValueError, match=r"interval=0\.9"):
        pl.intervals(validation)


def test_tables_of_intervals_are_matched_by_name(rng):
    truth = pd.DataFrame(rng.random((10, 4)), columns=list("abcd")) + np.arange(4)
    lower, upper = truth - 0.1, truth + 0.1
    coverage, _ = pl.intervals(truth, lower.loc[::-1, list("dcba")], upper[list("bacd")], return_ax=True)
    assert coverage.get_title() == "Coverage, 100.0% overall"
    with pytest.raises(ValueError, match="`upper` has other cells or genes"):
        pl.intervals(truth, lower, upper.rename(columns={"a": "e"}))


def test_intervals_that_do_not_match_are_refused(rng):
    truth = rng.random((10, 4))
    with pytest.raises(ValueError, match="equal"):
        pl.intervals(truth, truth[:, :1], truth)
    with pytest.raises(ValueError, match="`level` is 90"):
        pl.intervals(truth, truth, truth, level=90)
    with pytest.raises(ValueError, match="`n_groups` is 0"):
        pl.intervals(truth, truth, truth, n_groups=0)
    with pytest.raises(TypeError, match="`upper` are missing"):
        pl.intervals(truth, truth)


def test_genes_need_not_be_ordered_by_expression(rng):
    truth = np.array([2.0, 0.0]) + rng.uniform(0, 1, (100, 2))
    coverage, _ = pl.intervals(truth, np.c_[truth[:, 0], truth[:, 1] + 1], truth + 2, n_groups=2, return_ax=True)
    assert [s[0, 1] for s in coverage.collections[0].get_segments()] == [0, 1]


def _curve(*values):
    return pd.DataFrame({"x": values}, index=pd.Index(range(len(values)), name="epoch"))


def test_history_has_a_panel_for_each_phase_and_quantity():
    logged = {
        "autoencoder_train_loss": _curve(3.0, 2.0, 1.0),
        "autoencoder_validation_loss": _curve(3.0, np.nan, 2.0),
        "gene_graph_train_loss": _curve(1.0),
        "gene_graph_correlation_train": _curve(0.1, 0.2, 0.3),
        "gene_graph_held_out_correlation_train": _curve(0.1, 0.2, 0.2),
        "train_loss": _curve(1.0, 2.0),
        "kl_weight": _curve(0.0, 1.0),
        "empty_train_loss": _curve(np.nan),
    }
    axes = pl.history(logged, return_ax=True)
    assert [(a.get_title(), a.get_ylabel()) for a in axes] == [
        ("Autoencoder", "loss, lower is better"),
        ("Gene graph", "loss, lower is better"),
        ("Gene graph", "correlation, higher is better"),
        ("Training", "loss, lower is better"),
        ("Training", "kl weight"),
    ]
    assert _ticks(axes[0].get_legend().texts) == ["training, 3.00 → 1.00", "validation", "start"]
    assert _ticks(axes[2].get_legend().texts) == [
        "training, 0.100 → 0.300",
        "held-out genes, 0.100 → 0.200",
        "start",
    ]
    validation = axes[0].lines[-1]
    np.testing.assert_array_equal(validation.get_xdata(), [0, 2])
    assert len(axes[0].figure.axes) == 5
    untrained = StImputeModel(*set_up(*small_pair()))
    for nothing in (untrained, {}):
        with pytest.raises(ValueError, match="train"):
            pl.history(nothing)


def test_history_of_many_epochs_is_smoothed_over_a_faint_line(rng):
    values = rng.random(200)
    [ax] = pl.history({"graph_train_loss": _curve(*values)}, return_ax=True)
    start, smoothed, raw = ax.lines
    np.testing.assert_array_equal(raw.get_ydata(), values)
    assert raw.get_alpha() < 1
    assert np.std(smoothed.get_ydata()) < 0.3 * np.std(values)
    assert set(start.get_ydata()) == {smoothed.get_ydata()[0]} == {values[:25].mean()}


def test_history_starts_at_the_untrained_network(rng):
    loss = _curve(2.0, 1.5, 1.0)
    loss.attrs["untrained"] = 4.0
    [ax] = pl.history({"graph_train_loss": loss}, return_ax=True)
    assert set(ax.lines[0].get_ydata()) == {4.0}
    assert _ticks(ax.get_legend().texts) == ["training, 4.00 → 1.00", "before training"]


def test_accuracy_puts_the_best_method_on_top(scores):
    axes = pl.accuracy(scores, ["pcc", "mse"], return_ax=True)
    for ax in axes:
        assert _ticks(ax.get_yticklabels()) == ["bad", "good"]
    tidy = pd.concat([table.assign(method=name) for name, table in scores.items()])
    [same] = pl.accuracy(tidy, return_ax=True)
    assert _texts(same) == _texts(axes[0])


def test_accuracy_of_a_cross_validation(validation):
    [ax] = pl.accuracy(validation, return_ax=True)
    assert _ticks(ax.get_yticklabels()) == ["mean", "stimpute"]
    assert _texts(ax) == ["0.000", "0.500"]


@pytest.fixture
def measured(rng):
    """Spatial data, and a prediction of some of their genes with intervals, which records the layer that was read."""
    counts = rng.poisson(3, (60, 4)).astype(np.float32)
    spatial = ad.AnnData(np.zeros_like(counts), var=pd.DataFrame(index=list("abcd")), layers={"counts": counts})
    truth = pp.measured_expression(spatial, layer="counts")[:, ["c", "a"]].X.toarray()
    var = pd.DataFrame({"reliability": [0.5, 0.4, 0.3]}, index=["c", "a", "new"])
    values = np.c_[truth + 0.1 * rng.random(truth.shape), truth[:, 0]]
    about = {"interval": 0.6, "spatial_setup": {"layer": "counts", "expression": "counts"}}
    ends = {"lower": values - 1, "upper": values + 1}
    return spatial, ad.AnnData(values, spatial.obs, var, layers=ends, uns={"stimpute": about})


def test_accuracy_and_intervals_of_an_imputed_result(measured):
    spatial, imputed = measured
    [ax] = pl.accuracy(imputed, "spearman", spatial=spatial, return_ax=True)
    assert ax.get_title() == "spearman of 2 genes, bar: mean"
    assert ax.get_xlabel() == "Spearman correlation,\nhigher is better"
    assert float(_texts(ax)[0]) > 0.95
    coverage, width = pl.intervals(imputed, spatial=spatial, return_ax=True)
    assert _ticks(coverage.get_legend().texts) == ["requested, 60%"]
    assert coverage.get_title() == "Coverage, 100.0% overall"
    assert [s[0, 1] for s in width.collections[0].get_segments()] == pytest.approx([2, 2])


@pytest.mark.parametrize("draw", [pl.accuracy, pl.intervals])
def test_an_imputed_result_needs_the_spatial_data_of_its_genes(measured, draw):
    spatial, imputed = measured
    with pytest.raises(TypeError, match="pass the spatial data by `spatial=`"):
        draw(imputed)
    with pytest.raises(ValueError, match="different cells"):
        draw(imputed, spatial=spatial[::-1])
    with pytest.raises(ValueError, match="No gene of the result was measured"):
        draw(imputed[:, ["new"]], spatial=spatial)


def test_intervals_of_tables(rng):
    truth = pd.DataFrame(rng.random((20, 3)))
    coverage, _ = pl.intervals(truth, truth - 1, truth + 1, n_groups=1, return_ax=True)
    assert coverage.get_title() == "Coverage, 100.0% overall"


def test_accuracy_against_a_baseline(scores):
    axes = pl.accuracy(scores, ["pcc", "mse"], baseline="bad", return_ax=True)
    for ax in axes:
        assert _texts(ax) == ["6 of 6 better"]
    by_gene = {m: dict(zip("abc", v, strict=True)) for m, v in {"x": [1.0, 0.0, 1.0], "y": [0.5, 0.5, 0.5]}.items()}
    [ax] = pl.accuracy(by_gene, baseline="y", return_ax=True)
    assert _texts(ax) == ["2 of 3 better"]


def test_accuracy_names_what_is_missing(scores):
    with pytest.raises(KeyError, match="rmse"):
        pl.accuracy(scores, "rmse")
    with pytest.raises(KeyError, match="best"):
        pl.accuracy(scores, baseline="best")
    with pytest.raises(KeyError, match="gene"):
        pl.accuracy(pd.DataFrame({"method": []}))
    with pytest.raises(ValueError, match="`metrics` is empty"):
        pl.accuracy(scores, [])


@pytest.mark.slow
def test_joint_umap_has_a_panel_for_each_set_of_labels(rng):
    spatial, other = rng.normal(size=(40, 4)), rng.normal(size=(60, 4))
    labels = pd.Series(["x", "y"] * 20).mask(np.arange(40) < 10)
    axes = pl.joint_umap(spatial, other, labels, ["x"] * 60, return_ax=True)
    assert [a.get_title() for a in axes] == ["dataset", "labels, spatial", "labels, reference"]
    assert _ticks(axes[1].get_legend().texts) == ["x", "y"]
    assert len(axes[1].collections[0].get_offsets()) == 60 + 10
    colors = [tuple(a.get_legend().legend_handles[0].get_facecolor()[0]) for a in axes[1:]]
    assert colors[0] == colors[1]


@pytest.mark.slow
def test_joint_umap_of_many_labels_and_cells(rng):
    latent = rng.normal(size=(200, 3))
    axes = pl.joint_umap(latent, latent[:50], [str(i // 2) for i in range(200)], max_cells=150, return_ax=True)
    names = _ticks(axes[1].get_legend().texts)
    assert len(names) == 31
    assert "other" in names


@pytest.mark.slow
def test_joint_umap_of_more_cells_than_scanpy_searches_exactly(rng, monkeypatch):
    monkeypatch.setattr("scanpy.tl.umap", lambda joint, **kwargs: joint.obsm.update(X_umap=joint.X[:, :2]))
    latent = rng.normal(size=(4500, 2))
    [ax] = pl.joint_umap(latent, latent + 0.1, n_neighbors=3, return_ax=True)
    assert len(ax.collections[0].get_offsets()) == 9000


def test_joint_umap_refuses_sizes_that_do_not_match(rng):
    with pytest.raises(ValueError, match="same number of dimensions"):
        pl.joint_umap(rng.random((5, 2)), rng.random((5, 3)))
    with pytest.raises(ValueError, match="`labels_spatial` has 1"):
        pl.joint_umap(rng.random((5, 2)), rng.random((5, 2)), ["a"])


def test_axes_of_the_wrong_number_or_type_are_refused(scores):
    figure, ax = plt.subplots()
    with pytest.raises(ValueError, match="1 axes; expected 2"):
        pl.accuracy(scores, ["pcc", "css"], ax=ax)
    with pytest.raises(TypeError, match="a Figure; expected"):
        pl.accuracy(scores, ax=figure)


def collisions(labels):
    """Neighbors whose texts overlap in the picture; labels of an axis."""
    boxes = [label.get_tightbbox() for label in labels if label.get_text()]
    return sum(first.overlaps(second) for first, second in zip(boxes, boxes[1:], strict=False))


@pytest.mark.parametrize("n_genes", [5, 40, 400])
@pytest.mark.slow
def test_tick_labels_do_not_collide(n_genes, validation, scores):
    var = pd.DataFrame({"reliability": np.linspace(0.1, 0.9, n_genes)}, [f"Gene{i:05}" for i in range(n_genes)])
    drawn = [
        *pl.reliability(var, return_ax=True),
        *pl.intervals(validation, return_ax=True),
        *pl.accuracy(validation, return_ax=True),
        *pl.accuracy(scores, ["pcc", "mse"], return_ax=True),
    ]
    for ax in drawn:
        ax.figure.canvas.draw()
        assert collisions(ax.get_xticklabels()) == 0
        assert collisions(ax.get_yticklabels()) == 0


def test_cells_are_expected_in_place_of_a_model():
    with pytest.raises(TypeError, match="`adata` is a str; expected an AnnData"):
        pl.explained("model")
    with pytest.raises(KeyError, match="get_explained"):
        pl.explained(ad.AnnData(np.zeros((3, 1))))


def test_dollar_signs_in_names_are_no_formulas(scores):
    [ax] = pl.accuracy({"$x^2$": scores["good"], "$y": scores["bad"]}, return_ax=True)
    ax.figure.canvas.draw()
    assert _ticks(ax.get_yticklabels()) == [r"\$y", r"\$x^2\$"]

import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy.sparse import coo_array, csr_array

from stimpute import tl


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    make = lambda x: ad.AnnData(x, pd.DataFrame(index=list("abcd")), pd.DataFrame(index=["g1", "g2", "g3"]))
    return make(rng.random((4, 3))), make(rng.random((4, 3)))


def test_a_tidy_table(pair):
    table = tl.score(pair[0].X, pair[1].X, ["g1", "g2", "g3"])
    assert list(table) == ["gene", "metric", "value"]
    assert len(table) == 3 * 7
    chosen = table.query("metric == 'pcc'").set_index("gene")["value"]
    np.testing.assert_allclose(chosen[["g1", "g2", "g3"]], tl.metrics.pcc(pair[0].X, pair[1].X))


@pytest.mark.parametrize("form", [np.asarray, csr_array, coo_array])
def test_counts_in_place_of_log_normalized_values_are_warned_of(pair, form):
    predicted = pair[1].X
    counts = np.round(9 * pair[0].X)
    with pytest.warns(UserWarning, match="`truth` holds integers.*measured_expression"):
        table = tl.score(form(counts), predicted, metrics=["pcc"])
    np.testing.assert_allclose(table["value"], tl.metrics.pcc(counts, predicted))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tl.score(form(np.log1p(counts)), predicted)
        tl.score(form(counts), np.round(9 * predicted))


def test_columns_without_names_are_numbered(pair):
    truth, predicted = pair[0].X, pair[1].X
    assert set(tl.score(truth, predicted)["gene"]) == {"0", "1", "2"}
    table = tl.score(truth, predicted, axis="cell", metrics=["pcc"])
    assert list(table["cell"]) == ["0", "1", "2", "3"]
    np.testing.assert_allclose(table["value"], tl.metrics.pcc(truth, predicted, axis="cell"))


def test_anndata_are_matched_by_name(pair):
    truth, predicted = pair
    expected = tl.score(truth, predicted).set_index(["gene", "metric"])["value"]
    shuffled = tl.score(truth[["c", "a", "b", "d"], ["g3", "g1", "g2"]], predicted).set_index(["gene", "metric"])[
        "value"
    ]
    pd.testing.assert_series_equal(expected, shuffled)
    assert set(tl.score(truth, predicted, ["g2"])["gene"]) == {"g2"}
    assert list(tl.score(truth, predicted, axis="cell", metrics=["css"])["cell"]) == list("abcd")


def test_summary_by_method(pair):
    one, two = (tl.score(pair[0], p).assign(method=m) for m, p in (("ours", pair[1]), ("truth", pair[0])))
    table = tl.summarize(pd.concat([one, two]))
    assert list(table.index) == ["ours", "truth"]
    assert table.loc["truth", "mse"] == 0
    assert table.loc["ours", "pcc"] == pytest.approx(tl.metrics.pcc(pair[0].X, pair[1].X).mean())
    assert tl.summarize(one.drop(columns="method")).shape == (1, 7)


def test_metrics_within_groups(pair):
    truth, predicted = pair
    labels = ["x", "x", "x", None]
    table = tl.score(truth.X, predicted.X, ["g1", "g2", "g3"], groupby=labels)
    assert list(table) == ["gene", "group", "n_cells", "metric", "value"]
    assert set(table["group"]) == {"x"}
    assert set(table["n_cells"]) == {3}
    chosen = table.query("metric == 'pcc'").set_index("gene")["value"]
    np.testing.assert_allclose(chosen, tl.metrics.pcc(truth.X[:3], predicted.X[:3]))


def test_groups_are_a_column_of_either_anndata(pair):
    truth, predicted = pair
    truth = truth[::-1].copy()
    truth.obs["kind"] = ["y", "x", "x", "x"]
    found = tl.score(truth, predicted, groupby="kind", metrics=["mse"])
    assert list(found["group"]) == ["x"] * 3 + ["y"] * 3
    expected = tl.metrics.mse(truth[["a", "b", "c"]].X, predicted.X[:3])
    np.testing.assert_allclose(found["value"][:3], expected)
    summary = tl.summarize(found)
    assert list(summary.index) == ["x", "y"]
    assert summary.loc["x", "mse"] == pytest.approx(expected.mean())
    by_method = tl.summarize(pd.concat([found.assign(method=name) for name in "ab"]))
    assert by_method.index.names == ["method", "group"]


@pytest.mark.parametrize("make", [np.asarray, csr_array])
def test_a_gene_that_is_constant_in_a_group_has_no_correlation_there(make):
    truth = np.array([[0.0, 1], [0, 2], [1, 3], [2, 4]])
    table = tl.score(make(truth), make(truth), ["a", "b"], groupby=["x", "x", "y", "y"], metrics=["pcc", "mse"])
    values = table.pivot(index=["group", "metric"], columns="gene", values="value")
    assert np.isnan(values.loc[("x", "pcc"), "a"])
    assert values.loc[("x", "pcc"), "b"] == pytest.approx(1)
    assert values.loc[("y", "pcc"), "a"] == pytest.approx(1)
    assert values.loc[("x", "mse"), "a"] == 0


def test_groups_that_do_not_fit_are_refused(pair):
    truth, predicted = pair
    with pytest.raises(KeyError, match="'kind' is not in `truth.obs`"):
        tl.score(truth, predicted, groupby="kind")
    with pytest.raises(TypeError, match="two matrices have no columns"):
        tl.score(truth.X, predicted.X, groupby="kind")
    with pytest.raises(ValueError, match="`groupby` has 2 labels; expected 4"):
        tl.score(truth, predicted, groupby=["x", "y"])
    with pytest.raises(ValueError, match="no label"):
        tl.score(truth, predicted, groupby=[None] * 4)
    with pytest.raises(ValueError, match='needs `axis="gene"`'):
        tl.score(truth, predicted, groupby=list("xxyy"), axis="cell")


def test_mistakes_are_named(pair):
    truth, predicted = pair
    with pytest.raises(ValueError, match="Unknown.*rmse"):
        tl.score(truth, predicted, metrics=["rmse"])
    with pytest.raises(KeyError, match="g9"):
        tl.score(truth, predicted, ["g9"])
    with pytest.raises(ValueError, match="same `obs_names`"):
        tl.score(truth[:3], predicted)
    with pytest.raises(ValueError, match="No shared genes"):
        tl.score(truth[:, :1], predicted[:, 1:])
    with pytest.raises(TypeError, match="two AnnData or two matrices"):
        tl.score(truth, predicted.X)
    with pytest.raises(ValueError, match='expected "gene"'):
        tl.score(truth, predicted, axis="row")
    with pytest.raises(ValueError, match="2 names"):
        tl.score(truth.X, predicted.X, ["a", "b"])
    with pytest.raises(KeyError, match="metric"):
        tl.summarize(pd.DataFrame())


@pytest.mark.filterwarnings("ignore:Observation names are not unique")
def test_repeated_cell_names_are_matched_by_order_or_refused():
    values = np.random.default_rng(0).random((4, 3)).astype(np.float32)
    truth = ad.AnnData(values, obs=pd.DataFrame(index=["a", "a", "b", "c"]))
    table = tl.score(truth, truth.copy(), axis="cell", metrics=["mse"])
    assert list(table["cell"]) == ["a", "a", "b", "c"]
    assert (table["value"] == 0).all()
    with pytest.raises(ValueError, match="obs_names_make_unique"):
        tl.score(truth, truth[::-1].copy(), axis="cell", metrics=["mse"])

import anndata as ad
import numpy as np
import pandas as pd
import pytest

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

import gc
import weakref

import numpy as np
import pandas as pd
import pytest

from stimpute import StImputeModel, tl
from stimpute.datasets import synthetic_tissue

pytestmark = pytest.mark.filterwarnings("ignore:.*have no count of any gene shared")

TRAIN = {"max_epochs": 1, "accelerator": "cpu"}


@pytest.fixture(scope="module")
def tissue():
    return synthetic_tissue(n_cells=110, n_reference=120, n_measured=20, n_unmeasured=6)


@pytest.fixture
def pair(tissue):
    """Copies of the two datasets, which a test may change."""
    return tissue.spatial.copy(), tissue.reference.copy()


@pytest.mark.parametrize("method", ["crossfit", "paper", "knn"])
def test_one_call_imputes_what_was_not_measured(pair, method):
    spatial, reference = pair
    short = {} if method == "knn" else {"train_kwargs": TRAIN}
    imputed = tl.impute(spatial, reference, method=method, progress=False, **short)
    assert imputed.shape == (110, 6)
    assert set(imputed.var_names).isdisjoint(spatial.var_names)
    assert imputed.X.dtype == np.float32
    assert np.isfinite(imputed.X).all()
    assert (imputed.X >= 0).all()
    assert imputed.uns["stimpute"]["recipe"] == method
    assert "log1p" in imputed.uns["stimpute"]["units"]
    assert not [column for column in imputed.obs if column.startswith("_scvi")]
    np.testing.assert_array_equal(imputed.obsm["spatial"], spatial.obsm["spatial"])


def test_it_is_the_model_in_one_call(tissue, pair):
    spatial, reference = pair
    genes = [tissue.truth.var_names[-1], spatial.var_names[0]]
    imputed = tl.impute(
        spatial, reference, genes, interval=0.9, progress=False, train_kwargs=TRAIN, n_metacells=20, n_steps=10
    )
    for adata in pair:
        StImputeModel.setup_anndata(adata)
    model = StImputeModel(spatial, reference, n_metacells=20, n_steps=10)
    model.train(**TRAIN, enable_progress_bar=False)
    np.testing.assert_array_equal(imputed.X, model.impute(genes=genes, progress=False).X)
    assert {"lower", "upper"} <= set(imputed.layers)


def test_data_are_freed_with_the_last_that_the_user_keeps_of_them(tissue):
    data = [tissue.spatial.copy(), tissue.reference.copy()]
    imputed = tl.impute(*data, progress=False, train_kwargs=TRAIN)
    watched = [weakref.ref(adata) for adata in data]
    del data
    gc.collect()
    assert [watch() for watch in watched] == [None, None]
    assert imputed.n_obs == 110


def test_the_setup_of_the_user_stays(pair):
    spatial, reference = pair
    spatial.layers["raw"] = spatial.X.copy()
    StImputeModel.setup_anndata(spatial, layer="raw")
    StImputeModel.setup_anndata(reference)
    imputed = tl.impute(spatial, reference, progress=False, train_kwargs=TRAIN)
    assert imputed.uns["stimpute"]["spatial_setup"]["layer"] == "raw"
    assert tl.impute(spatial, reference, method="knn").uns["stimpute"]["spatial_setup"]["layer"] == "raw"
    assert StImputeModel(spatial, reference).spatial_setup["layer"] == "raw"
    with pytest.raises(ValueError, match="`expression` is 'log'"):
        tl.impute(spatial, reference, reference_setup={"expression": "log"})
    assert StImputeModel(spatial, reference).spatial_setup["layer"] == "raw"


# ---------------------------------------------------------------- the mean of neighbors


def log_normalized(counts: pd.DataFrame) -> pd.DataFrame:
    totals = counts.sum(axis=1)
    return np.log1p(counts.mul(totals[totals > 0].median() / totals.clip(lower=1), axis=0))


def test_the_mean_of_neighbors_by_hand(pair):
    """Of unmeasured genes: all measured genes are compared, and 50 cells averaged, on the scale of the reference."""
    spatial, reference = pair
    imputed = tl.impute(spatial, reference, method="knn")
    cells, reference_cells = log_normalized(spatial.to_df()), log_normalized(reference.to_df())
    z_score = lambda x: ((x - x.mean()) / x.std(ddof=0)).to_numpy()
    unit = lambda x: x / np.linalg.norm(x, axis=1, keepdims=True)
    cosine = unit(z_score(cells)) @ unit(z_score(reference_cells[list(cells)])).T
    nearest = np.argsort(-cosine, axis=1)[:, :50]
    expected = reference_cells[list(imputed.var_names)].to_numpy()[nearest].mean(1)
    np.testing.assert_allclose(imputed.X, expected, rtol=1e-4)


def test_neighbors_do_not_see_a_measured_gene_that_they_predict(pair):
    spatial, reference = pair
    gene, other = spatial.var_names[:2]
    before = tl.impute(spatial, reference, [gene, other], method="knn")
    changed = spatial.copy()
    x = changed.X.toarray()
    x[:, 0] = np.random.default_rng(0).permutation(x[:, 0])
    changed.X = x
    after = tl.impute(changed, reference, [gene, other], method="knn")
    np.testing.assert_array_equal(before[:, gene].X, after[:, gene].X)
    assert before.var["measured"].all()


def test_a_gene_predicted_by_neighbors_does_not_depend_on_others(tissue, pair):
    spatial, reference = pair
    genes = [spatial.var_names[3], tissue.truth.var_names[~tissue.truth.var["measured"]][2], spatial.var_names[7]]
    together = tl.impute(spatial, reference, genes, method="knn")
    assert list(together.var_names) == genes
    assert together.var["measured"].tolist() == [True, False, True]
    for gene in genes:
        alone = tl.impute(spatial, reference, gene, method="knn")
        np.testing.assert_array_equal(alone.X, together[:, gene].X)


def test_neighbors_read_layers_and_gene_names(tissue, pair):
    spatial, reference = pair
    expected = tl.impute(spatial, reference, method="knn").X
    for adata in pair:
        adata.layers["counts"] = adata.X.copy()
        adata.X = None
        adata.var["symbol"] = adata.var_names
        adata.var_names = [f"id{i}" for i in range(adata.n_vars)]
    setup = {"layer": "counts", "gene_symbols": "symbol"}
    found = tl.impute(spatial, reference, method="knn", spatial_setup=setup, reference_setup=setup)
    np.testing.assert_array_equal(found.X, expected)
    assert set(found.var_names) == set(tissue.truth.var_names[~tissue.truth.var["measured"]])


def test_neighbors_leave_the_data_as_they_were(pair):
    before = [adata.copy() for adata in pair]
    tl.impute(*pair, method="knn")
    for adata, old in zip(pair, before, strict=True):
        assert list(adata.obs) == list(old.obs)
        assert set(adata.uns) == set(old.uns)
        assert (adata.X != old.X).nnz == 0


def test_neighbors_are_refused_what_they_do_not_have(pair):
    for option in ({"interval": 0.9}, {"train_kwargs": TRAIN}, {"n_latent": 3}):
        with pytest.raises(ValueError, match="no intervals, training or hyperparameters"):
            tl.impute(*pair, method="knn", **option)
    with pytest.raises(KeyError, match="'Nothing'.*"):
        tl.impute(*pair, "Nothing", method="knn")


# ---------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("mistake", "error"),
    [
        ({"genes": ["Nothing"]}, "not in the reference"),
        ({"interval": 9}, "interval"),
        ({"method": "paper", "interval": 0.9}, "no intervals"),
        ({"method": "tangram"}, "`method` is 'tangram'; expected one of .*'crossfit', 'knn', .*'paper'"),
    ],
)
def test_mistakes_are_told_before_training(pair, mistake, error, monkeypatch):
    monkeypatch.setattr(StImputeModel, "train", lambda self, **kwargs: pytest.fail("trained"))
    with pytest.raises((KeyError, ValueError), match=error):
        tl.impute(*pair, **mistake)


@pytest.mark.parametrize("method", ["crossfit", "knn"])
def test_nothing_to_impute_is_told(pair, method):
    spatial, reference = pair
    with pytest.raises(ValueError, match="genes"):
        tl.impute(spatial, reference[:, spatial.var_names].copy(), method=method)

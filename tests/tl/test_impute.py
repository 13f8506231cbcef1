import numpy as np
import pytest

from stimpute import StImputeModel, tl
from stimpute.datasets import synthetic_tissue


@pytest.fixture(scope="module")
def tissue():
    return synthetic_tissue(n_cells=300, n_reference=400, n_measured=20, n_unmeasured=6)


@pytest.mark.parametrize("method", ["crossfit", "paper", "knn"])
def test_one_line_imputes_what_was_not_measured(tissue, method):
    spatial, reference = tissue.spatial.copy(), tissue.reference.copy()
    short = {} if method == "knn" else {"train_kwargs": {"max_epochs": 2}}
    imputed = tl.impute(spatial, reference, method=method, progress=False, **short)
    assert imputed.shape == (300, 6)
    assert set(imputed.var_names).isdisjoint(spatial.var_names)
    assert imputed.X.dtype == np.float32
    assert np.isfinite(imputed.X).all()
    assert (imputed.X >= 0).all()
    assert imputed.uns["stimpute"]["recipe"] == method
    assert not [column for column in imputed.obs if column.startswith("_scvi")]
    np.testing.assert_array_equal(imputed.obsm["spatial"], spatial.obsm["spatial"])


def test_it_is_the_model_in_one_line(tissue):
    spatial, reference = tissue.spatial.copy(), tissue.reference.copy()
    genes = [tissue.truth.var_names[-1], spatial.var_names[0]]
    train = {"max_epochs": 2, "accelerator": "cpu"}
    imputed = tl.impute(spatial, reference, genes, interval=0.9, progress=False, train_kwargs=train, n_metacells=50)
    model = StImputeModel(spatial, reference, n_metacells=50)
    model.train(**train, enable_progress_bar=False)
    np.testing.assert_array_equal(imputed.X, model.impute(genes=genes, progress=False).X)
    assert {"lower", "upper"} <= set(imputed.layers)


def test_neighbours_do_not_see_a_measured_gene_that_they_predict(tissue):
    spatial, reference = tissue.spatial.copy(), tissue.reference.copy()
    gene, other = spatial.var_names[:2]
    before = tl.impute(spatial, reference, [gene, other], method="knn")
    changed = spatial.copy()
    x = changed.X.toarray()
    x[:, 0] = np.random.default_rng(0).permutation(x[:, 0])
    changed.X = x
    after = tl.impute(changed, reference, [gene, other], method="knn")
    np.testing.assert_array_equal(before[:, gene].X, after[:, gene].X)
    assert before.var["measured"].all()


def test_neighbours_are_refused_what_they_do_not_have(tissue):
    with pytest.raises(ValueError, match="no intervals"):
        tl.impute(tissue.spatial, tissue.reference, method="knn", interval=0.9)
    with pytest.raises(ValueError, match="expected one of"):
        tl.impute(tissue.spatial.copy(), tissue.reference.copy(), method="tangram")


@pytest.mark.parametrize(
    ("mistake", "error"),
    [
        ({"genes": ["Nothing"]}, "not in the reference"),
        ({"interval": 9}, "interval"),
        ({"method": "paper", "interval": 0.9}, "no intervals"),
    ],
)
def test_mistakes_are_told_before_the_training(tissue, mistake, error, monkeypatch):
    monkeypatch.setattr(StImputeModel, "train", lambda self, **kwargs: pytest.fail("trained"))
    with pytest.raises((KeyError, ValueError), match=error):
        tl.impute(tissue.spatial.copy(), tissue.reference.copy(), **mistake)

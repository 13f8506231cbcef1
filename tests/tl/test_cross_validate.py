import numpy as np
import pytest
from scipy.sparse import csr_matrix

from stimpute import StImputeModel, tl
from stimpute.datasets import synthetic_tissue

SHORT = {"n_metacells": 30, "train_kwargs": {"max_epochs": 1, "accelerator": "cpu"}, "progress": False}


@pytest.fixture(scope="module")
def tissue():
    return synthetic_tissue(n_cells=200, n_reference=250, n_measured=12, n_unmeasured=4)


@pytest.fixture(scope="module")
def result(tissue):
    return tl.cross_validate(tissue.spatial, tissue.reference, n_folds=3, interval=0.9, **SHORT)


def test_every_measured_gene_is_predicted_once_by_every_method(result, tissue):
    assert sorted(result.predicted.var_names) == sorted(tissue.spatial.var_names)
    assert sorted(result.predicted.var["fold"].unique()) == [0, 1, 2]
    methods = {"stimpute", "constant", "reference mean, calibrated", "kNN"}
    assert set(result.summary.index) == methods
    assert set(result.predicted.layers) == methods | {"lower", "upper"}
    counts = result.genes.groupby(["method", "metric"]).size()
    assert (counts == tissue.spatial.n_vars).all()
    assert (result.predicted.layers["lower"] <= result.predicted.layers["upper"]).all()


def test_inputs_are_left_as_they_were_and_nothing_is_kept(tissue):
    before, kept = tissue.spatial.copy(), len(StImputeModel._setup_adata_manager_store)
    result = tl.cross_validate(tissue.spatial, tissue.reference, n_folds=2, **SHORT)
    assert list(tissue.spatial.obs) == list(before.obs)
    assert set(tissue.spatial.uns) == set(before.uns)
    assert (tissue.spatial.X != before.X).nnz == 0
    assert list(result.predicted.obs) == list(before.obs)
    assert len(StImputeModel._setup_adata_manager_store) == kept


def test_predictions_of_a_fold_know_nothing_of_its_genes(result, tissue):
    hidden = result.predicted.var_names[result.predicted.var["fold"] == 0]
    changed = tissue.spatial.copy()
    x = changed.X.toarray()
    columns = changed.var_names.get_indexer(hidden)
    x[:, columns] = np.random.default_rng(0).poisson(30, size=(len(x), len(columns)))
    changed.X = csr_matrix(x)
    again = tl.cross_validate(changed, tissue.reference, n_folds=3, interval=0.9, **SHORT)
    for layer in result.predicted.layers:
        np.testing.assert_array_equal(
            again.predicted[:, hidden].layers[layer], result.predicted[:, hidden].layers[layer]
        )
    assert (again.predicted[:, hidden].X != result.predicted[:, hidden].X).any()


def test_whole_totals_scale_by_the_hidden_genes_too(result, tissue):
    whole = tl.cross_validate(tissue.spatial, tissue.reference, n_folds=3, totals="whole", baselines=False, **SHORT)
    assert np.abs(whole.predicted.X - result.predicted.X).max() > 0.01
    assert list(whole.summary.index) == ["stimpute"]


def test_methods_of_ones_own(tissue):
    seen = []

    def zero(fold):
        seen.append(fold)
        return np.zeros((fold.spatial.n_obs, len(fold.targets)))

    result = tl.cross_validate(tissue.spatial, tissue.reference, n_folds=2, methods={"zero": zero}, **SHORT)
    assert result.summary.loc["zero", "pcc"] == 0
    assert all(set(fold.targets).isdisjoint(fold.spatial.var_names) for fold in seen)


def test_too_few_genes_are_named(tissue):
    with pytest.raises(ValueError, match="12 shared genes are too few for n_folds=9"):
        tl.cross_validate(tissue.spatial, tissue.reference, n_folds=9, **SHORT)

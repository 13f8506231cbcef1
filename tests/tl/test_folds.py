import gc
import weakref

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from lazy import in_form
from scipy import sparse

from stimpute import StImputeModel, pp, tl
from stimpute.data._relation_store import relation_names
from stimpute.datasets import synthetic_tissue
from stimpute.tl._folds import minimal_copy

pytestmark = pytest.mark.filterwarnings("ignore:.*have no count of any gene shared")

N_MEASURED, N_UNMEASURED = 12, 4
QUICK = {
    "n_steps": 10,
    "n_metacells": 20,
    "train_kwargs": {"max_epochs": 1, "accelerator": "cpu", "enable_progress_bar": False},
}


@pytest.fixture(scope="module")
def tissue():
    tissue = synthetic_tissue(
        n_cells=80, n_reference=70, n_measured=N_MEASURED, n_unmeasured=N_UNMEASURED, n_missing_proteins=2
    )
    pp.add_protein_embeddings(tissue.reference, tissue.proteins)
    return tissue


@pytest.fixture
def pair(tissue):
    """Copies of the two datasets, which a test may change."""
    return tissue.spatial.copy(), tissue.reference.copy()


@pytest.mark.parametrize("which", [0, 1])
def test_folds_of_data_that_were_read_lazily_are_the_same(pair, which, tmp_path):
    expected = tl.gene_folds(*pair, n_folds=3)[1]
    lazy = list(pair)
    lazy[which] = in_form(lazy[which], "lazy HDF5 CSR", tmp_path)
    fold = tl.gene_folds(*lazy, n_folds=3)[1]
    assert fold.targets == expected.targets
    for found, known in ((fold.spatial, expected.spatial), (fold.reference, expected.reference)):
        assert (found.X != known.X).nnz == 0
        pd.testing.assert_frame_equal(found.obs, known.obs, check_categorical=False)
    assert tl.fit_fold(fold, **QUICK).impute(genes=fold.targets, progress=False).shape == (80, 4)


def registered() -> set[str]:
    return set(StImputeModel._setup_adata_manager_store)


def log_normalized(counts: pd.DataFrame) -> pd.DataFrame:
    totals = counts.sum(axis=1)
    return np.log1p(counts.mul(totals[totals > 0].median() / totals.clip(lower=1), axis=0))


# ---------------------------------------------------------------- folds


def test_every_shared_gene_is_held_out_once(pair):
    spatial, reference = pair
    folds = tl.gene_folds(spatial, reference, n_folds=3)
    assert [fold.number for fold in folds] == [0, 1, 2]
    assert sorted(gene for fold in folds for gene in fold.targets) == sorted(spatial.var_names)
    for fold in folds:
        kept = [name for name in spatial.var_names if name not in fold.targets]
        assert list(fold.spatial.var_names) == kept
        assert list(fold.reference.var_names) == list(reference.var_names)
        assert fold.truth.shape == (80, len(fold.targets))
        np.testing.assert_array_equal(fold.spatial.X.toarray(), spatial[:, kept].X.toarray())
        np.testing.assert_array_equal(fold.spatial.obsm["spatial"], spatial.obsm["spatial"])


def test_the_folds_do_not_depend_on_the_order_of_the_genes(pair):
    spatial, reference = pair
    other = spatial[:, ::-1].copy()
    targets = lambda data: [fold.targets for fold in tl.gene_folds(data, reference, n_folds=3, seed=1)]
    assert targets(other) == targets(spatial)


def test_the_truth_is_scaled_by_the_other_genes(pair):
    spatial, reference = pair
    counts = spatial.to_df()
    for fold in tl.gene_folds(spatial, reference, n_folds=3):
        totals = counts.drop(columns=fold.targets).sum(axis=1).to_numpy()
        median = np.median(totals[totals > 0])
        by_hand = np.log1p(counts[fold.targets].to_numpy() * (median / np.maximum(totals, 1))[:, None])
        np.testing.assert_allclose(fold.truth, by_hand, rtol=1e-5)
        assert fold.spatial_setup["expression"] == "counts"


def test_with_totals_over_all_genes_truth_and_inputs_are_scaled_by_them(pair):
    spatial, reference = pair
    log = log_normalized(spatial.to_df())
    for fold in tl.gene_folds(spatial, reference, n_folds=3, totals="all"):
        np.testing.assert_allclose(fold.truth, log[fold.targets], rtol=1e-5)
        np.testing.assert_allclose(fold.spatial.X.toarray(), log[fold.spatial.var_names], rtol=1e-5)
        assert fold.spatial_setup["expression"] == "normalized"
        assert fold.reference_setup["expression"] == "counts"


def change_held_out_genes(spatial, fold):
    """Copy the spatial data with other counts of the genes that a fold holds out."""
    counts = spatial.to_df()
    counts[fold.targets] = np.random.default_rng(0).poisson(30, counts[fold.targets].shape)
    changed = spatial.copy()
    changed.X = sparse.csr_matrix(counts.to_numpy(np.float32))
    return changed


@pytest.mark.parametrize("totals", ["input", "all"])
def test_held_out_genes_change_the_inputs_only_with_totals_over_all_genes(pair, totals):
    spatial, reference = pair
    fold = tl.gene_folds(spatial, reference, n_folds=3, totals=totals)[1]
    again = tl.gene_folds(change_held_out_genes(spatial, fold), reference, n_folds=3, totals=totals)[1]
    assert again.targets == fold.targets
    assert not np.allclose(again.truth, fold.truth)
    same = np.array_equal(again.spatial.X.toarray(), fold.spatial.X.toarray())
    assert same == (totals == "input")
    assert np.array_equal(again.dense.spatial, fold.dense.spatial) == (totals == "input")


def test_normalized_values_are_taken_as_they_are(pair):
    spatial, reference = pair
    spatial.layers["log"] = spatial.X.log1p()
    setup = {"layer": "log", "expression": "normalized"}
    for totals in ("input", "all"):
        fold = tl.gene_folds(spatial, reference, n_folds=3, totals=totals, spatial_setup=setup)[0]
        np.testing.assert_array_equal(fold.truth, spatial[:, fold.targets].layers["log"].toarray())
        assert fold.spatial_setup["expression"] == "normalized"


def test_dense_arrays_by_hand(pair):
    spatial, reference = pair
    fold = tl.gene_folds(spatial, reference, n_folds=3)[0]
    inputs = [name for name in spatial.var_names if name not in fold.targets]
    reference_cells = log_normalized(reference.to_df())
    np.testing.assert_allclose(fold.dense.spatial, log_normalized(spatial.to_df()[inputs]), rtol=1e-5)
    np.testing.assert_allclose(fold.dense.reference, reference_cells[inputs], rtol=1e-5)
    np.testing.assert_allclose(fold.dense.targets, reference_cells[fold.targets], rtol=1e-5)


def test_genes_that_one_dataset_does_not_have_or_express_are_no_targets(pair):
    spatial, reference = pair
    only_spatial, zero = spatial.var_names[0], spatial.var_names[1]
    reference = reference[:, reference.var_names != only_spatial].copy()
    counts = spatial.X.toarray()
    counts[:, 1] = 0
    spatial.X = sparse.csr_matrix(counts)
    with pytest.warns(UserWarning, match=f"zero in every cell.*{zero}"):
        folds = tl.gene_folds(spatial, reference, n_folds=2)
    targets = {gene for fold in folds for gene in fold.targets}
    assert targets == set(spatial.var_names[2:])
    assert only_spatial in folds[0].spatial.var_names


def test_the_truth_has_the_scale_of_the_model_where_a_gene_is_never_expressed_in_the_reference(pair):
    spatial, reference = pair
    abundant = spatial.var_names[1]
    counts, values = spatial.X.toarray(), reference.X.toarray()
    counts[:, 1] = np.arange(spatial.n_obs)
    values[:, reference.var_names == abundant] = 0
    spatial.X, reference.X = sparse.csr_matrix(counts), sparse.csr_matrix(values)
    with pytest.warns(UserWarning, match=f"zero in every cell.*{abundant}"):
        fold = tl.gene_folds(spatial, reference, n_folds=2)[0]
    totals = spatial.to_df().drop(columns=[*fold.targets, abundant]).sum(axis=1).to_numpy()
    factor = np.median(totals[totals > 0]) / np.maximum(totals, 1)
    truth = np.log1p(spatial.to_df()[fold.targets].to_numpy() * factor[:, None])
    np.testing.assert_allclose(fold.truth, truth, rtol=1e-5)


def test_genes_are_named_as_they_are_matched(pair):
    spatial, reference = pair
    spatial.var["symbol"] = spatial.var_names
    spatial.var_names = [f"id{i}" for i in range(N_MEASURED)]
    spatial.layers["counts"] = spatial.X.copy()
    spatial.X = None
    setup = {"layer": "counts", "gene_symbols": "symbol"}
    folds = tl.gene_folds(spatial, reference, n_folds=2, spatial_setup=setup)
    assert sorted(gene for fold in folds for gene in fold.targets) == sorted(spatial.var["symbol"])
    assert not {"layer", "gene_symbols"} & set(folds[0].spatial_setup)


def test_impossible_folds_are_refused(pair):
    with pytest.raises(ValueError, match="12 shared genes are too few for n_folds=7"):
        tl.gene_folds(*pair, n_folds=7)
    with pytest.raises(ValueError, match="`n_folds` is 1; expected at least 2"):
        tl.gene_folds(*pair, n_folds=1)
    with pytest.raises(ValueError, match='`totals` is \'whole\'; expected "input" or "all"'):
        tl.gene_folds(*pair, totals="whole")


def test_the_data_are_not_changed(pair):
    spatial, reference = pair
    before = [adata.copy() for adata in pair]
    for fold in tl.gene_folds(spatial, reference, n_folds=2):
        tl.fit_fold(fold, **QUICK)
    for adata, old in zip(pair, before, strict=True):
        assert (adata.X != old.X).nnz == 0
        pd.testing.assert_frame_equal(adata.obs, old.obs)
        pd.testing.assert_frame_equal(adata.var, old.var)
        assert set(adata.uns) == set(old.uns)


# ---------------------------------------------------------------- a model of a fold


def test_the_model_of_a_fold_predicts_its_targets(pair):
    fold = tl.gene_folds(*pair, n_folds=3)[1]
    model = tl.fit_fold(fold, **QUICK, relations=["protein"], n_latent=3)
    assert model.is_trained
    assert model.relations == ["protein"]
    assert model.recipe.n_latent == 3
    assert set(model.measured_genes).isdisjoint(fold.targets)
    imputed = model.impute(genes=fold.targets, progress=False)
    assert list(imputed.var_names) == fold.targets
    assert not imputed.var["measured"].any()


def test_predictions_depend_on_no_value_of_a_held_out_gene(pair):
    spatial, reference = pair
    fold = tl.gene_folds(spatial, reference, n_folds=3)[0]
    again = tl.gene_folds(change_held_out_genes(spatial, fold), reference, n_folds=3)[0]
    predict = lambda fold: tl.fit_fold(fold, **QUICK).impute(genes=fold.targets, progress=False)
    first, second = predict(fold), predict(again)
    np.testing.assert_array_equal(first.X, second.X)
    pd.testing.assert_frame_equal(first.var, second.var)


def test_nothing_stays_registered_and_the_model_goes_on_working(pair, tmp_path):
    before = registered()
    fold = tl.gene_folds(*pair, n_folds=3)[0]
    model = tl.fit_fold(fold, **QUICK)
    assert registered() == before
    imputed = model.impute(genes=fold.targets, progress=False)
    model.save(tmp_path / "model")
    assert model.transfer_labels("cell_type").shape == (80, 2)
    model.train(**QUICK["train_kwargs"])
    loaded = StImputeModel.load(tmp_path / "model", adata=False, reference=fold.reference)
    again = loaded.impute(fold.spatial, genes=fold.targets, progress=False)
    np.testing.assert_array_equal(again.X, imputed.X)


@pytest.mark.parametrize("kwargs", [{"recipe": "nope"}, {"n_latent": 0}, {"train_kwargs": {"max_epochs": 0}}])
def test_nothing_stays_registered_after_an_error(pair, kwargs):
    before = registered()
    with pytest.raises(ValueError, match="expected"):
        tl.fit_fold(tl.gene_folds(*pair, n_folds=3)[0], **QUICK | kwargs)
    assert registered() == before


def test_nothing_stays_registered_after_an_error_of_the_setup(pair):
    before = registered()
    fold = tl.gene_folds(*pair, n_folds=3, reference_setup={"batch_key": "nope"})[0]
    with pytest.raises(KeyError, match="nope"):
        tl.fit_fold(fold, **QUICK)
    assert registered() == before


def test_the_data_of_a_fold_are_freed_with_it(pair):
    fold = tl.gene_folds(*pair, n_folds=3)[0]
    model = tl.fit_fold(fold, **QUICK)
    spatial = weakref.ref(fold.spatial)
    del fold, model
    gc.collect()
    assert spatial() is None


# ---------------------------------------------------------------- minimal copy


def test_a_copy_holds_what_a_model_reads(pair):
    _, reference = pair
    reference.layers["counts"] = reference.X.copy()
    reference.obsm["pca"] = np.ones((70, 2))
    reference.uns["large"] = np.ones(5)
    reference.var["symbol"] = reference.var_names.str.upper()
    setup = {"layer": "counts", "gene_symbols": "symbol", "batch_key": "cell_type"}
    copy, rest = minimal_copy(reference, setup)
    assert isinstance(copy, AnnData)
    np.testing.assert_array_equal(copy.X.toarray(), reference.X.toarray())
    assert list(copy.var_names) == list(reference.var["symbol"])
    assert rest == {"expression": "counts", "batch_key": "cell_type"}
    assert relation_names(copy) == ["coexpression", "protein"]
    assert not copy.layers
    assert set(copy.uns) == {"stimpute"}
    pd.testing.assert_frame_equal(copy.obs, reference.obs)
    copy.obs["new"] = 1
    assert "new" not in reference.obs


def test_a_copy_of_registered_data_is_not_registered(pair):
    spatial, _ = pair
    StImputeModel.setup_anndata(spatial)
    copy, _ = minimal_copy(spatial, None)
    assert not [key for key in copy.uns if key.startswith("_scvi")]
    StImputeModel.release(spatial)

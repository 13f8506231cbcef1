import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

from stimpute import StImputeModel, tl
from stimpute.data._annotations import layers_by_name
from stimpute.datasets import synthetic_tissue
from stimpute.recipes import CrossfitRecipe

pytestmark = pytest.mark.filterwarnings("ignore:.*have no count of any gene shared")

TRAIN = {"max_epochs": 1, "accelerator": "cpu"}
QUICK = {"n_steps": 10, "n_metacells": 20, "train_kwargs": TRAIN, "progress": False}
LAYER = {"layer": "counts"}
BASELINES = {"constant", "reference mean, calibrated", "kNN"}


def make_tissue(seed=0):
    return synthetic_tissue(n_cells=90, n_reference=80, n_measured=12, n_unmeasured=4, seed=seed)


@pytest.fixture(scope="module")
def tissue():
    return make_tissue()


@pytest.fixture(scope="module")
def result(tissue):
    return tl.cross_validate(tissue.spatial, tissue.reference, n_folds=3, interval=0.9, **QUICK)


def registered() -> set[str]:
    return set(StImputeModel._setup_adata_manager_store)


# ---------------------------------------------------------------- predictions


def test_every_measured_gene_is_predicted_once_by_every_method(result, tissue):
    assert list(result.predicted.var_names) == sorted(tissue.spatial.var_names)
    assert sorted(result.predicted.var["fold"].unique()) == [0, 1, 2]
    methods = BASELINES | {tl.MODEL_NAME}
    assert set(result.summary.index) == methods
    assert set(layers_by_name(result.predicted)) == methods | {"lower", "upper"}
    counts = result.genes.groupby(["method", "metric"]).size()
    assert (counts == tissue.spatial.n_vars).all()
    assert (result.predicted.layers["lower"] <= result.predicted.layers["upper"]).all()


@pytest.mark.slow
def test_a_null_row_is_the_model_with_the_reference_values_permuted(result, tissue):
    with_null = tl.cross_validate(tissue.spatial, tissue.reference, n_folds=3, interval=0.9, null=True, **QUICK)
    name = "stimpute, reference permuted"
    assert set(with_null.summary.index) == set(result.summary.index) | {name}
    np.testing.assert_array_equal(with_null.predicted.layers["stimpute"], result.predicted.layers["stimpute"])
    fold = tl.permute_targets(tl.gene_folds(tissue.spatial, tissue.reference, n_folds=3)[1])
    model = tl.fit_fold(fold, train_kwargs={**TRAIN, "seed": 0}, n_steps=10, n_metacells=20)
    expected = model.impute(genes=fold.targets, progress=False).X
    np.testing.assert_array_equal(with_null.predicted[:, fold.targets].layers[name], expected)
    assert name not in repr(with_null).split("baselines")[1]


def test_the_best_other_method_is_no_null_row(result):
    genes = result.genes
    own = genes[genes["method"] == tl.MODEL_NAME]
    null = own.assign(method="stimpute, reference permuted", value=own["value"] + 1)
    rivals = genes[genes["method"].isin(BASELINES)].query("metric == 'pcc'").groupby("method")["value"].mean()
    assert replace(result, genes=pd.concat([genes, null])).best_other == rivals.idxmax()
    assert replace(result, genes=pd.concat([own, null])).best_other is None


def test_the_truth_is_that_of_the_folds(result, tissue):
    for fold in tl.gene_folds(tissue.spatial, tissue.reference, n_folds=3):
        found = result.predicted[:, fold.targets]
        assert set(found.var["fold"]) == {fold.number}
        np.testing.assert_allclose(found.X, fold.truth, rtol=1e-6)
        np.testing.assert_array_equal(found.layers["kNN"], tl.BASELINES["kNN"](fold))


def test_predictions_of_a_fold_depend_on_no_value_of_its_genes(result, tissue):
    held_out = result.predicted.var_names[result.predicted.var["fold"] == 0]
    changed = tissue.spatial.copy()
    x = changed.X.toarray()
    columns = changed.var_names.get_indexer(held_out)
    x[:, columns] = np.random.default_rng(0).poisson(30, size=(len(x), len(columns)))
    changed.X = csr_matrix(x)
    again = tl.cross_validate(changed, tissue.reference, n_folds=3, interval=0.9, **QUICK)
    before, after = result.predicted[:, held_out], again.predicted[:, held_out]
    for layer in layers_by_name(result.predicted):
        np.testing.assert_array_equal(after.layers[layer], before.layers[layer])
    pd.testing.assert_frame_equal(after.var, before.var)
    assert (after.X != before.X).any()


def test_totals_over_all_genes_scale_by_the_held_out_genes_too(result, tissue):
    everything = tl.cross_validate(tissue.spatial, tissue.reference, n_folds=3, totals="all", baselines=False, **QUICK)
    assert np.abs(everything.predicted.X - result.predicted.X).max() > 0.01
    assert list(everything.summary.index) == [tl.MODEL_NAME]


@pytest.mark.parametrize("seed", [0, 5])
def test_the_model_of_a_fold_is_trained_with_the_seed(tissue, seed):
    result = tl.cross_validate(tissue.spatial, tissue.reference, n_folds=3, folds=[1], seed=seed, **QUICK)
    fold = tl.gene_folds(tissue.spatial, tissue.reference, n_folds=3, seed=seed)[1]
    train = {**TRAIN, "seed": seed, "enable_progress_bar": False}
    model = tl.fit_fold(fold, train_kwargs=train, n_steps=10, n_metacells=20)
    imputed = model.impute(genes=fold.targets, progress=False)
    found = result.predicted[:, fold.targets]
    np.testing.assert_array_equal(found.layers[tl.MODEL_NAME], imputed.X)
    np.testing.assert_array_equal(found.var["reliability"], imputed.var["reliability"])


@pytest.mark.slow
def test_some_folds_alone(result, tissue):
    options = {"n_folds": 3, "interval": 0.9, **QUICK}
    one = tl.cross_validate(tissue.spatial, tissue.reference, folds=[0], **options)
    genes = result.predicted.var_names[result.predicted.var["fold"] == 0]
    assert list(one.predicted.var_names) == list(genes)
    assert one.settings.folds == [0]
    for layer in result.predicted.layers:
        np.testing.assert_array_equal(one.predicted.layers[layer], result.predicted[:, genes].layers[layer])
    two = tl.cross_validate(tissue.spatial, tissue.reference, folds=(2, 0), **options)
    assert set(two.predicted.var["fold"]) == {0, 2}
    assert list(two.predicted.var_names) == sorted(two.predicted.var_names)
    np.testing.assert_array_equal(two.predicted[:, genes].X, one.predicted.X)


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        ([], "`folds` is empty"),
        ([3], "`folds` names fold 3; expected numbers from 0 to 2"),
        ([0, -1], "`folds` names fold -1"),
    ],
)
def test_impossible_folds_are_refused_before_training(tissue, folds, message, monkeypatch):
    monkeypatch.setattr(StImputeModel, "train", lambda self, **kwargs: pytest.fail("trained"))
    with pytest.raises(ValueError, match=message):
        tl.cross_validate(tissue.spatial, tissue.reference, n_folds=3, folds=folds, **QUICK)


@pytest.mark.filterwarnings("ignore:Variable names are not unique")
def test_a_repeated_fold_is_refused(tissue):
    with pytest.raises(ValueError, match="folds"):
        tl.cross_validate(tissue.spatial, tissue.reference, n_folds=3, folds=[0, 0], **QUICK)


@pytest.mark.parametrize("name", ["stimpute", "lower", "upper"])
def test_a_method_cannot_take_a_name_of_the_model(tissue, name):
    with pytest.raises(ValueError, match=f"`methods` has the name '{name}'"):
        tl.cross_validate(tissue.spatial, tissue.reference, methods={name: lambda fold: fold.truth}, **QUICK)


def test_other_methods_are_compared(tissue):
    seen = []

    def zero(fold):
        seen.append(fold)
        return np.zeros((fold.spatial.n_obs, len(fold.targets)))

    options = {"n_folds": 2, "methods": {"zero": zero}, **QUICK}
    result = tl.cross_validate(tissue.spatial, tissue.reference, **options)
    assert result.summary.loc["zero", "pcc"] == 0
    assert set(result.summary.index) == BASELINES | {"zero", tl.MODEL_NAME}
    assert all(set(fold.targets).isdisjoint(fold.spatial.var_names) for fold in seen)
    assert [fold.number for fold in seen] == [0, 1]


def test_an_interval_that_the_recipe_does_not_have_is_refused_before_training(tissue, monkeypatch):
    monkeypatch.setattr(StImputeModel, "train", lambda self, **kwargs: pytest.fail("trained"))
    with pytest.raises(ValueError, match="no intervals"):
        tl.cross_validate(tissue.spatial, tissue.reference, recipe="paper", interval=0.9)
    with pytest.raises(ValueError, match="`interval` is 9"):
        tl.cross_validate(tissue.spatial, tissue.reference, interval=9)
    with pytest.raises(ValueError, match="`recipe` is 'nope'"):
        tl.cross_validate(tissue.spatial, tissue.reference, recipe="nope")


def test_too_few_genes_are_named(tissue):
    with pytest.raises(ValueError, match="12 shared genes are too few for n_folds=9"):
        tl.cross_validate(tissue.spatial, tissue.reference, n_folds=9, **QUICK)


# ---------------------------------------------------------------- tables


def test_cells_are_scored_by_name(result, tissue):
    assert list(result.cells) == ["metric", "value", "method"]
    of_model = result.cells.query("method == 'stimpute' and metric == 'pcc'")["value"]
    assert list(of_model.index) == list(tissue.spatial.obs_names)
    truth, predicted = result.predicted.X, result.predicted.layers[tl.MODEL_NAME]
    by_hand = [np.corrcoef(truth[i], predicted[i])[0, 1] for i in range(tissue.spatial.n_obs)]
    np.testing.assert_allclose(of_model, by_hand, atol=1e-5)
    assert set(result.cells["metric"]) == {"css", "pcc"}


@pytest.mark.filterwarnings("ignore:Observation names are not unique")
def test_cells_may_share_a_name_as_after_joining_sections(tissue):
    spatial = tissue.spatial.copy()
    spatial.obs_names = ["cell"] * spatial.n_obs
    result = tl.cross_validate(spatial, tissue.reference, n_folds=2, folds=[0], baselines=False, **QUICK)
    assert len(result.cells) == 2 * spatial.n_obs


def test_genes_are_scored_by_name(result):
    of_model = result.genes.query("method == 'stimpute' and metric == 'mse'").set_index("gene")["value"]
    squares = (result.predicted.X - result.predicted.layers[tl.MODEL_NAME]) ** 2
    expected = pd.Series(squares.mean(0), index=result.predicted.var_names)
    np.testing.assert_allclose(of_model[expected.index], expected, rtol=1e-5)


def test_the_summary_is_the_mean_over_genes_and_over_cells(result):
    chosen = result.genes.query("method == 'kNN' and metric == 'pcc'")["value"]
    assert result.summary.loc["kNN", "pcc"] == pytest.approx(chosen.mean())
    chosen = result.cells.query("method == 'kNN' and metric == 'css'")["value"]
    assert result.summary.loc["kNN", "cell_css"] == pytest.approx(chosen.mean())


def test_settings_tell_how_it_was_made(result, tissue):
    settings = result.settings
    assert isinstance(settings, tl.CrossValidationSettings)
    assert (settings.recipe, settings.relations, settings.reliability_metric) == ("crossfit", ["coexpression"], "pcc")
    assert (settings.n_folds, settings.folds, settings.seed, settings.totals) == (3, [0, 1, 2], 0, "input")
    assert settings.interval == 0.9
    expected = CrossfitRecipe(n_steps=10, n_metacells=20).hyperparameters()
    assert settings.hyperparameters == expected
    assert {"stimpute", "scvi-tools", "torch", "anndata", "numpy"} <= set(settings.versions)
    assert (settings.spatial_setup, settings.reference_setup) == ({}, {})
    setups = {"spatial_setup": {"batch_key": "domain"}, "reference_setup": {"spatial_key": None}}
    options = {"n_folds": 2, "folds": [1], "seed": 4, "totals": "all", "baselines": False, **setups}
    recipe = CrossfitRecipe(n_steps=10, n_metacells=15)
    other = tl.cross_validate(
        tissue.spatial, tissue.reference, recipe=recipe, relations=[], train_kwargs=TRAIN, progress=False, **options
    ).settings
    assert (other.n_folds, other.folds, other.seed, other.totals) == (2, [1], 4, "all")
    assert other.hyperparameters["n_metacells"] == 15
    assert (other.interval, other.relations) == (None, [])
    assert {"spatial_setup": other.spatial_setup, "reference_setup": other.reference_setup} == setups


def test_the_text_tells_what_was_done_and_what_came_out(result):
    text = repr(result)
    assert "'crossfit': 12 held-out genes in 3 of 3 folds, 90 cells, seed 0" in text
    assert "relations    coexpression" in text
    assert all(name in text for name in [*BASELINES, tl.MODEL_NAME, "pcc", "cell_pcc"])
    pcc = result.genes.query("metric == 'pcc'").pivot(index="gene", columns="method", values="value")
    n_better = (pcc["stimpute"] > pcc["kNN"]).sum()
    assert f"stimpute has a higher pcc than kNN, the best of them, on {n_better} of 12 genes" in text
    predicted = result.predicted
    inside = (predicted.layers["lower"] <= predicted.X) & (predicted.layers["upper"] >= predicted.X)
    assert f"intervals    {inside.mean():.1%} of the values inside, 90% requested" in text
    rank = pcc["stimpute"].corr(predicted.var["reliability"], method="spearman")
    assert f"rank correlation {rank:.2f} with the observed pcc" in text
    assert len(text.splitlines()) == 10


def test_the_text_of_a_single_fold_without_relations(tissue):
    options = {"n_folds": 3, "folds": [1], "relations": [], "baselines": False, **QUICK}
    text = repr(tl.cross_validate(tissue.spatial, tissue.reference, **options))
    assert "4 held-out genes in 1 of 3 folds" in text
    assert "relations    none" in text
    assert "intervals" not in text
    assert "kNN" not in text


# ---------------------------------------------------------------- groups


@pytest.fixture(scope="module")
def grouped(result):
    return result.with_groups("cell_type")


def test_accuracy_within_groups_is_computed_on_the_cells_of_each_group(grouped, result):
    assert list(grouped.groups) == ["gene", "group", "n_cells", "metric", "value", "method"]
    assert set(grouped.groups["method"]) == set(result.summary.index)
    cell_type = result.predicted.obs["cell_type"]
    largest = cell_type.value_counts().index[0]
    cells = (cell_type == largest).to_numpy()
    column = result.predicted.X[cells].std(0).argmax()
    truth, predicted = (x[cells, column] for x in (result.predicted.X, result.predicted.layers["stimpute"]))
    of_model = grouped.groups.query("metric == 'pcc' and method == 'stimpute'").set_index(["group", "gene"])
    found = of_model.loc[[(largest, result.predicted.var_names[column])]]
    assert found["value"].item() == pytest.approx(np.corrcoef(truth, predicted)[0, 1], abs=1e-5)
    assert found["n_cells"].item() == cells.sum()


def test_the_table_by_group_compares_all_cells_with_groups(grouped, result):
    table = grouped.by_group()
    assert list(table.index[:2]) == ["all cells", "within groups"]
    assert list(table) == ["n_cells", *result.genes["method"].unique(), "coverage"]
    groups = table.iloc[2:]
    assert groups["n_cells"].is_monotonic_decreasing
    assert table.loc["all cells", "stimpute"] == result.summary.loc["stimpute", "pcc"]
    has_value = groups["stimpute"].notna()
    mean = np.average(groups["stimpute"][has_value], weights=groups["n_cells"][has_value])
    assert table.loc["within groups", "stimpute"] == pytest.approx(mean)
    assert table.loc["within groups", "coverage"] == pytest.approx(table.loc["all cells", "coverage"])
    assert not table.equals(grouped.by_group("mse"))
    assert f"{table.loc['within groups', 'stimpute']:.3f} within 'cell_type'" in repr(grouped)


def test_a_cross_validation_is_scored_within_groups_on_request(tissue, grouped):
    options = {"n_folds": 3, "interval": 0.9, "groupby": "cell_type", **QUICK}
    direct = tl.cross_validate(tissue.spatial, tissue.reference, **options)
    pd.testing.assert_frame_equal(direct.groups, grouped.groups)
    assert direct.settings.groupby == "cell_type"


def test_groups_that_are_missing_are_named(tissue, result, grouped, monkeypatch):
    monkeypatch.setattr(StImputeModel, "train", lambda self, **kwargs: pytest.fail("trained"))
    with pytest.raises(KeyError, match="'kind' is not in `spatial.obs`"):
        tl.cross_validate(tissue.spatial, tissue.reference, groupby="kind", **QUICK)
    with pytest.raises(KeyError, match="'kind' is not in `predicted.obs`"):
        result.with_groups("kind")
    with pytest.raises(ValueError, match=r"validation\.with_groups"):
        result.by_group()
    with pytest.raises(KeyError, match="ssim"):
        grouped.by_group("ssim")


# ---------------------------------------------------------------- the data


def test_inputs_are_left_as_they_were_and_nothing_stays_registered(tissue):
    before, reference_before, kept = tissue.spatial.copy(), tissue.reference.copy(), registered()
    result = tl.cross_validate(tissue.spatial, tissue.reference, n_folds=2, **QUICK)
    for adata, old in ((tissue.spatial, before), (tissue.reference, reference_before)):
        pd.testing.assert_frame_equal(adata.obs, old.obs)
        pd.testing.assert_frame_equal(adata.var, old.var)
        assert set(adata.uns) == set(old.uns)
        assert (adata.X != old.X).nnz == 0
    assert list(result.predicted.obs) == list(before.obs)
    np.testing.assert_array_equal(result.predicted.obsm["spatial"], before.obsm["spatial"])
    assert registered() == kept


@pytest.mark.parametrize("same", [True, False])
def test_data_that_the_user_set_up_stay_registered(same):
    """Whether the same or another pair is cross-validated."""
    mine = make_tissue(seed=1)
    spatial, reference = mine.spatial, mine.reference
    for adata in (spatial, reference):
        StImputeModel.setup_anndata(adata)
    kept = registered()
    other = mine if same else make_tissue(seed=2)
    result = tl.cross_validate(other.spatial, other.reference, n_folds=2, folds=[0], **QUICK)
    assert registered() == kept
    assert not [column for column in result.predicted.obs if column.startswith("_scvi")]
    model = StImputeModel(spatial, reference, n_steps=10, n_metacells=20)
    model.train(**TRAIN, enable_progress_bar=False)
    assert model.adata is spatial
    assert model.impute(progress=False).shape == (90, 4)
    StImputeModel.release(spatial, reference)


def test_data_are_read_as_they_were_set_up():
    """Layer, sections and kind of values; of one reference and of several."""
    tissue = make_tissue()
    spatial, reference = tissue.spatial, tissue.reference
    options = {"n_folds": 2, "folds": [0], "baselines": False, **QUICK}
    setups = {"spatial_setup": {"batch_key": "domain"}, "reference_setup": {"spatial_key": None}}
    expected = tl.cross_validate(spatial, reference, **options, **setups).predicted.layers["stimpute"]
    for adata in (spatial, reference):
        adata.layers["counts"] = adata.X.copy()
        adata.X = -adata.X
    StImputeModel.setup_anndata(spatial, layer="counts", batch_key="domain")
    StImputeModel.setup_anndata(reference, layer="counts")
    result = tl.cross_validate(spatial, reference, **options)
    np.testing.assert_array_equal(result.predicted.layers["stimpute"], expected)
    assert result.settings.spatial_setup["batch_key"] == "domain"
    several = tl.cross_validate(spatial, {"a": reference[:40], "b": reference}, **options, reference_setup={"a": LAYER})
    assert several.settings.reference_setup["b"]["layer"] == "counts"
    with pytest.raises(ValueError, match="negative"):  # what is given is taken in place of what is known
        tl.cross_validate(spatial, reference, **options, spatial_setup={"batch_key": "domain"})


def test_warnings_of_cells_come_once(tissue):
    spatial = tissue.spatial.copy()
    spatial.X = spatial.X.toarray()
    spatial.X[5] = 0
    del spatial.obsm["spatial"]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tl.cross_validate(spatial, tissue.reference, n_folds=3, **QUICK)
    messages = [str(warning.message) for warning in caught]
    assert sum("have no count of any gene" in message for message in messages) == 1
    assert sum("without the positions of the cells" in message for message in messages) == 1

"""Bad input is answered with the key, what was found, what was expected and the next call."""

import inspect
import re
import warnings
from types import SimpleNamespace

import anndata
import numpy as np
import psutil
import public_calls
import pytest
from anndata import AnnData
from mudata import MuData
from scipy import sparse
from small import N_CELLS, QUIET, bare, fit, set_up, small_pair, values

from stimpute import StImputeModel
from stimpute.recipes import RECIPES

setup = StImputeModel.setup_anndata


@pytest.fixture
def spatial(fresh):
    return fresh[0]


@pytest.fixture
def reference(fresh):
    return fresh[1]


def with_value(adata, value, dense):
    x = sparse.csr_matrix(adata.X).toarray().astype(np.float64)
    x[3, 5] = value
    adata.X = x if dense else sparse.csr_matrix(x)
    return adata


# ---------------------------------------------------------------- expression


@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0.5, r"raw counts.*'{cell}'.*'{gene}'.*layer=.*expression=\"normalized\""),
        (np.nan, "not finite.*'{cell}'.*'{gene}'"),
        (np.inf, "not finite.*'{cell}'.*'{gene}'"),
        (-1, "negative.*'{cell}'.*'{gene}'"),
    ],
)
def test_values_that_are_not_counts(fresh, value, message, dense):
    for adata in fresh:
        where = {"cell": adata.obs_names[3], "gene": adata.var_names[5]}
        with pytest.raises(ValueError, match=message.format(**where)):
            setup(with_value(adata, value, dense))


@pytest.mark.filterwarnings("ignore:The expression is declared as normalized")
def test_normalized_values_need_not_be_integers(spatial):
    setup(with_value(spatial, 0.5, True), expression="normalized")
    with pytest.raises(ValueError, match="negative"):
        setup(with_value(spatial, -0.5, True), expression="normalized")
    with pytest.raises(ValueError, match="not finite"):
        setup(with_value(spatial, np.nan, True), expression="normalized")


def test_counts_that_are_declared_as_normalized(spatial):
    with pytest.warns(UserWarning, match=r"All values are integers.*expression=\"counts\""):
        setup(spatial, expression="normalized")


def test_a_refused_setup_leaves_nothing_behind(spatial):
    with pytest.raises(ValueError, match="raw counts"):
        setup(with_value(spatial, 0.5, True))
    assert not [key for key in [*spatial.uns, *spatial.obs] if "scvi" in key]


def test_an_unknown_kind_of_expression(spatial):
    with pytest.raises(ValueError, match=r"`expression` is 'log'; expected \"counts\" or \"normalized\""):
        setup(spatial, expression="log")


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0)])
def test_an_empty_matrix(shape):
    with pytest.raises(ValueError, match="nothing to work on"):
        setup(AnnData(np.zeros(shape, np.float32)))


def test_a_view(spatial):
    with pytest.raises(ValueError, match=r"view.*adata\.copy\(\)"):
        setup(spatial[:20])


@pytest.mark.parametrize("dtype", [object, str, complex])
def test_values_that_are_not_numbers(spatial, dtype):
    spatial.X = sparse.csr_matrix(spatial.X).toarray().astype(dtype)
    with pytest.raises(ValueError, match="The expression holds values of type .*; expected real numbers"):
        setup(spatial)


def test_counts_that_float32_cannot_hold(spatial):
    setup(with_value(spatial, 2**24, True))
    with pytest.raises(ValueError, match=r"one above 16,777,216, the first for cell .* and gene .*layer="):
        setup(with_value(spatial, 2**24 + 1, True))


def test_a_file_that_is_not_in_memory(spatial, tmp_path):
    spatial.write_h5ad(tmp_path / "x.h5ad")
    setup(anndata.read_h5ad(tmp_path / "x.h5ad", backed="r"))
    spatial.X = spatial.X * 0.5
    spatial.write_h5ad(tmp_path / "y.h5ad")
    with pytest.raises(ValueError, match="Expected raw counts"):
        setup(anndata.read_h5ad(tmp_path / "y.h5ad", backed="r"))


# ---------------------------------------------------------------- names and keys


def test_cells_without_a_batch(spatial):
    spatial.obs["section"] = [None, *["a"] * (spatial.n_obs - 1)]
    with pytest.raises(ValueError, match=r"obs\['section'\].*1 cell"):
        setup(spatial, batch_key="section")


@pytest.mark.filterwarnings("ignore:Variable names are not unique")
def test_duplicated_gene_names(spatial):
    spatial.var_names = [spatial.var_names[1], *spatial.var_names[1:]]
    with pytest.raises(ValueError, match=rf"duplicated gene name.*{spatial.var_names[1]}.*var_names_make_unique"):
        setup(spatial)


@pytest.mark.parametrize("argument", ["layer", "batch_key", "spatial_key", "gene_symbols"])
def test_keys_that_do_not_exist(spatial, argument):
    with pytest.raises(KeyError, match=r"'nowhere' is not in `adata\.(layers|obs|obsm|var)`, which has"):
        setup(spatial, **{argument: "nowhere"})


@pytest.mark.parametrize(
    ("coords", "message"),
    [
        (
            lambda xy: np.where(np.arange(len(xy))[:, None] < 2, np.nan, xy),
            r"2 cell\(s\) without a finite.*spatial_key=None",
        ),
        (lambda xy: xy[:, :1], r"shape \(150, 1\).*2 or 3 columns"),
        (lambda xy: np.c_[xy, xy], r"shape \(150, 4\)"),
        (lambda xy: xy.astype(str), r"obsm\['spatial'\]` holds values of type <U.*; expected numbers"),
    ],
)
def test_positions_that_are_none(spatial, coords, message):
    spatial.obsm["spatial"] = coords(spatial.obsm["spatial"])
    with pytest.raises(ValueError, match=message):
        setup(spatial)
    setup(spatial, spatial_key=None)


@pytest.mark.parametrize("argument", ["layer", "batch_key", "spatial_key", "gene_symbols"])
def test_several_keys_in_place_of_one(spatial, argument):
    with pytest.raises(TypeError, match=rf"`{argument}` is \['a', 'b'\]; expected one name"):
        setup(spatial, **{argument: ["a", "b"]})


def test_data_that_are_not_set_up(spatial, reference):
    with pytest.raises(ValueError, match=r"`spatial` is not set up.*setup_anndata\(spatial\)"):
        StImputeModel(spatial, reference)
    setup(spatial)
    with pytest.raises(ValueError, match=r"`reference` is not set up.*setup_anndata\(reference\)"):
        StImputeModel(spatial, reference)


def test_parts_and_copies_of_data_that_are_set_up(spatial, reference):
    set_up(spatial, reference)
    with pytest.raises(ValueError, match="`spatial` was released, or is a copy or a part"):
        StImputeModel(spatial[:50], reference)
    with pytest.raises(ValueError, match="`reference` was released, or is a copy or a part"):
        StImputeModel(spatial, reference.copy())


def test_an_argument_that_setup_does_not_have(spatial):
    with pytest.raises(TypeError, match=r"no argument \['labels_key'\]; it has \['batch_key', 'dataset_key'"):
        setup(spatial, labels_key="cell_type")
    with pytest.raises(TypeError, match="`layer` is an AnnData.*by a call of its own"):
        setup(spatial, spatial.copy())


def test_containers_of_several_tables(spatial, reference):
    class SpatialData:
        """Stands for the class of this name, which is optional."""

    mdata = MuData({"spatial": spatial, "rna": reference})
    with pytest.raises(TypeError, match="`adata` is a MuData; expected an AnnData.*setup_mudata"):
        setup(mdata)
    with pytest.raises(TypeError, match="`spatial` is a MuData; expected an AnnData.*from_mudata"):
        StImputeModel(mdata)
    with pytest.raises(TypeError, match=r'`adata` is a SpatialData.*sdata.tables\["table"\]'):
        setup(SpatialData())


def test_counts_that_are_stored_by_column_need_no_advice(spatial, reference):
    spatial.X = sparse.csc_matrix(spatial.X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        setup(spatial)


def test_a_path_in_place_of_an_anndata(spatial, reference):
    with pytest.raises(TypeError, match=r"`adata` is a str; expected an AnnData.*read_h5ad"):
        setup("cells.h5ad")
    with pytest.raises(TypeError, match="`adata` is None; expected an AnnData"):
        setup(None)
    setup(spatial)
    setup(reference)
    with pytest.raises(TypeError, match="`reference` is a str; expected an AnnData"):
        StImputeModel(spatial, "reference.h5ad")
    with pytest.raises(TypeError, match="`spatial` is a str; expected an AnnData"):
        StImputeModel("cells.h5ad", reference)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"relations": None}, '`relations` is None; expected "auto" or a list'),
        ({"relations": 5}, '`relations` is 5; expected "auto" or a list'),
        ({"use_space": "no"}, "`use_space` is 'no'; expected True or False"),
        ({"recipe": "paper", "normalize_nodes": 1}, "`normalize_nodes` is 1; expected True or False"),
        ({"n_latent": "7"}, "`n_latent` is '7'; expected an integer"),
        ({"n_latent": 7.5}, "`n_latent` is 7.5; expected an integer"),
        ({"n_folds": True}, "`n_folds` is True; expected an integer"),
        ({"lr": "high"}, "`lr` is 'high'; expected a number"),
        ({"masked_share": 0.3}, "`masked_share` is 0.3; expected two shares"),
        ({"masked_share": (0.1,)}, "expected two shares"),
        ({"masked_share": ("a", "b")}, "`masked_share` is 'a'; expected a number"),
    ],
)
def test_arguments_of_another_type(spatial, reference, argument, message):
    setup(spatial)
    setup(reference)
    with pytest.raises(TypeError, match=re.escape(message)):
        StImputeModel(spatial, reference, **argument)


def test_spatial_data_and_reference_that_were_swapped(pair):
    spatial, reference = pair
    with pytest.warns(UserWarning, match=r"no positions.*swapped.*StImputeModel\(spatial, reference\)"):
        StImputeModel(reference, spatial)


def test_no_reference(spatial):
    setup(spatial)
    with pytest.raises(ValueError, match=r"StImputeModel\(spatial, reference\)"):
        StImputeModel(spatial)


# ---------------------------------------------------------------- shared genes


def test_no_shared_genes(spatial, reference):
    spatial.var_names = [f"ENSMUSG{i:05d}" for i in range(spatial.n_vars)]
    with pytest.raises(ValueError, match=r"Found 0 genes.*ENSMUSG00000.*Gene.*at least 3.*gene_symbols"):
        StImputeModel(*set_up(spatial, reference))


def test_two_shared_genes(spatial, reference):
    spatial.var_names = [*spatial.var_names[:2], *(f"Other{i}" for i in range(spatial.n_vars - 2))]
    with pytest.raises(ValueError, match="Found 2 genes"):
        StImputeModel(*set_up(spatial, reference))


def test_names_that_differ_in_case_only(spatial, reference):
    spatial.var_names = spatial.var_names.str.upper()
    with pytest.raises(ValueError, match="Found 0 genes.*case, punctuation and versions are ignored"):
        StImputeModel(*set_up(spatial, reference))


def test_shared_genes_that_are_all_zero(spatial, reference):
    spatial.X = np.zeros(spatial.shape, np.float32)
    with (
        pytest.warns(UserWarning, match="24 shared gene"),
        pytest.raises(ValueError, match="0 of 24 shared genes are expressed in both datasets"),
    ):
        StImputeModel(*set_up(spatial, reference))


# ---------------------------------------------------------------- the model


def test_an_unknown_recipe(pair):
    with pytest.raises(ValueError, match=r"`recipe` is 'papr'; expected one of \[.*'paper'"):
        StImputeModel(*pair, recipe="papr")


def test_an_unknown_hyperparameter(pair, recipe):
    with pytest.raises(TypeError, match=rf"'{recipe}' has no hyperparameter \['n_latnt'\].*'n_folds'"):
        StImputeModel(*pair, recipe=recipe, n_latnt=3)


def test_datasets_by_names_of_other_models(pair):
    with pytest.raises(TypeError, match=r"datasets called \['adata'\]; expected `StImputeModel\(spatial, reference\)`"):
        StImputeModel(adata=pair[0], reference=pair[1])


@pytest.mark.parametrize("n_folds", [1, 0, -2])
def test_too_few_folds(pair, recipe, n_folds):
    with pytest.raises(ValueError, match=f"`n_folds` is {n_folds}; expected at least 2"):
        fit(*pair, recipe, n_folds=n_folds)


@pytest.mark.parametrize("value", [0, -1])
@pytest.mark.parametrize("name", ["max_cells", "max_epochs", "batch_size"])
def test_training_options_that_make_no_sense(pair, recipe, name, value):
    model = StImputeModel(*pair, recipe=recipe)
    with pytest.raises(ValueError, match=f"`{name}` is {value}; expected at least 1"):
        model.train(**{**QUIET, name: value})
    assert not model.is_trained


# A wrong value for the hyperparameters of any recipe that has them.
WRONG = {
    "alpha": [7, -0.1, float("nan")],
    "autoencoder_epochs": [0],
    "autoencoder_lr": [-1, float("nan"), 1e300],
    "batch_size": [0, -1],
    "error_weight": [float("inf"), -1, 1e300],
    "graph_epochs": [0],
    "lr": [-1, float("nan"), 1e38],
    "max_exact_genes": [0],
    "n_components": [0],
    "masked_share": [(2, 3), (0.5, 0.1), (-0.1, 0.5), (0, 1)],
    "n_folds": [1],
    "n_hidden": [0, 10**7, 10**20],
    "n_latent": [0, 10**7, 10**20],
    "n_layers": [0, 10**8],
    "n_metacells": [0],
    "n_neighbors": [0],
    "n_rounds": [0, 10**20],
    "n_spatial_neighbors": [0, 10**8],
    "n_steps": [0, -3],
    "penalty": [0, -1],
    "residual_weight": [-1, 1e300],
    "retraining_epochs": [-1],
    "ridge": [-1, float("inf"), 1e300],
    "similarity_weight": [-1, 1e300],
    "weight_decay": [-1, 1e38],
}
CASES = [
    (recipe, name, value)
    for recipe in sorted(RECIPES)
    for name in RECIPES[recipe]().hyperparameters()
    for value in WRONG.get(name, [])
]


@pytest.mark.parametrize(("name_of_recipe", "name", "value"), CASES)
def test_hyperparameters_that_make_no_sense(pair, name_of_recipe, name, value):
    with pytest.raises(ValueError, match=f"`{name}` is .*; expected"):
        fit(*pair, name_of_recipe, **{name: value})


def test_every_hyperparameter_that_is_a_number_has_wrong_values(recipe):
    for name, value in RECIPES[recipe]().hyperparameters().items():
        assert name in WRONG or isinstance(value, bool), name


@pytest.mark.needs("relations")
def test_an_unknown_relation(pair, recipe):
    with pytest.raises(KeyError, match=r"no relation .*string.*protein.*add_gene_network"):
        StImputeModel(*pair, recipe=recipe, relations="string")


def test_a_model_that_is_not_trained(pair, recipe):
    model = StImputeModel(*pair, recipe=recipe)
    calls = (model.impute, model.gene_reliability, model.get_latent_representation, model.get_neighbors)
    for call in (*calls, lambda: model.transfer_labels("cell_type")):
        with pytest.raises(RuntimeError, match=r"not trained.*model\.train\(\)"):
            call()


# ---------------------------------------------------------------- train

TRAIN = [
    ("seed", -1, ValueError, "`seed` is -1; expected at least 0"),
    ("seed", 2**32, ValueError, "`seed` is 4294967296; expected at most 4294967295"),
    ("seed", 1.5, TypeError, "`seed` is 1.5; expected an integer"),
    ("seed", True, TypeError, "`seed` is True; expected an integer"),
    ("plan_kwargs", [1], TypeError, "`plan_kwargs` is a list; expected a dict"),
    (
        "plan_kwargs",
        {"learning_rate": 0.1},
        TypeError,
        r"`plan_kwargs` has 'learning_rate', which .*TrainingPlan.*`lr`",
    ),
    ("plan_kwargs", {"weight_deca": 0.1}, TypeError, r"has 'weight_deca', .*Did you mean weight_decay\?"),
    ("plan_kwargs", {"lr": "high"}, TypeError, "`lr` is 'high'; expected a number"),
    ("plan_kwargs", {"lr": -1.0}, ValueError, "`lr` is -1.0; expected at least 0"),
    ("plan_kwargs", {"lr": float("nan")}, ValueError, "`lr` is nan; expected at least 0"),
    ("plan_kwargs", {"weight_decay": float("inf")}, ValueError, "`weight_decay` is inf; expected a finite number"),
    ("plan_kwargs", {"lr": 1e38}, ValueError, r"`lr` is 1e\+38; expected at most 1000000"),
    ("plan_kwargs", {"weight_decay": 1e300}, ValueError, r"`weight_decay` is 1e\+300; expected at most 1000000"),
    ("early_stopping", "yes", TypeError, "`early_stopping` is 'yes'; expected True or False"),
    ("devices", 99, ValueError, r"`devices` is 99; expected 1, .*trains on one device"),
    ("devices", -1, ValueError, "`devices` is -1; expected 1"),
    ("devices", [0, 1], ValueError, r"`devices` is \[0, 1\]; expected 1"),
]


@pytest.mark.parametrize(("argument", "value", "error", "message"), TRAIN)
def test_arguments_of_train_that_make_no_sense(pair, argument, value, error, message):
    model = StImputeModel(*pair)
    with pytest.raises(error, match=message):
        model.train(**{**QUIET, argument: value})
    assert not model.is_trained_


# ---------------------------------------------------------------- load


@pytest.mark.parametrize("argument", ["adata", "reference"])
def test_a_path_where_data_are_expected(saved, pair, argument):
    data = {"adata": pair[0], "reference": pair[1], argument: "cells.h5ad"}
    with pytest.raises(TypeError, match=rf"`{argument}` is a str; expected an AnnData.*anndata\.read_h5ad\(path\)"):
        StImputeModel.load(saved, **data, accelerator="cpu")


# ---------------------------------------------------------------- impute


def test_unknown_genes_with_their_nearest_spelling(model):
    for call in (model.impute, model.gene_reliability, model.check_request):
        with pytest.raises(KeyError, match=r"2 gene\(s\) are not in the reference.*gene40.*did you mean Gene40.*Xyz"):
            call(genes=["Gene03", "gene40", "Xyz"])


@pytest.mark.parametrize(("genes", "message"), [([], "`genes` is empty"), (["Gene03", "Gene03"], "repeats Gene03")])
def test_lists_of_genes_that_make_no_sense(model, genes, message):
    for call in (model.impute, model.gene_reliability, model.check_request):
        with pytest.raises(ValueError, match=message):
            call(genes=genes)


def test_genes_that_are_no_names(model):
    for call in (model.impute, model.gene_reliability, model.check_request):
        with pytest.raises(TypeError, match="`genes` is 5; expected a name or a list of names"):
            call(genes=5)


def test_an_interval_or_a_store_of_another_type(model):
    with pytest.raises(TypeError, match="`interval` is 'wide'; expected a probability"):
        model.impute(genes=["Gene40"], interval="wide")
    with pytest.raises(TypeError, match="`out` is 5; expected the path of a zarr store"):
        model.impute(genes=["Gene40"], out=5)


@pytest.mark.parametrize("wrong", [["Gene40"], "section.h5ad"])
def test_something_else_than_a_section(model, wrong):
    """The first argument of `impute` is not the genes."""
    for call in (model.impute, lambda adata: model.check_request(adata=adata)):
        with pytest.raises(TypeError, match=rf"`adata` is a {type(wrong).__name__}; expected an AnnData.*genes="):
            call(wrong)


@pytest.mark.parametrize("interval", [0, 1, 1.5, -0.1, np.nan])
def test_impossible_intervals(model, interval, tmp_path):
    with pytest.raises(ValueError, match="`interval` is.*between 0 and 1"):
        model.impute(genes=["Gene40"], interval=interval, out=tmp_path / "x.zarr")
    assert not list(tmp_path.iterdir())


def test_an_unknown_variance(model):
    with pytest.raises(ValueError, match=r"`variance` is 'wide'; expected \"shrunken\" or \"matched\""):
        model.impute(genes=["Gene40"], variance="wide")


def test_every_gene_is_measured(recipe):
    spatial, reference = small_pair(proteins=False, n_unmeasured=0)
    model = fit(*set_up(spatial, reference), recipe)
    for call in (model.impute, model.gene_reliability):
        with pytest.raises(ValueError, match="Every gene of the reference is measured"):
            call(progress=False)
    assert model.impute(genes=["Gene03"], progress=False).n_vars == 1


@pytest.mark.parametrize("batch_size", [0, -1])
def test_impossible_batch_sizes(model, batch_size, tmp_path):
    for out in (None, tmp_path / "x.zarr"):
        with pytest.raises(ValueError, match=f"`batch_size` is {batch_size}; expected at least 1"):
            model.impute(genes=["Gene40"], batch_size=batch_size, out=out, progress=False)
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------- data that were changed in place after setup


def upper_case(adata):
    adata.var_names = adata.var_names.str.upper()


def filter_genes(adata):
    adata._inplace_subset_var(adata.var_names[3:])


def normalize(adata):
    adata.X = sparse.csr_matrix(np.log1p(1e4 * adata.X.toarray() / adata.X.sum(1)))


def scale(adata):
    x = adata.X.toarray()
    adata.X = (x - x.mean(0)) / np.maximum(x.std(0), 1e-6)


CHANGES = [
    (upper_case, r"24 of them are not in this AnnData \(24 genes\)"),
    (filter_genes, r"3 of them are not in this AnnData \(21 genes\)"),
    (normalize, r"raw counts.*not an integer.*layer="),
    (scale, "negative.*before any scaling"),
]


@pytest.fixture
def loaded(saved, pair):
    """A trained model on data of its own, which tests may change."""
    return StImputeModel.load(saved, bare(pair[0]), bare(pair[1]), accelerator="cpu")


@pytest.mark.parametrize(("change", "message"), CHANGES)
def test_spatial_data_that_were_changed_after_setup(loaded, change, message):
    change(loaded.adata)
    with pytest.raises(ValueError, match=message):
        loaded.train(**QUIET)
    with pytest.raises(ValueError, match=message):
        loaded.impute(genes=["Gene40"], progress=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (upper_case, "Found 0 genes.*case, punctuation and versions are ignored"),
        (normalize, r"raw counts.*not an integer.*layer="),
        (scale, "negative.*before any scaling"),
    ],
)
@pytest.mark.parametrize("which", [0, 1])
def test_data_that_were_changed_between_setup_and_model(fresh, recipe, change, message, which):
    set_up(*fresh)
    change(fresh[which])
    with pytest.raises(ValueError, match=message):
        StImputeModel(*fresh, recipe=recipe)


def change_vectors(adata):
    adata.varm["protein"][:] = adata.varm["protein"][::-1]
    adata.var["has_protein"] = False


@pytest.mark.parametrize("change", [upper_case, filter_genes, normalize, scale, change_vectors])
def test_a_reference_that_is_changed_later_changes_nothing(loaded, imputed, change):
    """The model has read it when it was made or loaded, and need not read it again."""
    change(loaded.reference)
    after = loaded.impute(genes=list(imputed.var_names), progress=False)
    np.testing.assert_array_equal(values(after), values(imputed))
    assert after.var.equals(imputed.var)


# ---------------------------------------------------------------- memory and disk


def test_a_result_that_does_not_fit(model, monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=2**13))
    with pytest.raises(MemoryError, match=r"150 cells × 20 genes.*GiB.*`genes=`.*`out=\"imputed\.zarr\"`"):
        model.impute(progress=False)


def test_streaming_to_disk_gives_the_same(model, imputed, pair, tmp_path, monkeypatch):
    with monkeypatch.context() as tight:
        tight.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=2**13))
        result = model.impute(genes=list(imputed.var_names), out=tmp_path / "x.zarr", batch_size=32, progress=False)
    assert result.shape == imputed.shape
    back = anndata.read_zarr(tmp_path / "x.zarr")
    for lazy_or_not in (result.to_memory(), back):
        np.testing.assert_allclose(values(lazy_or_not), imputed.X, atol=1e-5)
        assert lazy_or_not.X.dtype == np.float32
    assert list(back.var_names) == list(imputed.var_names)
    assert list(back.obs_names) == list(imputed.obs_names)
    assert list(back.var.columns) == list(imputed.var.columns)
    np.testing.assert_allclose(back.obsm["spatial"], pair[0].obsm["spatial"])
    assert back.uns["stimpute"]["units"] == imputed.uns["stimpute"]["units"]


@pytest.mark.needs("intervals")
def test_intervals_are_streamed_too(model, tmp_path):
    model.impute(genes=["Gene40", "Gene07"], interval=0.8, out=tmp_path / "x.zarr", progress=False)
    memory = model.impute(genes=["Gene40", "Gene07"], interval=0.8, progress=False)
    back = anndata.read_zarr(tmp_path / "x.zarr")
    for name in ("lower", "upper"):
        np.testing.assert_allclose(back.layers[name], memory.layers[name], atol=1e-5)


def test_streaming_does_not_overwrite(model, tmp_path):
    (tmp_path / "x.zarr").mkdir()
    with pytest.raises(FileExistsError, match=r"x\.zarr exists.*out="):
        model.impute(genes=["Gene40"], out=str(tmp_path / "x.zarr"), progress=False)
    assert (tmp_path / "x.zarr").exists()


def test_streaming_one_cell(model, pair, tmp_path):
    model.impute(bare(pair[0][:1]), genes=["Gene40"], out=tmp_path / "x.zarr", progress=False)
    assert anndata.read_zarr(tmp_path / "x.zarr").shape == (1, 1)
    assert pair[0].n_obs == N_CELLS


# ---------------------------------------------------------------- every argument of every public call


def named_arguments():
    """List all arguments of all public calls that have a name."""
    for name in public_calls.CALLS:
        for parameter in inspect.signature(public_calls.function_of(name)).parameters.values():
            is_variable = parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
            if parameter.name != "self" and not is_variable:
                yield name, parameter.name


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return public_calls.World.make(tmp_path_factory.mktemp("world"))


@pytest.mark.parametrize(("name", "argument"), named_arguments())
def test_an_argument_that_is_nothing_known_is_named(world, name, argument):
    """Nothing is computed, and no other package is asked, with what has no meaning."""
    arguments = public_calls.CALLS[name](world) | {argument: object()}
    with pytest.raises((TypeError, ValueError), match=f"`{argument}`") as caught:
        public_calls.call(name, world, arguments)
    assert "stimpute" in caught.traceback[-1].path.parts

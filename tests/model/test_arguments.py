"""Every public argument of the model's methods changes something."""

import inspect
import io

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import rich
from lightning.fabric.utilities.exceptions import MisconfigurationException
from mudata import MuData
from rich.console import Console
from small import bare, fit, set_up, small_pair, values

from stimpute import StImputeModel, pp
from stimpute.recipes import RECIPES, CrossfitRecipe

# Where each argument is tested: in this file, or in the file that is named.
TESTED = {
    "__init__": {
        "spatial": "test_slices",
        "reference": "here",
        "registry": "test_persist",  # load passes it
        "recipe": "test_contract",
        "relations": "here",
        "recipe_kwargs": "here",
    },
    "setup_anndata": {
        "adata": "test_setup",
        "layer": "here",
        "batch_key": "here",
        "spatial_key": "here",
        "expression": "here",
        "gene_symbols": "test_contract",
        "dataset_key": "test_several_references",
        "kwargs": "test_persist",  # of scvi-tools, when a saved setup is repeated
    },
    "setup_mudata": {
        "mdata": "test_contract",
        "spatial": "test_contract",
        "reference": "test_contract",
        "spatial_setup": "here",
        "reference_setup": "here",
    },
    "from_mudata": {
        "mdata": "test_contract",
        "spatial": "test_contract",
        "reference": "test_contract",
        "model_kwargs": "here",
    },
    "train": {
        "max_epochs": "test_training",
        "accelerator": "here",
        "devices": "here",
        "batch_size": "here",
        "early_stopping": "test_training",
        "max_cells": "test_training",
        "seed": "test_contract",
        "plan_kwargs": "test_training",
        "trainer_kwargs": "test_training",
    },
    "impute": {
        "adata": "test_slices",
        "genes": "test_contract",
        "interval": "test_contract",
        "variance": "test_contract",
        "out": "test_result",
        "lazy": "test_dask",
        "batch_size": "here",
        "progress": "here",
    },
    "check_request": {
        "genes": "test_contract",
        "interval": "test_contract",
        "variance": "test_contract",
        "adata": "test_contract",
    },
    "estimate": {"n_cells": "test_dask", "n_genes": "test_dask", "interval": "test_dask"},
    "gene_reliability": {"genes": "test_contract", "progress": "here"},
    "get_latent_representation": {
        "adata": "test_cells",
        "indices": "test_cells",
        "dataset": "test_cells",
        "batch_size": "test_cells",
    },
    "get_explained": {"adata": "test_explained"},
    "get_anndata_manager": {"adata": "test_persist", "required": "test_persist"},
    "get_neighbors": {"adata": "here", "n_neighbors": "test_cells"},
    "transfer_labels": {"key": "here", "adata": "here", "n_neighbors": "test_cells"},
    "save": {
        "dir_path": "test_persist",
        "prefix": "test_persist",
        "overwrite": "test_persist",
        "save_anndata": "test_persist",
        "args": "here",
        "save_reference": "test_persist",
        "kwargs": "here",
    },
    "load": {
        "dir_path": "test_persist",
        "adata": "test_persist",
        "reference": "test_persist",
        "accelerator": "here",
        "device": "here",
        "prefix": "test_persist",
        "kwargs": "here",
    },
    "release": {"datasets": "test_setup"},
    "to_device": {"device": "test_training"},
}
GENES = ["Gene40", "Gene07", "Gene03"]


@pytest.mark.parametrize("method", TESTED)
def test_every_argument_is_tested(method):
    arguments = inspect.signature(getattr(StImputeModel, method)).parameters.keys() - {"self"}
    assert arguments == TESTED[method].keys()


def test_every_public_method_is_listed():
    classes = [cls for cls in StImputeModel.__mro__ if cls.__module__.startswith("stimpute.")]
    defined = [item for cls in classes for item in vars(cls).items()]
    own = {name for name, value in defined if callable(value) or isinstance(value, classmethod)}
    public = {name for name in own if not name.startswith("_")} | {"__init__"}
    internal = {"predictor", "complete", "registered_as_before", "registered_setup"}  # for the rest of the package
    assert public - internal == TESTED.keys()


@pytest.fixture(scope="module")
def crossfit(pair):
    """A trained model of the recipe that can do most."""
    return fit(*pair, "crossfit")


def predicted(spatial, reference, train=None, **kwargs):
    model = fit(spatial, reference, "crossfit", train, **kwargs)
    return values(model.impute(genes=GENES, progress=False))


# ---------------------------------------------------------------- setup


@pytest.fixture(scope="module")
def plain(crossfit):
    return values(crossfit.impute(genes=GENES, progress=False))


def other_layer(adata):
    adata.layers["other"] = np.ceil(adata.X.toarray() / 2)
    return {"layer": "other"}


def other_batches(adata):
    adata.obs["section"] = np.arange(adata.n_obs) % 2  # neighbors are of the same section
    return {"batch_key": "section"}


def other_positions(adata):
    adata.obsm["other"] = np.random.default_rng(0).permutation(adata.obsm["spatial"])
    return {"spatial_key": "other"}


def normalized_values(adata):
    adata.X = (adata.X / 100).sqrt()
    return {"expression": "normalized"}


@pytest.mark.parametrize("change", [other_layer, other_batches, other_positions, normalized_values])
def test_arguments_of_setup(plain, change):
    spatial, reference = small_pair()
    assert not np.allclose(predicted(*set_up(spatial, reference, **change(spatial))), plain)


@pytest.mark.parametrize("change", [other_layer, normalized_values])
def test_arguments_of_the_setup_of_the_reference(plain, change):
    spatial, reference = small_pair()
    StImputeModel.setup_anndata(spatial)
    StImputeModel.setup_anndata(reference, **change(reference))
    assert not np.allclose(predicted(spatial, reference), plain)


def test_arguments_of_the_setup_of_a_mudata(pair):
    mdata = MuData({"spatial": bare(pair[0]), "rna": bare(pair[1])})
    for name in ("spatial", "rna"):
        other_layer(mdata[name])
    StImputeModel.setup_mudata(mdata, spatial_setup={"layer": "other"}, reference_setup={"layer": "other"})
    model = StImputeModel.from_mudata(mdata, recipe="paper", n_neighbors=11)
    assert model.spatial_setup["layer"] == model.reference_setup["layer"] == "other"
    assert model.recipe.n_neighbors == 11


def test_a_mudata_in_place_of_its_modality_is_told(pair):
    mdata = MuData({"spatial": bare(pair[0]), "rna": bare(pair[1])})
    model = fit(*pair, "linear")
    for method in (model.impute, model.get_latent_representation, pp.measured_expression):
        with pytest.raises(TypeError, match=r'is a MuData; expected an AnnData. Pass one of its modalities: `mdata\["'):
            method(mdata)


# ---------------------------------------------------------------- the model and its recipe


def test_another_reference_changes_the_prediction(pair, plain):
    other = bare(pair[1][50:])
    StImputeModel.setup_anndata(other)
    assert not np.allclose(predicted(pair[0], other), plain)


@pytest.mark.parametrize("relations", [[], ["coexpression"], ["protein"], "protein"])
def test_relations_change_the_prediction(pair, plain, relations):
    assert not np.allclose(predicted(*pair, relations=relations), plain)


# Another value of every hyperparameter.
OTHER = {
    "alpha": 0.2,
    "autoencoder_epochs": 1,
    "autoencoder_lr": 0.1,
    "batch_size": 20,
    "error_weight": 3,
    "graph_epochs": 1,
    "lr": 0.002,
    "mask_genes": False,
    "masked_share": (0.5, 0.6),
    "max_exact_genes": 10,
    "n_components": 3,
    "n_folds": 3,
    "n_hidden": 5,
    "n_latent": 5,
    "n_layers": 1,
    "n_metacells": 20,
    "n_neighbors": 20,
    "n_rounds": 1,
    "n_spatial_neighbors": 3,
    "n_steps": 10,
    "normalize_nodes": True,
    "penalty": 2.0,
    "residual_weight": 5.0,
    "retraining_epochs": 1,
    "ridge": 5.0,
    "similarity_weight": 0.1,
    "use_attention": False,
    "use_space": False,
    "weight_decay": 1.0,
}
CASES = [(name, field) for name in sorted(RECIPES) for field in RECIPES[name]().hyperparameters()]


@pytest.fixture(scope="module")
def with_defaults():
    """Predictions of all genes by each recipe with its defaults, and a function to make others."""
    pair = set_up(*small_pair(n_cells=60, n_reference=60, n_measured=12, n_unmeasured=5))

    def impute(recipe, **hyperparameters):
        model = fit(*pair, recipe, **hyperparameters)
        return model.impute(genes=list(pair[1].var_names), progress=False)

    return impute, {recipe: impute(recipe) for recipe in RECIPES}


@pytest.mark.parametrize(("name", "field"), CASES)
@pytest.mark.filterwarnings("ignore:`max_epochs`")  # fewer steps are fewer epochs than asked for
@pytest.mark.slow
def test_every_hyperparameter_changes_the_prediction(with_defaults, name, field):
    impute, results = with_defaults
    before = results[name]
    options = {}
    if field == "n_components":  # which large panels have
        options = {"max_exact_genes": OTHER["max_exact_genes"]}
        before = impute(name, **options)
    result = impute(name, **options, **{field: OTHER[field]})
    assert not np.array_equal(result.X, before.X)


# ---------------------------------------------------------------- train


def test_the_batch_size_of_training_changes_the_prediction(pair, plain):
    assert not np.array_equal(predicted(*pair, {"batch_size": 7}), plain)


@pytest.mark.parametrize("options", [{"accelerator": "nowhere"}, {"accelerator": "cpu", "devices": "0"}])
def test_accelerator_and_devices_reach_lightning(pair, options):
    with pytest.raises((ValueError, TypeError, MisconfigurationException), match=r"devices=|nowhere"):
        fit(*pair, "crossfit", options)


# ---------------------------------------------------------------- impute and describe


def test_the_batch_size_of_impute_is_the_number_of_cells_per_chunk(crossfit, monkeypatch):
    sizes = []
    encoder = type(crossfit.predictor().cell_encoder(None))
    encode = encoder.encode

    def spy(self, chunk):
        sizes.append(len(chunk))
        return encode(self, chunk)

    monkeypatch.setattr(encoder, "encode", spy)
    crossfit.impute(genes=["Gene40"], batch_size=64, progress=False)
    assert sorted(sizes) == [22, 64, 64]


@pytest.mark.parametrize("method", ["impute", "gene_reliability"])
def test_progress_draws_a_bar_on_a_terminal(crossfit, monkeypatch, method):
    for progress in (True, False):
        console = Console(file=io.StringIO(), force_terminal=True)
        monkeypatch.setattr(rich, "_console", console)
        getattr(crossfit, method)(genes=GENES, progress=progress)
        assert ("genes" in console.file.getvalue() or "impute" in console.file.getvalue()) == progress


def test_cells_of_another_section_have_other_neighbors_and_labels(crossfit, pair):
    part = bare(pair[0][100:])
    index, cosine = crossfit.get_neighbors(part)
    np.testing.assert_array_equal(index, crossfit.get_neighbors()[0][100:])
    assert cosine.shape == (50, 50)
    expected = crossfit.transfer_labels("cell_type").iloc[100:]
    pd.testing.assert_frame_equal(crossfit.transfer_labels("cell_type", part), expected, rtol=1e-4)


def test_another_key_gives_other_labels(crossfit, pair, tmp_path):
    reference = bare(pair[1])
    reference.obs["half"] = np.where(np.arange(reference.n_obs) % 2, "odd", "even")
    crossfit.save(tmp_path / "model")
    model = StImputeModel.load(tmp_path / "model", pair[0], reference, accelerator="cpu")
    assert set(model.transfer_labels("half")["label"]) <= {"odd", "even"}
    assert set(model.transfer_labels("cell_type")["label"]) <= set(pair[1].obs["cell_type"])


# ---------------------------------------------------------------- save and load


def test_arguments_of_scvi_tools_reach_it(crossfit, tmp_path):
    crossfit.save(tmp_path / "by_name", save_anndata=True, compression="gzip")
    crossfit.save(tmp_path / "by_position", None, False, False, {"pickle_protocol": 4})
    plain = tmp_path / "plain"
    crossfit.save(plain, save_anndata=True)
    with h5py.File(tmp_path / "by_name" / "adata.h5ad") as file:
        assert file["X/data"].compression == "gzip"
    assert anndata.read_h5ad(tmp_path / "by_name" / "adata.h5ad").shape == crossfit.adata.shape
    assert (tmp_path / "by_position" / "model.pt").read_bytes() != (plain / "model.pt").read_bytes()
    with pytest.raises(TypeError, match="no_such_option"):
        StImputeModel.load(plain, no_such_option=1)


@pytest.mark.parametrize("options", [{"accelerator": "nowhere"}, {"accelerator": "cpu", "device": "nowhere"}])
def test_accelerator_and_device_reach_scvi_tools(crossfit, tmp_path, options):
    crossfit.save(tmp_path / "model", save_anndata=True, save_reference=True)
    with pytest.raises((ValueError, TypeError), match="accelerator|device|nowhere"):
        StImputeModel.load(tmp_path / "model", **options)


def test_a_recipe_instance_and_hyperparameters_may_be_combined(pair):
    model = StImputeModel(*pair, recipe=CrossfitRecipe(n_folds=3), n_latent=9)
    assert (model.recipe.n_folds, model.recipe.n_latent) == (3, 9)
    assert model.recipe == CrossfitRecipe(n_folds=3, n_latent=9)

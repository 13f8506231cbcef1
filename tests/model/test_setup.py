"""Registering data with scvi-tools, and letting go of them."""

import gc
import warnings
import weakref

import numpy as np
import pytest
from small import QUIET, bare, can, fit, set_up, small_pair, values

from stimpute import StImputeModel, tl


@pytest.fixture
def own_pair():
    """Data of one test, set up, that the registry forgets afterwards."""
    data = set_up(*small_pair())
    yield data
    StImputeModel.release(*data)


def stored(adata):
    """Whether any store of scvi-tools refers to an AnnData."""
    stores = [StImputeModel._setup_adata_manager_store, *StImputeModel._per_instance_manager_store.values()]
    return any(manager.adata is adata for store in stores for manager in store.values())


def stored_by_instances(adata):
    stores = StImputeModel._per_instance_manager_store.values()
    return any(manager.adata is adata for store in stores for manager in store.values())


# ---------------------------------------------------------------- registration


def test_setup_arguments_are_read_back_from_the_model(fresh, recipe):
    spatial, reference = fresh
    spatial.layers["raw"] = spatial.X.copy()
    spatial.obs["section"] = "a"
    spatial.obsm["xy"] = spatial.obsm.pop("spatial")
    spatial.var["symbol"] = spatial.var_names
    setup = {"layer": "raw", "batch_key": "section", "spatial_key": "xy", "gene_symbols": "symbol"}
    StImputeModel.setup_anndata(spatial, **setup)
    StImputeModel.setup_anndata(reference)
    model = StImputeModel(spatial, reference, recipe=recipe)
    assert model.spatial_setup == {**setup, "expression": "counts", "dataset_key": None}
    assert model.reference_setup["layer"] is None


def test_a_copy_does_not_replace_the_original(own_pair):
    spatial, reference = own_pair
    copy = spatial.copy()
    StImputeModel.setup_anndata(copy)
    assert copy.uns["_scvi_uuid"] != spatial.uns["_scvi_uuid"]
    assert StImputeModel(spatial, reference).adata is spatial
    assert StImputeModel(copy, reference).adata is copy
    StImputeModel.release(copy)


def test_one_anndata_may_be_set_up_again_in_another_way(own_pair, recipe):
    spatial, reference = own_pair
    first = StImputeModel(spatial, reference, recipe=recipe)
    spatial.obs["section"] = np.where(np.arange(spatial.n_obs) < 75, "a", "b")
    StImputeModel.setup_anndata(spatial, batch_key="section")
    second = StImputeModel(spatial, reference, recipe=recipe)
    assert first.spatial_setup["batch_key"] is None
    assert second.spatial_setup["batch_key"] == "section"
    for model in (first, second):
        model.train(**QUIET)
        assert np.isfinite(model.impute(genes=["Gene40"], progress=False).X).all()


def test_spatial_data_and_reference_may_be_set_up_in_any_order(imputed, recipe):
    spatial, reference = small_pair()
    StImputeModel.setup_anndata(reference)
    StImputeModel.setup_anndata(spatial)
    result = fit(spatial, reference, recipe).impute(genes=list(imputed.var_names), progress=False)
    np.testing.assert_array_equal(result.X, imputed.X)
    StImputeModel.release(spatial, reference)


# ---------------------------------------------------------------- letting go


def test_the_reference_is_freed_with_the_model(own_pair, recipe):
    """Without a search for cycles, before which Python may let many models pile up."""
    model = fit(*own_pair, recipe)
    model.impute(genes=["Gene40"], progress=False)
    expression = weakref.ref(model.data.need_reference().reference.expression)
    gc.disable()
    try:
        del model
        assert expression() is None
    finally:
        gc.enable()


@pytest.mark.slow
def test_a_deleted_model_leaves_no_data_behind(own_pair, recipe, tmp_path):
    spatial, reference = own_pair
    model = fit(spatial, reference, recipe)
    model.impute(bare(spatial[:20]), genes=["Gene40"], progress=False)
    model.save(tmp_path / "model")
    loaded = StImputeModel.load(tmp_path / "model", spatial, reference, accelerator="cpu")
    identifiers = {model.id, loaded.id}
    assert identifiers <= StImputeModel._per_instance_manager_store.keys()
    assert stored_by_instances(spatial)
    del model, loaded
    gc.collect()
    assert not identifiers & StImputeModel._per_instance_manager_store.keys()
    assert not stored_by_instances(spatial)
    assert not stored_by_instances(reference)


def test_loading_a_model_leaves_the_setup_of_the_user(pair, saved):
    spatial = bare(pair[0])
    spatial.obs["section"] = np.where(np.arange(spatial.n_obs) < 75, "a", "b")
    StImputeModel.setup_anndata(spatial, batch_key="section")
    loaded = StImputeModel.load(saved, spatial, pair[1], accelerator="cpu")
    assert loaded.spatial_setup["batch_key"] is None
    model = StImputeModel(spatial, pair[1])
    assert model.spatial_setup["batch_key"] == "section"
    assert loaded.adata is model.adata is spatial
    StImputeModel.release(spatial)


def test_data_of_a_loaded_model_are_freed_with_it(pair, saved):
    spatial = bare(pair[0])
    model = StImputeModel.load(saved, spatial, bare(pair[1]), accelerator="cpu")
    assert np.isfinite(model.impute(genes="Gene40", progress=False).X).all()
    watched = weakref.ref(spatial)
    del model, spatial
    gc.collect()
    assert watched() is None


def test_a_model_that_cannot_be_made_leaves_no_data_behind(own_pair):
    spatial, reference = own_pair
    wrong = [
        lambda: StImputeModel(spatial),
        lambda: StImputeModel(spatial, reference, relations="nowhere"),
        lambda: StImputeModel(spatial, reference, recipe="nowhere"),
    ]
    for call in wrong:
        with pytest.raises((KeyError, ValueError)):
            call()
    gc.collect()
    assert not stored_by_instances(spatial)


@pytest.mark.slow
def test_released_data_can_be_freed(recipe):
    data = set_up(*small_pair())
    model = fit(*data, recipe)
    watched = [weakref.ref(adata) for adata in data]
    assert all(stored(adata) for adata in data)
    StImputeModel.release(*data)
    assert not any(stored(adata) for adata in data)
    del model, data
    gc.collect()
    assert [watch() for watch in watched] == [None, None]


@pytest.mark.slow
def test_a_model_goes_on_working_when_its_data_are_released(imputed, recipe, tmp_path):
    spatial, reference = set_up(*small_pair())
    model = fit(spatial, reference, recipe)
    StImputeModel.release(spatial, reference)
    genes = list(imputed.var_names)
    np.testing.assert_array_equal(values(model.impute(genes=genes, progress=False)), imputed.X)
    assert model.adata is spatial
    model.save(tmp_path / "model", save_anndata=True, save_reference=True)
    model.train(**QUIET)
    np.testing.assert_array_equal(values(model.impute(genes=genes, progress=False)), imputed.X)
    loaded = StImputeModel.load(tmp_path / "model", accelerator="cpu")
    np.testing.assert_array_equal(values(loaded.impute(genes=genes, progress=False)), imputed.X)


def test_releasing_what_was_never_set_up_does_nothing(fresh, pair):
    StImputeModel.release(*fresh, pair[0].copy())
    assert all(stored(adata) for adata in pair)


def test_released_data_must_be_set_up_again(fresh):
    StImputeModel.release(*set_up(*fresh))
    with pytest.raises(ValueError, match="setup_anndata"):
        StImputeModel(*fresh)
    StImputeModel(*set_up(*fresh))


def test_training_without_positions_is_said_unless_it_was_asked_for(fresh, recipe):
    spatial, reference = fresh
    del spatial.obsm["spatial"]
    set_up(spatial, reference)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(spatial, reference, recipe)
    told = [str(warning.message) for warning in caught if "without the positions" in str(warning.message)]
    assert len(told) == (1 if can(recipe, "uses_space") else 0)
    set_up(spatial, reference, spatial_key=None)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", ".*without the positions")
        fit(spatial, reference, recipe)


def test_the_array_of_the_user_stays_in_its_place():
    """Also one in the order of Fortran, which scvi-tools would copy."""
    spatial = small_pair(proteins=False)[0]
    spatial.X = np.asfortranarray(spatial.X.toarray())
    array = spatial.X
    StImputeModel.setup_anndata(spatial)
    assert spatial.X is array


def test_names_in_a_column_named_gene_id_can_be_written(tmp_path):
    spatial, reference = small_pair(proteins=False)
    for adata in (spatial, reference):
        adata.var["gene_id"] = [f"ENS{name}" for name in adata.var_names]
        StImputeModel.setup_anndata(adata, gene_symbols="gene_id")
    model = fit(spatial, reference, "crossfit", {"max_epochs": 1})
    imputed = model.impute(progress=False)
    imputed.write_h5ad(tmp_path / "imputed.h5ad")
    tl.join_measured(spatial, imputed).write_h5ad(tmp_path / "joined.h5ad")
    written = model.impute(out=tmp_path / "imputed.zarr", progress=False)
    assert written.var_names[0].startswith("ENS")


def test_a_mask_in_place_of_names_is_refused(model):
    imputed = model.impute(progress=False)
    with pytest.raises(TypeError, match=r"`genes` has .*(True|False).*; expected names, .*is_wanted\]"):
        model.impute(genes=imputed.var["reliability"] > 0, progress=False)
    with pytest.raises(TypeError, match="`genes` has 0; expected names"):
        model.impute(genes=[0, 1], progress=False)

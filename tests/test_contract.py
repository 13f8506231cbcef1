"""What users may rely on, whatever the recipe."""

import copy
import gc
import inspect
import pickle
import random
import subprocess
import sys

import anndata
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import public_calls
import pytest
import torch
from mudata import MuData
from scipy import sparse
from small import (
    N_CELLS,
    N_MEASURED,
    N_UNMEASURED,
    QUIET,
    bare,
    can,
    content,
    fit,
    impute_saved,
    set_up,
    shuffled_genes,
    small_pair,
    values,
)

from stimpute import StImputeModel, __version__
from stimpute.data._annotations import layers_by_name
from stimpute.recipes import get_recipe

# ---------------------------------------------------------------- the result


def test_every_gene_that_is_not_measured_is_imputed(model, pair):
    spatial, reference = pair
    result = model.impute(progress=False)
    assert result.shape == (N_CELLS, N_UNMEASURED)
    assert list(result.var_names) == [gene for gene in reference.var_names if gene not in spatial.var_names]
    assert list(result.obs_names) == list(spatial.obs_names)
    assert result.X.dtype == np.float32
    assert np.isfinite(result.X).all()
    assert (result.X >= 0).all()
    assert (np.ptp(result.X, axis=0) > 0).any()


def test_the_gene_table_has_one_row_per_gene(imputed, pair):
    spatial, reference = pair
    assert {"reliability", "measured", "has_protein", "n_edges"} <= set(imputed.var)
    assert list(imputed.var_names) == list(reference.var_names)
    assert (imputed.var["measured"] == imputed.var_names.isin(spatial.var_names)).all()
    assert (imputed.var["has_protein"] == reference.var["has_protein"]).all()
    assert imputed.var["reliability"].between(-1, 1).all()
    assert pd.api.types.is_integer_dtype(imputed.var["n_edges"])
    assert imputed.var["n_edges"].between(1, N_MEASURED).all()


def test_the_result_says_how_it_was_made(imputed, model, recipe):
    about = imputed.uns["stimpute"]
    assert "log1p" in about["units"]
    assert about["recipe"] == recipe
    assert about["relations"] == model.relations
    assert about["reliability_metric"] == get_recipe(recipe).capabilities.reliability_metric
    assert about["variance"] == "shrunken"
    assert about["version"] == __version__
    assert "interval" not in about


def test_cells_are_described_as_before(imputed, pair):
    spatial, _ = pair
    assert list(imputed.obs) == ["cell_type", "domain"]
    pd.testing.assert_frame_equal(imputed.obs, spatial.obs[["cell_type", "domain"]])
    np.testing.assert_array_equal(imputed.obsm["spatial"], spatial.obsm["spatial"])
    assert not np.shares_memory(imputed.obsm["spatial"], spatial.obsm["spatial"])


def test_the_result_can_be_written_and_read(imputed, tmp_path):
    imputed.write_h5ad(tmp_path / "imputed.h5ad")
    back = anndata.read_h5ad(tmp_path / "imputed.h5ad")
    np.testing.assert_array_equal(back.X, imputed.X)
    assert back.uns["stimpute"]["units"] == imputed.uns["stimpute"]["units"]
    assert list(back.uns["stimpute"]["relations"]) == imputed.uns["stimpute"]["relations"]


def test_one_gene_may_be_a_string(model, imputed):
    gene = imputed.var_names[~imputed.var["measured"]][0]
    assert list(model.impute(genes=gene, progress=False).var_names) == [gene]


def test_gene_reliability_is_the_gene_table_of_the_result(model, imputed):
    table = model.gene_reliability(genes=list(imputed.var_names))
    pd.testing.assert_frame_equal(table, imputed.var)
    pd.testing.assert_frame_equal(model.gene_reliability(), model.impute(progress=False).var)


def test_read_only_properties_describe_the_model(model, pair, recipe):
    spatial, reference = pair
    assert model.adata is spatial
    assert model.reference is reference
    assert model.recipe.name == recipe
    assert model.recipe.capabilities == get_recipe(recipe).capabilities
    assert model.recipe.hyperparameters() == get_recipe(recipe)().hyperparameters()
    assert list(model.measured_genes) == list(spatial.var_names)
    assert list(model.reference_genes) == list(reference.var_names)
    assert list(model.shared_genes) == list(spatial.var_names)
    assert list(model.input_genes) == list(spatial.var_names)
    for genes in (model.measured_genes, model.reference_genes, model.shared_genes, model.input_genes):
        assert isinstance(genes, pd.Index)
    assert isinstance(model.relations, list)
    assert model.spatial_setup["spatial_key"] == "spatial"
    assert model.reference_setup["expression"] == "counts"
    assert model.reference_shape == reference.shape
    assert isinstance(model.fingerprint, str)
    assert model.is_trained
    for name in ("reference", "recipe", "shared_genes", "relations", "fingerprint", "reference_shape"):
        with pytest.raises(AttributeError):
            setattr(model, name, None)


# ---------------------------------------------------------------- what a value depends on


def test_a_value_does_not_depend_on_the_other_genes_asked_for(model, imputed):
    for genes in (["Gene40"], ["Gene07", "Gene03", "Gene30"], list(imputed.var_names[::-1])):
        result = model.impute(genes=genes, progress=False)
        assert list(result.var_names) == genes
        np.testing.assert_allclose(values(result), values(imputed, genes), rtol=1e-5, atol=1e-5)
        table = result.var[["reliability", "n_edges"]]
        pd.testing.assert_frame_equal(table, imputed.var.loc[genes, list(table)], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batch_size", [pytest.param(1, marks=pytest.mark.slow), 7, N_CELLS - 1, 10_000])
def test_a_value_does_not_depend_on_the_batch_size(model, imputed, batch_size):
    genes = list(imputed.var_names[::4])
    result = model.impute(genes=genes, batch_size=batch_size, progress=False)
    np.testing.assert_allclose(values(result), values(imputed, genes), rtol=1e-5, atol=1e-5)


def test_a_measured_gene_is_predicted_as_if_it_were_not(model, pair, recwarn):
    """Its own counts are nowhere in its prediction, not even in the totals of the cells."""
    for gene in pair[0].var_names[[0, 5, 11, 23]]:
        changed = bare(pair[0])
        counts = changed.X.toarray()
        counts[:, changed.var_names.get_loc(gene)] = np.random.default_rng(0).integers(0, 50, N_CELLS)
        changed.X = sparse.csr_matrix(counts)
        recwarn.clear()
        result = model.impute(changed, genes=[gene], progress=False)
        np.testing.assert_array_equal(values(result), values(model.impute(genes=[gene], progress=False)))
        assert not list(recwarn)


def test_other_measured_genes_do_matter(model, pair):
    changed = bare(pair[0])
    changed.X = sparse.csr_matrix(np.random.default_rng(0).permutation(changed.X.toarray()))
    a, b = (model.impute(data, genes=["Gene40"], progress=False) for data in (None, changed))
    assert not np.allclose(a.X, b.X)


FORMS = {
    "dense": lambda x: x.toarray(),
    "dense by column": lambda x: np.asfortranarray(x.toarray()),
    "CSC": sparse.csc_matrix,
    "sparse array": sparse.csr_array,
    "float64": lambda x: x.astype(np.float64),
    "int64": lambda x: x.astype(np.int64),
    "uint16": lambda x: x.toarray().astype(np.uint16),
    "stored zeros": lambda x: sparse.csr_matrix((x.data * 0, x.indices, x.indptr), x.shape) + x,
}


@pytest.mark.parametrize("form", FORMS)
def test_the_type_of_the_matrix_does_not_matter(model, imputed, pair, form):
    changed = bare(pair[0])
    changed.X = FORMS[form](changed.X)
    result = model.impute(changed, genes=["Gene40", "Gene07"], progress=False)
    np.testing.assert_allclose(values(result), values(imputed, ["Gene40", "Gene07"]), rtol=1e-5, atol=1e-5)


def test_cells_and_genes_in_another_order_give_the_same_values_in_that_order(model, imputed, pair, saved):
    order = np.random.default_rng(0).permutation(N_CELLS)
    genes = list(imputed.var_names[::-3])
    expected = values(imputed, genes)[order]
    section = shuffled_genes(bare(pair[0][order]))
    np.testing.assert_allclose(values(model.impute(section, genes=genes, progress=False)), expected, atol=1e-5)
    loaded = StImputeModel.load(saved, section, shuffled_genes(pair[1], seed=1), accelerator="cpu")
    np.testing.assert_allclose(values(loaded.impute(genes=genes, progress=False)), expected, atol=1e-5)


def test_a_saved_model_gives_the_same_bits_in_another_process(imputed, pair, saved, other_process):
    genes = list(imputed.var_names)
    found = other_process.submit(impute_saved, str(saved), *map(bare, pair), genes).result()
    np.testing.assert_array_equal(found, imputed.X)


@pytest.mark.needs("intervals")
def test_a_model_can_be_copied_and_pickled(imputed, saved, pair):
    genes = list(imputed.var_names)
    own = StImputeModel.load(saved, *map(bare, pair), accelerator="cpu")
    copies = copy.deepcopy(own), pickle.loads(pickle.dumps(own))
    del own
    gc.collect()
    for again in copies:
        np.testing.assert_array_equal(values(again.impute(genes=genes, progress=False)), imputed.X)


def test_the_same_seed_gives_the_same_model(imputed, pair, recipe):
    again = fit(*pair, recipe).impute(genes=list(imputed.var_names), progress=False)
    np.testing.assert_array_equal(again.X, imputed.X)
    other = fit(*pair, recipe, {"seed": 1}).impute(genes=list(imputed.var_names), progress=False)
    assert not np.array_equal(other.X, imputed.X)


# ---------------------------------------------------------------- the recipe


@pytest.mark.slow
def test_an_instance_of_a_recipe_is_its_name_and_hyperparameters(pair, imputed, recipe, tmp_path):
    instance = get_recipe(recipe)(n_folds=3)
    models = [
        fit(*pair, instance),
        fit(*pair, recipe, n_folds=3),
        fit(*pair, get_recipe(recipe)(), n_folds=3),
    ]
    models[0].save(tmp_path / "model")
    models.append(StImputeModel.load(tmp_path / "model", *pair, accelerator="cpu"))
    genes = ["Gene40", pair[0].var_names[0], pair[0].var_names[5]]
    results = [values(model.impute(genes=genes, progress=False)) for model in models]
    for model, result in zip(models, results, strict=True):
        assert model.recipe == instance
        np.testing.assert_array_equal(result, results[0])
    assert not np.array_equal(results[0], values(imputed, genes))


def test_an_instance_of_a_class_that_is_not_registered_is_refused(pair, recipe):
    """A saved model holds only the name, which would be that of another class."""

    class Changed(get_recipe(recipe)):
        pass

    with pytest.raises(ValueError, match="Changed is not registered.*register_recipe"):
        StImputeModel(*pair, recipe=Changed())


def test_what_a_recipe_declares_is_what_it_does(model, recipe):
    """Intervals, variance and latent space are there, or refused, as the capabilities say."""

    def check(is_able, call):
        if is_able:
            call()
        else:
            with pytest.raises(ValueError, match=f"recipe '{recipe}' has no"):
                call()

    check(can(recipe, "intervals"), lambda: model.impute(genes="Gene40", interval=0.9, progress=False))
    check(can(recipe, "variance_matching"), lambda: model.impute(genes="Gene40", variance="matched", progress=False))
    check(can(recipe, "latent_space"), model.get_latent_representation)
    check(can(recipe, "latent_space"), model.get_neighbors)
    check(can(recipe, "latent_space"), lambda: model.transfer_labels("cell_type"))


def test_a_recipe_uses_no_more_relations_than_it_declares(pair, recipe):
    limit = get_recipe(recipe).capabilities.max_relations
    available = ["coexpression", "protein"]
    model = StImputeModel(*pair, recipe=recipe)
    assert set(model.relations) <= set(available)
    if limit is None:
        assert model.relations == available
        return
    assert len(model.relations) == min(limit, len(available))
    too_many = available[: limit + 1]
    with pytest.raises(ValueError, match=rf"uses at most {limit} gene relation"):
        StImputeModel(*pair, recipe=recipe, relations=too_many)


@pytest.mark.needs("intervals")
def test_intervals_hold_the_value_and_widen_with_the_level(model):
    genes = ["Gene40", "Gene07"]
    result = model.impute(genes=genes, interval=0.9, progress=False)
    assert set(layers_by_name(result)) == {"lower", "upper"}
    for name in ("lower", "upper"):
        assert result.layers[name].dtype == np.float32
        assert np.isfinite(result.layers[name]).all()
    assert (result.layers["lower"] >= 0).all()
    assert (result.layers["lower"] <= result.X).all()
    assert (result.layers["upper"] >= result.X).all()
    assert result.uns["stimpute"]["interval"] == 0.9
    wider = model.impute(genes=genes, interval=0.99, progress=False)
    assert (wider.layers["upper"] >= result.layers["upper"] - 1e-6).all()


@pytest.mark.needs("variance_matching")
def test_matched_variance_is_noted_in_the_result(model):
    shrunken = model.impute(genes=["Gene40", "Gene07"], progress=False)
    matched = model.impute(genes=["Gene40", "Gene07"], variance="matched", progress=False)
    assert matched.uns["stimpute"]["variance"] == "matched"
    assert not np.allclose(matched.X, shrunken.X)
    pd.testing.assert_frame_equal(matched.var, shrunken.var)


# ---------------------------------------------------------------- a request can be checked first

REQUESTS = [
    {"genes": ["Gene40", "Nowhere"]},
    {"genes": []},
    {"genes": ["Gene40", "Gene40"]},
    {"genes": "Gene40", "interval": 1.5},
    {"genes": "Gene40", "interval": float("nan")},
    {"genes": "Gene40", "interval": 0.9},
    {"genes": "Gene40", "variance": "wide"},
    {"genes": "Gene40", "variance": "matched"},
    {"genes": ["Gene40", "Gene07"]},
    {},
]


def error_of(call):
    """The error that a call raises, or None."""
    try:
        call()
    except (KeyError, ValueError) as error:
        return type(error), str(error)
    return None


@pytest.mark.parametrize("request_", REQUESTS, ids=str)
def test_check_request_raises_what_impute_raises(model, pair, recipe, request_):
    untrained = StImputeModel(*pair, recipe=recipe)
    expected = error_of(lambda: model.impute(**request_, progress=False))
    assert error_of(lambda: untrained.check_request(**request_)) == expected
    assert error_of(lambda: model.check_request(**request_)) == expected
    assert not untrained.is_trained


def test_check_request_of_a_section_that_measures_every_gene(model, pair, imputed):
    everything = imputed.copy()
    with pytest.raises(ValueError, match="Every gene of the reference is measured"):
        model.check_request(adata=everything)
    model.check_request("Gene40", adata=everything)


def test_check_request_takes_what_impute_takes():
    arguments = inspect.signature(StImputeModel.check_request).parameters.keys() - {"self"}
    assert arguments == inspect.signature(StImputeModel.impute).parameters.keys() - {
        "self",
        "out",
        "lazy",
        "batch_size",
        "progress",
    }


# ---------------------------------------------------------------- the inputs


def test_inputs_are_not_changed(fresh, recipe, tmp_path):
    spatial, reference = fresh
    spatial.layers["raw"], reference.layers["raw"] = spatial.X.copy(), reference.X.copy()
    before = content(spatial), content(reference)
    model = fit(*set_up(spatial, reference), recipe)
    model.impute(genes=list(reference.var_names), progress=False)
    model.gene_reliability()
    if can(recipe, "latent_space"):
        model.get_neighbors()
        model.get_latent_representation(reference)
        model.transfer_labels("cell_type")
    model.save(tmp_path / "model", save_reference=True, save_anndata=True)
    assert (content(spatial), content(reference)) == before


def random_states():
    """States of the global generators of Python, NumPy and PyTorch."""
    return random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist()  # noqa: NPY002


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return public_calls.World.make(tmp_path_factory.mktemp("world"))


def test_every_public_function_and_method_is_called(world):
    assert public_calls.public_functions() == public_calls.FUNCTIONS.keys()


READING = sorted(public_calls.CALLS.keys() - set(public_calls.READ_NO_DATA))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in public_calls.SLOW)) for name in READING]
)
def test_a_call_leaves_every_byte_of_its_inputs_and_the_random_states(world, name):
    arguments = public_calls.CALLS[name](world)
    states = random_states()
    before = {key: content(adata) for key, adata in world.data.items()}
    result = public_calls.call(name, world, arguments)
    if name == "explore":
        result.close()
    plt.close("all")
    for key, adata in world.data.items():
        assert content(adata) == before[key], key
    assert random_states() == states


def test_changing_the_result_does_not_change_the_inputs(model, pair):
    before = content(pair[0])
    result = model.impute(genes=["Gene40"], progress=False)
    result.obsm["spatial"] += 1
    result.obs["cell_type"] = "other"
    assert content(pair[0]) == before


def test_normalized_values_are_used_as_they_are(recipe):
    spatial, reference = small_pair()
    for adata in (spatial, reference):
        adata.layers["log"] = adata.X.log1p()
        StImputeModel.setup_anndata(adata, layer="log", expression="normalized")
    model = fit(spatial, reference, recipe)
    result = model.impute(genes=list(reference.var_names), progress=False)
    assert np.isfinite(result.X).all()
    assert "normalized" in result.uns["stimpute"]["units"]


@pytest.mark.parametrize("which", ["spatial", "reference"])
def test_genes_may_be_matched_by_a_column(imputed, recipe, which):
    data = dict(zip(("spatial", "reference"), small_pair(), strict=True))
    genes = list(data["reference"].var_names)
    adata = data[which]
    adata.var["symbol"] = adata.var_names.to_numpy()
    adata.var_names = [f"ENS{i}" for i in range(adata.n_vars)]
    for name, other in data.items():
        StImputeModel.setup_anndata(other, gene_symbols="symbol" if name == which else None)
    result = fit(data["spatial"], data["reference"], recipe).impute(genes=genes, progress=False)
    np.testing.assert_allclose(result.X, imputed.X, rtol=1e-4, atol=1e-4)
    var = result.var
    if which == "reference":
        assert var.pop("gene_id").tolist() == list(adata.var_names)
    pd.testing.assert_frame_equal(var, imputed.var, rtol=1e-3, atol=1e-4, check_names=False)
    assert result.var["measured"].sum() == N_MEASURED


def test_without_positions(recipe):
    spatial, reference = small_pair()
    model = fit(*set_up(spatial, reference, spatial_key=None), recipe)
    assert model.impute(progress=False).shape == (N_CELLS, N_UNMEASURED)


def test_without_proteins(fresh, recipe):
    model = fit(*set_up(*fresh), recipe)
    assert not model.impute(progress=False).var["has_protein"].any()


# ---------------------------------------------------------------- MuData


def test_mudata(pair, imputed, recipe):
    mdata = MuData({"spatial": bare(pair[0]), "rna": bare(pair[1])})
    StImputeModel.setup_mudata(mdata, spatial_setup={"spatial_key": "spatial"})
    model = StImputeModel.from_mudata(mdata, recipe=recipe)
    model.train(**QUIET)
    np.testing.assert_allclose(model.impute(genes=["Gene40"], progress=False).X, values(imputed, ["Gene40"]), atol=1e-4)


def test_mudata_with_other_names(pair):
    mdata = MuData({"merfish": bare(pair[0]), "sc": bare(pair[1])})
    StImputeModel.setup_mudata(mdata, spatial="merfish", reference="sc")
    model = StImputeModel.from_mudata(mdata, spatial="merfish", reference="sc")
    assert len(model.shared_genes) == N_MEASURED


def test_mudata_lacks_a_modality(pair):
    mdata = MuData({"spatial": bare(pair[0]), "sc": bare(pair[1])})
    with pytest.raises(KeyError, match=r"no modality .*rna.*sc.*setup_mudata"):
        StImputeModel.setup_mudata(mdata)
    with pytest.raises(KeyError, match="no modality .*rna"):
        StImputeModel.from_mudata(mdata)


def test_mudata_that_was_not_set_up(pair):
    mdata = MuData({"spatial": bare(pair[0]), "rna": bare(pair[1])})
    with pytest.raises(ValueError, match="setup_anndata"):
        StImputeModel.from_mudata(mdata)


@pytest.mark.slow
def test_every_public_name_is_there_without_an_import_of_its_own():
    names = "[getattr(stimpute, name) for name in stimpute.__all__]"
    script = f"import stimpute; {names}; stimpute.recipes.CrossfitRecipe, stimpute.tl.metrics.pcc"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0

"""Latent representation, neighbors and labels of cells."""

import numpy as np
import pandas as pd
import pytest
from small import N_CELLS, N_REFERENCE, bare, fit, if_known, set_up, shuffled_genes, small_pair

from stimpute import StImputeModel

pytestmark = pytest.mark.needs("latent_space")


@pytest.fixture(scope="module")
def latent(model, pair):
    """Embedding of the spatial cells and of the reference."""
    return model.get_latent_representation(), model.get_latent_representation(dataset="reference")


def test_latent_representation(model, pair, latent):
    z, z_reference = latent
    assert len(z) == N_CELLS
    assert 2 <= z.shape[1] <= model.recipe.n_latent
    assert z.dtype == z_reference.dtype == np.float32
    assert np.isfinite(z).all()
    assert z_reference.shape == (N_REFERENCE, z.shape[1])
    for dataset in (None, "spatial"):
        part = model.get_latent_representation(bare(pair[0][:9]), dataset=dataset)
        np.testing.assert_allclose(part, z[:9], atol=1e-5)


@pytest.mark.parametrize("dataset", ["spatial", "reference"])
def test_some_cells_are_embedded_in_the_order_asked_for(model, pair, latent, dataset):
    which = ["spatial", "reference"].index(dataset)
    expected = latent[which]
    mask = np.zeros(len(expected), bool)
    mask[[3, 8]] = True
    for indices, rows in (([5, 2, 7, 2], [5, 2, 7, 2]), (mask, [3, 8]), (-1, [-1]), (range(4), [0, 1, 2, 3])):
        for adata in (None, bare(pair[which])):
            found = model.get_latent_representation(adata, indices, dataset=dataset)
            np.testing.assert_allclose(found, expected[rows], atol=1e-5)


@pytest.mark.parametrize("dataset", ["spatial", "reference"])
def test_the_batch_size_of_the_embedding_changes_no_value(model, pair, latent, dataset):
    which = ["spatial", "reference"].index(dataset)
    embedded = []
    name = f"embed_{dataset}"
    predictor = model.predictor()
    embed = getattr(predictor, name)

    def counted(cells, *others):
        embedded.append(len(cells))
        return embed(cells, *others)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(predictor), name, lambda self, cells, *others: counted(cells, *others))
        found = model.get_latent_representation(bare(pair[which][:50]), dataset=dataset, batch_size=20)
    assert embedded == [20, 20, 10]
    np.testing.assert_allclose(found, latent[which][:50], atol=1e-5)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"indices": [N_CELLS]}, IndexError, f"`indices` do not fit {N_CELLS} cells.*from 0 to {N_CELLS - 1}"),
        ({"indices": [True, False]}, IndexError, rf"a mask of shape \({N_CELLS},\)"),
        ({"indices": ["cell"]}, TypeError, "expected positions of cells"),
        ({"indices": np.array([], dtype=int)}, IndexError, "names no cell"),
        ({"batch_size": 0}, ValueError, "`batch_size` is 0; expected at least 1"),
        ({"batch_size": 2.5}, TypeError, "`batch_size` is 2.5; expected an integer"),
    ],
)
def test_impossible_cells_and_batch_sizes(model, options, error, message):
    with pytest.raises(error, match=message):
        model.get_latent_representation(**options)


# ---------------------------------------------------------------- the reference is recognized


@pytest.mark.parametrize("dataset", [None, "reference"])
def test_the_reference_its_copy_and_its_parts_are_embedded_alike(model, pair, latent, dataset):
    reference = pair[1]
    last = slice(N_REFERENCE - 30, None)
    parts = {
        "itself": (reference, slice(None)),
        "a copy": (reference.copy(), slice(None)),
        "from a file": (bare(reference), slice(None)),
        "a view": (reference[last], last),
        "a subset": (bare(reference[last]), last),
        "one cell": (bare(reference[7]), [7]),
        "shuffled genes": (shuffled_genes(reference), slice(None)),
        "shuffled cells": (bare(reference[::-1]), slice(None, None, -1)),
    }
    for name, (adata, rows) in parts.items():
        found = model.get_latent_representation(adata, dataset=dataset)
        np.testing.assert_allclose(found, latent[1][rows], atol=1e-5, err_msg=name)


@pytest.mark.parametrize("dataset", [None, "reference"])
def test_the_reference_is_recognized_by_a_loaded_model(model, pair, latent, tmp_path, dataset):
    model.save(tmp_path / "model", save_anndata=True, save_reference=True)
    with_stored = StImputeModel.load(tmp_path / "model", accelerator="cpu")
    with_given = StImputeModel.load(tmp_path / "model", bare(pair[0]), bare(pair[1]), accelerator="cpu")
    for loaded in (with_stored, with_given):
        for adata in (pair[1], bare(pair[1]), loaded.reference):
            found = loaded.get_latent_representation(adata, dataset=dataset)
            np.testing.assert_allclose(found, latent[1], atol=1e-5)
        np.testing.assert_allclose(loaded.get_latent_representation(bare(pair[1][:20])), latent[1][:20], atol=1e-5)
        np.testing.assert_allclose(loaded.get_latent_representation(pair[0]), latent[0], atol=1e-5)


def test_the_reference_is_never_read_as_spatial_cells(saved, pair):
    """A model without its reference cannot embed it, and says so."""
    alone = StImputeModel.load(saved, bare(pair[0]), accelerator="cpu")
    for reference in (pair[1], bare(pair[1])):
        with pytest.raises(RuntimeError, match="without its reference"):
            alone.get_latent_representation(reference)


def test_a_reference_with_gene_symbols_is_recognized(recipe):
    spatial, reference = small_pair()
    reference.var["symbol"] = reference.var_names.to_numpy()
    reference.var_names = [f"ENS{i}" for i in range(reference.n_vars)]
    StImputeModel.setup_anndata(spatial)
    StImputeModel.setup_anndata(reference, gene_symbols="symbol")
    model = fit(spatial, reference, recipe)
    expected = model.get_latent_representation(dataset="reference")
    np.testing.assert_allclose(model.get_latent_representation(bare(reference[20:50])), expected[20:50], atol=1e-5)


@pytest.mark.filterwarnings("ignore:The spatial cells are cells of the reference")
def test_spatial_cells_can_be_embedded_as_such(model, pair, latent):
    """The same cells, read as one dataset or the other, are not the same cells."""
    as_spatial = model.get_latent_representation(pair[1], dataset="spatial")
    assert as_spatial.shape == latent[1].shape
    assert np.abs(as_spatial - latent[1]).max() > 0.01


def test_other_cells_with_all_genes_of_the_reference_are_spatial_cells(model, pair):
    other = bare(pair[1])
    other.X = np.random.default_rng(0).permuted(other.X.toarray(), axis=0)
    found = model.get_latent_representation(other)
    np.testing.assert_array_equal(found, model.get_latent_representation(other, dataset="spatial"))


def test_reference_cells_without_all_genes_of_the_reference(model, pair):
    with pytest.raises(ValueError, match=r"1 genes of the reference are not in this AnnData: Gene40"):
        model.get_latent_representation(bare(pair[1][:, pair[1].var_names != "Gene40"]), dataset="reference")


def test_an_unknown_dataset(model):
    with pytest.raises(ValueError, match=r'`dataset` is \'rna\'; expected "spatial", "reference" or None'):
        model.get_latent_representation(dataset="rna")


# ---------------------------------------------------------------- neighbors and labels


def test_neighbors_are_the_nearest_in_the_latent_space(model, latent):
    index, cosine = model.get_neighbors(n_neighbors=6)
    assert index.shape == cosine.shape == (N_CELLS, 6)
    unit = lambda z: z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-12)
    all_cosines = unit(latent[0]) @ unit(latent[1]).T
    np.testing.assert_allclose(cosine, -np.sort(-all_cosines, axis=1)[:, :6], atol=1e-5)
    np.testing.assert_allclose(cosine, np.take_along_axis(all_cosines, index, 1), atol=1e-5)
    assert model.get_neighbors()[0].shape == (N_CELLS, 50)


@pytest.mark.parametrize("k", [0, -1, N_REFERENCE + 1])
def test_an_impossible_number_of_neighbors(model, k):
    for call in (model.get_neighbors, lambda n_neighbors: model.transfer_labels("cell_type", n_neighbors=n_neighbors)):
        with pytest.raises(ValueError, match=f"`n_neighbors` is {k}; expected 1 to {N_REFERENCE}"):
            call(n_neighbors=k)


def test_labels_of_the_reference(model, pair):
    table = model.transfer_labels("cell_type")
    assert list(table.index) == list(pair[0].obs_names)
    assert set(table["label"]) <= set(pair[1].obs["cell_type"])
    assert table["confidence"].between(0, 1 + 1e-9).all()
    index, _ = model.get_neighbors(n_neighbors=1)
    nearest = model.transfer_labels("cell_type", n_neighbors=1)
    expected = pair[1].obs["cell_type"].astype(str).to_numpy()[index[:, 0]]
    assert (nearest["label"].astype(str).to_numpy() == expected).all()
    np.testing.assert_allclose(nearest["confidence"], 1)


def test_labels_that_do_not_exist(model):
    with pytest.raises(KeyError, match=r"'no_such'.*cell_type"):
        model.transfer_labels("no_such")


def test_missing_labels(saved, pair):
    reference = bare(pair[1])
    reference.obs["some"] = np.where(np.arange(N_REFERENCE) == 0, "rare", None)
    model = StImputeModel.load(saved, pair[0], reference, accelerator="cpu")
    found = model.get_neighbors(n_neighbors=1)[0][:, 0]
    reference.obs["some"] = np.where(np.arange(N_REFERENCE) == found[0], "rare", None)
    table = model.transfer_labels("some", n_neighbors=1)
    is_labeled = found == found[0]
    assert 0 < is_labeled.sum() < N_CELLS
    assert (table["label"][is_labeled] == "rare").all()
    assert table["label"][~is_labeled].isna().all()
    assert (table["confidence"][~is_labeled] == 0).all()
    assert isinstance(table["label"].dtype, pd.CategoricalDtype)


def test_labels_that_are_all_missing(saved, pair):
    reference = bare(pair[1])
    reference.obs["none"] = pd.Categorical([None] * N_REFERENCE)
    table = StImputeModel.load(saved, pair[0], reference, accelerator="cpu").transfer_labels("none")
    assert table["label"].isna().all()
    assert (table["confidence"] == 0).all()


def lose_a_cell(reference):
    reference._inplace_subset_obs(reference.obs_names[:-1])


def reorder(reference):
    reference._inplace_subset_obs(reference.obs_names[::-1])


def sort_annotations(reference):
    reference.obs.sort_values("cell_type", inplace=True)


def rename(reference):
    reference.obs_names = [f"cell {number}" for number in range(reference.n_obs)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lose_a_cell, r"has 210 cells now and had 211.*load this one with the reference as it was"),
        (reorder, "has other names of cells now than when the model read it"),
        (sort_annotations, "has other names of cells now"),
        (rename, "has other names of cells now"),
    ],
)
def test_a_reference_whose_cells_were_changed_has_no_neighbors_and_labels_to_give(saved, pair, change, message):
    """Positions in it are no longer those of the cells that the model read: labels would be those of other cells."""
    model = StImputeModel.load(saved, pair[0], bare(pair[1]), accelerator="cpu")
    change(model.reference)
    for call in (model.get_neighbors, lambda: model.transfer_labels("cell_type")):
        with pytest.raises(ValueError, match=message):
            call()


def test_a_reference_that_was_put_in_another_order_is_embedded_in_that_order(saved, pair, latent):
    model = StImputeModel.load(saved, pair[0], bare(pair[1]), accelerator="cpu")
    reorder(model.reference)
    for adata in (None, model.reference):
        found = model.get_latent_representation(adata, dataset="reference")
        np.testing.assert_allclose(found, latent[1][::-1], atol=1e-5)
    lose_a_cell(model.reference)
    assert len(model.get_latent_representation(dataset="reference")) == N_REFERENCE - 1


def test_a_reference_that_was_normalized_in_place_is_embedded_as_it_was_read(saved, pair, latent):
    model = StImputeModel.load(saved, pair[0], bare(pair[1]), accelerator="cpu")
    model.reference.X = model.reference.X.log1p()
    np.testing.assert_array_equal(model.get_latent_representation(model.reference), latent[1])


def test_as_many_neighbors_as_reference_cells(recipe):
    spatial, reference = small_pair(proteins=False, n_reference=12)
    model = fit(*set_up(spatial, reference), recipe, **if_known(recipe, n_neighbors=12))
    assert np.isfinite(model.impute(progress=False).X).all()
    index, _ = model.get_neighbors(n_neighbors=12)
    assert (np.sort(index, axis=1) == np.arange(12)).all()

"""Latent representation, neighbours and labels of cells."""

import numpy as np
import pandas as pd
import pytest
from small import N_CELLS, N_REFERENCE, bare, fit, set_up, small_pair


def test_latent_representation(model, pair):
    z = model.get_latent_representation()
    assert len(z) == N_CELLS
    assert 2 <= z.shape[1] <= model._recipe.n_latent
    assert z.dtype == np.float32
    assert np.isfinite(z).all()
    np.testing.assert_allclose(model.get_latent_representation(bare(pair[0][:9])), z[:9], atol=1e-5)
    assert model.get_latent_representation(pair[1]).shape == (N_REFERENCE, z.shape[1])


def test_neighbours_are_the_nearest_in_the_latent_space(model, pair):
    index, cosine = model.get_neighbors(n_neighbors=6)
    assert index.shape == cosine.shape == (N_CELLS, 6)
    unit = lambda z: z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-12)
    all_cosines = unit(model.get_latent_representation()) @ unit(model.get_latent_representation(pair[1])).T
    np.testing.assert_allclose(cosine, -np.sort(-all_cosines, axis=1)[:, :6], atol=1e-5)
    np.testing.assert_allclose(cosine, np.take_along_axis(all_cosines, index, 1), atol=1e-5)
    assert model.get_neighbors()[0].shape == (N_CELLS, model._recipe.n_neighbors)


@pytest.mark.parametrize("k", [0, -1, N_REFERENCE + 1])
def test_an_impossible_number_of_neighbours(model, k):
    with pytest.raises(ValueError, match=f"`n_neighbors` is {k}; expected 1 to {N_REFERENCE}"):
        model.get_neighbors(n_neighbors=k)


def test_labels_of_the_reference(model, pair):
    table = model.transfer_labels("cell_type")
    assert list(table.index) == list(pair[0].obs_names)
    assert set(table["label"]) <= set(pair[1].obs["cell_type"])
    assert table["confidence"].between(0, 1 + 1e-9).all()
    index, _ = model.get_neighbors(n_neighbors=1)
    nearest = model.transfer_labels("cell_type", n_neighbors=1)
    assert (
        nearest["label"].astype(str).to_numpy() == pair[1].obs["cell_type"].astype(str).to_numpy()[index[:, 0]]
    ).all()
    np.testing.assert_allclose(nearest["confidence"], 1)


def test_labels_that_do_not_exist(model):
    with pytest.raises(KeyError, match=r"'no_such'.*cell_type"):
        model.transfer_labels("no_such")


def test_missing_labels(recipe):
    spatial, reference = small_pair(proteins=False)
    reference.obs["some"] = np.where(np.arange(N_REFERENCE) == 0, "rare", None)
    model = fit(*set_up(spatial, reference), recipe)
    table = model.transfer_labels("some", n_neighbors=1)
    found = model.get_neighbors(n_neighbors=1)[0][:, 0] == 0
    assert (table["label"][found] == "rare").all()
    assert table["label"][~found].isna().all()
    assert (table["confidence"][~found] == 0).all()
    assert isinstance(table["label"].dtype, pd.CategoricalDtype)

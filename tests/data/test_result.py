import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from stimpute import __version__
from stimpute.data._result import (
    how_to_cite,
    position_keys,
    recorded_label,
    recorded_setup,
    setup_record,
    units,
    without_values,
)


@pytest.fixture
def spatial():
    obs = pd.DataFrame({"type": pd.Categorical(["a", "b", "a"]), "_scvi_batch": 0}, index=["x", "y", "z"])
    adata = AnnData(np.ones((3, 2), np.float32), obs=obs)
    adata.obsm["spatial"] = np.arange(6.0).reshape(3, 2)
    adata.obsm["table"] = pd.DataFrame({"v": [1.0, 2, 3]}, index=obs.index)
    adata.uns["type_colors"] = ["#ff0000", "#00ff00"]
    adata.uns["spatial"] = {"slide": {"images": {"hires": np.zeros((4, 4, 3))}, "scalefactors": {"spot": 1.5}}}
    adata.uns["neighbors"] = {"connectivities_key": "connectivities", "params": {"n_neighbors": 2}}
    adata.obsp["connectivities"] = sparse.csr_matrix(np.eye(3))
    adata.uns["_scvi_uuid"] = "1234"
    adata.uns["other"] = {"kept": False}
    adata.layers["counts"] = np.ones((3, 2))
    return adata


@pytest.fixture
def result(spatial):
    return without_values(spatial, pd.DataFrame({"reliability": [0.5]}, index=["Rorb"]), {"units": "none"})


def test_cells_and_positions_are_kept(result, spatial):
    assert list(result.obs_names) == ["x", "y", "z"]
    assert result.obs["type"].tolist() == ["a", "b", "a"]
    np.testing.assert_array_equal(result.obsm["spatial"], spatial.obsm["spatial"])
    pd.testing.assert_frame_equal(result.obsm["table"], spatial.obsm["table"])


def test_graphs_of_cells_are_kept_with_their_records(result, spatial):
    assert (result.obsp["connectivities"] != spatial.obsp["connectivities"]).nnz == 0
    assert result.uns["neighbors"] == spatial.uns["neighbors"]


def test_the_setup_is_recorded_without_what_was_not_given():
    setup = setup_record({"layer": None, "spatial_key": "xy"})
    result = AnnData(np.ones((1, 1)), uns={"stimpute": {"spatial_setup": setup}})
    assert recorded_setup(result) == {"spatial_key": "xy"}
    assert recorded_setup(AnnData(np.ones((1, 1)))) == {}


def test_genes_are_the_imputed_ones_without_values(result):
    assert list(result.var_names) == ["Rorb"]
    assert result.var["reliability"].tolist() == [0.5]
    assert result.X is None
    assert not result.layers


def test_traces_of_scvi_and_other_entries_are_left_out(result):
    assert list(result.obs) == ["type"]
    assert set(result.uns) == {"type_colors", "spatial", "neighbors", "stimpute", "log1p"}
    assert result.uns["stimpute"] == {"units": "none"}


def test_nothing_is_shared_with_the_spatial_data(result, spatial):
    before = spatial.copy()
    result.obs["type"] = "changed"
    result.obsm["spatial"][:] = -1
    result.obsm["table"]["v"] = -1.0
    result.obsp["connectivities"].data[:] = -1
    result.uns["neighbors"]["params"]["n_neighbors"] = -1
    result.uns["type_colors"][0] = "#000000"
    result.uns["spatial"]["slide"]["images"]["hires"][:] = 1
    result.uns["spatial"]["slide"]["scalefactors"]["spot"] = 0
    pd.testing.assert_frame_equal(spatial.obs, before.obs)
    np.testing.assert_array_equal(spatial.obsm["spatial"], before.obsm["spatial"])
    pd.testing.assert_frame_equal(spatial.obsm["table"], before.obsm["table"])
    assert (spatial.obsp["connectivities"].data == 1).all()
    assert spatial.uns["neighbors"]["params"]["n_neighbors"] == 2
    assert spatial.uns["type_colors"][0] == "#ff0000"
    assert not spatial.uns["spatial"]["slide"]["images"]["hires"].any()
    assert spatial.uns["spatial"]["slide"]["scalefactors"]["spot"] == 1.5


def test_a_view_stays_a_view(spatial):
    view = spatial[["z", "x"]]
    found = without_values(view, pd.DataFrame(index=["Rorb"]), {})
    assert list(found.obs_names) == ["z", "x"]
    assert view.is_view


def test_units_are_told_in_words():
    assert units(counts=True) == "log1p of counts scaled to the median total of the spatial cells"
    assert units(counts=False) == "the units of the normalized spatial data"


@pytest.mark.parametrize(("counts", "label"), [(True, "log-normalized expression"), (False, "normalized expression")])
def test_the_label_of_values_is_that_of_their_units(counts, label):
    assert recorded_label(AnnData(uns={"stimpute": {"units": units(counts=counts)}})) == label
    assert recorded_label(AnnData(uns={"stimpute": {}})) == recorded_label(AnnData()) == "normalized expression"


def test_the_column_of_sections_is_known_if_the_data_have_it(spatial):
    imputed = AnnData(uns={"stimpute": {"spatial_setup": {"batch_key": "type"}}})
    assert position_keys(spatial, imputed, None, None) == ("spatial", "type")
    del spatial.obs["type"]
    assert position_keys(spatial, imputed, None, None) == ("spatial", None)
    assert position_keys(spatial, AnnData(), None, None) == ("spatial", None)


def test_the_version_and_the_paper_are_cited():
    assert how_to_cite().startswith(f"stimpute {__version__}, https://")
    assert "https://doi.org/10.1038/s42003-024-06964-2" in how_to_cite()

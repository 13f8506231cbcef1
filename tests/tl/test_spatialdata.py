import anndata as ad
import numpy as np
import pandas as pd
import pytest

from stimpute import StImputeModel, tl
from stimpute.data._annotations import layers_by_name
from stimpute.datasets import synthetic_tissue

sd = pytest.importorskip("spatialdata")


@pytest.fixture(scope="module")
def tissue():
    return synthetic_tissue(n_cells=60, n_reference=80, n_measured=10, n_unmeasured=4)


@pytest.fixture
def sdata(tissue):
    """Cells of two sections as circles, and a table that annotates both sections."""
    from spatialdata.models import ShapesModel, TableModel

    table = tissue.spatial.copy()
    half = np.arange(table.n_obs) < 35
    table.obs["region"] = pd.Categorical(np.where(half, "left", "right"))
    table.obs["cell_id"] = np.arange(table.n_obs)
    shapes = {
        name: ShapesModel.parse(
            table.obsm["spatial"][cells], geometry=0, radius=5.0, index=table.obs["cell_id"][cells].to_numpy()
        )
        for name, cells in (("left", half), ("right", ~half))
    }
    table = TableModel.parse(table, region=["left", "right"], region_key="region", instance_key="cell_id")
    return sd.SpatialData(shapes=shapes, tables={"table": table})


@pytest.fixture
def imputed(sdata):
    """What `model.impute` returns, in short."""
    measured = sdata.tables["table"]
    x = np.random.default_rng(0).random((measured.n_obs, 2)).astype(np.float32)
    var = pd.DataFrame({"reliability": [0.5, 0.2]}, index=["New1", "New2"])
    layers = {"lower": x - 1, "upper": x + 1}
    return ad.AnnData(x, obs=measured.obs.copy(), var=var, layers=layers, uns={"stimpute": {"recipe": "crossfit"}})


def test_a_table_can_be_set_up_and_imputed(sdata, tissue):
    table, reference = sdata.tables["table"], tissue.reference.copy()
    StImputeModel.setup_anndata(table, batch_key="region")
    StImputeModel.setup_anndata(reference)
    model = StImputeModel(table, reference, n_steps=10, n_metacells=30)
    model.train(max_epochs=1, accelerator="cpu", enable_progress_bar=False)
    imputed = model.impute(progress=False)
    tl.to_spatialdata(sdata, imputed)
    np.testing.assert_array_equal(sdata.tables["imputed"].X, imputed.X)
    assert sdata.tables["imputed"].uns["spatialdata_attrs"]["region_key"] == "region"


def test_imputed_table_annotates_the_same_regions(sdata, imputed, tmp_path):
    before = sdata.tables["table"].copy()
    assert tl.to_spatialdata(sdata, imputed) is sdata
    table = sdata.tables["imputed"]
    assert table.uns["spatialdata_attrs"] == {
        "region": ["left", "right"],
        "region_key": "region",
        "instance_key": "cell_id",
    }
    np.testing.assert_array_equal(table.X, imputed.X)
    assert {"lower", "upper"} <= set(table.layers)
    assert list(table.var["reliability"]) == list(imputed.var["reliability"])
    shapes, joined = sd.join_spatialelement_table(sdata=sdata, spatial_element_names="left", table_name="imputed")
    assert list(joined.obs_names) == list(imputed.obs_names[:35])

    after = sdata.tables["table"]
    pd.testing.assert_frame_equal(after.obs, before.obs)
    assert (after.X != before.X).nnz == 0
    assert set(after.uns) == set(before.uns)
    assert layers_by_name(after) == {}

    sdata.write(tmp_path / "tissue.zarr")
    read = sd.read_zarr(tmp_path / "tissue.zarr")
    np.testing.assert_array_equal(read.tables["imputed"].X, imputed.X)
    assert read.tables["imputed"].uns["stimpute"]["recipe"] == "crossfit"


def test_images_labels_and_shapes_on_disk_stay_as_they_are(sdata, imputed, tmp_path):
    from spatialdata.models import Image2DModel, Labels2DModel

    rng = np.random.default_rng(0)
    sdata.images["dapi"] = Image2DModel.parse(rng.integers(0, 255, (2, 40, 30), dtype=np.uint8), dims="cyx")
    sdata.labels["nuclei"] = Labels2DModel.parse(rng.integers(0, 60, (40, 30)), dims="yx")
    store = tmp_path / "tissue.zarr"
    sdata.write(store)

    def files():
        inside = [path for folder in ("images", "labels", "shapes") for path in (store / folder).rglob("*")]
        return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in inside if path.is_file()}

    before = files()
    read = sd.read_zarr(store)
    tl.to_spatialdata(read, imputed)
    read.write_element("imputed")
    assert files() == before
    again = sd.read_zarr(store)
    assert set(again.tables) == {"imputed", "table"}
    np.testing.assert_array_equal(again.images["dapi"], sdata.images["dapi"])
    np.testing.assert_array_equal(again.labels["nuclei"], sdata.labels["nuclei"])
    pd.testing.assert_frame_equal(again.shapes["left"], sdata.shapes["left"])


def test_some_cells_in_any_order(sdata, imputed):
    some = imputed[::-1][:20].copy()  # all from the right
    tl.to_spatialdata(sdata, some, "right_only")
    table = sdata.tables["right_only"]
    assert table.uns["spatialdata_attrs"]["region"] in ("right", ["right"])
    assert list(table.obs["cell_id"]) == list(range(59, 39, -1))


def test_columns_come_from_the_source(sdata, imputed):
    bare = imputed.copy()
    bare.obs = bare.obs[[]]
    tl.to_spatialdata(sdata, bare)
    assert list(sdata.tables["imputed"].obs["cell_id"]) == list(range(60))


def test_the_source_can_have_another_name(sdata, imputed):
    sdata.tables["counts"] = sdata.tables["table"].copy()
    del sdata.tables["table"]
    tl.to_spatialdata(sdata, imputed, source="counts")
    assert list(sdata.tables["imputed"].obs["cell_id"]) == list(range(60))


def test_mistakes_are_named(sdata, imputed, tissue):
    with pytest.raises(KeyError, match="sdata.tables"):
        tl.to_spatialdata(sdata, imputed, source="cells")
    with pytest.raises(ValueError, match="is taken"):
        tl.to_spatialdata(sdata, imputed, table_name="left")
    other = imputed.copy()
    other.obs_names = [f"other{i}" for i in range(60)]
    with pytest.raises(ValueError, match="60 of 60 imputed cells"):
        tl.to_spatialdata(sdata, other)
    plain = tissue.spatial.copy()
    with pytest.raises(ValueError, match="annotates no region"):
        tl.to_spatialdata(sd.SpatialData(tables={"table": plain}), imputed)


# ---------------------------------------------------------------- a section that is no SpatialData


def model_of(tissue, **setup):
    spatial, reference = tissue.spatial.copy(), tissue.reference.copy()
    spatial.obs["slide"] = pd.Categorical(np.where(np.arange(spatial.n_obs) < 35, "left half", "right"))
    spatial.obsm["xy"] = spatial.obsm["spatial"].copy()
    StImputeModel.setup_anndata(spatial, **setup)
    StImputeModel.setup_anndata(reference)
    model = StImputeModel(spatial, reference, n_steps=10, n_metacells=30)
    model.train(max_epochs=1, accelerator="cpu", enable_progress_bar=False)
    return spatial, model


@pytest.mark.parametrize("how", [{}, {"lazy": True}, {"out": "x.h5ad"}, {"out": "x.zarr"}])
@pytest.mark.slow
def test_a_section_becomes_circles_and_two_tables(tissue, tmp_path, monkeypatch, how):
    monkeypatch.chdir(tmp_path)
    spatial, model = model_of(tissue)
    before = spatial.copy()
    imputed = model.impute(progress=False, **how)
    made = tl.to_spatialdata(spatial, imputed)
    made.write("tissue.zarr")
    pd.testing.assert_frame_equal(spatial.obs, before.obs)
    assert spatial.uns.keys() == before.uns.keys()

    read = sd.read_zarr("tissue.zarr")
    np.testing.assert_array_equal(read.tables["imputed"].X, np.asarray(imputed.X))
    assert (read.tables["table"].X != spatial.X).nnz == 0
    assert set(read.shapes) == {"cells"}
    circles = read.shapes["cells"]
    np.testing.assert_allclose(np.stack([circles.geometry.x, circles.geometry.y], axis=1), spatial.obsm["spatial"])
    shapes, table = sd.join_spatialelement_table(sdata=read, spatial_element_names="cells", table_name="imputed")
    assert list(table.obs_names) == list(shapes["cells"].index) == list(spatial.obs_names)


def test_each_section_has_its_shapes(tissue, tmp_path):
    spatial, model = model_of(tissue, batch_key="slide", spatial_key="xy")
    made = tl.to_spatialdata(spatial, model.impute(progress=False), source="counts")
    made.write(tmp_path / "tissue.zarr")
    read = sd.read_zarr(tmp_path / "tissue.zarr")
    assert {name: len(shapes) for name, shapes in read.shapes.items()} == {"cells_left_half": 35, "cells_right": 25}
    assert set(read.tables) == {"counts", "imputed"}
    _, table = sd.join_spatialelement_table(sdata=read, spatial_element_names="cells_right", table_name="imputed")
    assert list(table.obs_names) == list(spatial.obs_names[35:])


def test_circles_touch_at_the_median(imputed, sdata):
    grid = ad.AnnData(np.ones((60, 1)), obs=sdata.tables["table"].obs[[]])
    grid.obsm["spatial"] = 4.0 * np.stack(np.divmod(np.arange(60), 10), axis=1)
    assert set(tl.to_spatialdata(grid, imputed).shapes["cells"].radius) == {2.0}
    assert set(tl.to_spatialdata(grid[:1], imputed[:1]).shapes["cells"].radius) == {1.0}


def test_a_section_without_positions(imputed, sdata):
    bare = sdata.tables["table"].copy()
    del bare.obsm["spatial"]
    with pytest.raises(KeyError, match="needs the positions"):
        tl.to_spatialdata(bare, imputed)


def test_sections_whose_names_become_equal_stay_apart(sdata, imputed):
    spatial = sdata.tables["table"].copy()
    del spatial.uns["spatialdata_attrs"]
    spatial.obs["slide"] = np.where(np.arange(60) < 35, "α", "β")
    imputed.uns["stimpute"]["spatial_setup"] = {"batch_key": "slide"}
    shapes = tl.to_spatialdata(spatial, imputed).shapes
    assert sorted(len(circles) for circles in shapes.values()) == [25, 35]


def test_names_of_cells_that_repeat_are_refused(sdata, imputed):
    spatial = sdata.tables["table"].copy()
    del spatial.uns["spatialdata_attrs"]
    spatial.obs_names = imputed.obs_names = ["cell"] * 60
    with pytest.raises(ValueError, match="obs_names_make_unique"):
        tl.to_spatialdata(spatial, imputed)

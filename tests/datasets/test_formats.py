"""Every format is read into the same cells × genes, with counts, names and positions."""

import inspect
import os
from importlib.metadata import version
from types import SimpleNamespace

import anndata as ad
import numpy as np
import pandas as pd
import platform_folders as folders
import pytest

from stimpute.datasets import _platforms, read, synthetic_tissue

WRITERS = {
    "xenium": folders.write_xenium,
    "merscope": folders.write_merscope,
    "cosmx": folders.write_cosmx,
    "seqfish": folders.write_seqfish,
}


def passes_dtype(platform):
    """Whether spatialdata-io calls AnnData with an argument that it does not have from version 0.13 on."""
    if "dtype" in inspect.signature(ad.AnnData).parameters or platform not in ("merscope", "cosmx"):
        return False
    return version("spatialdata_io").startswith("0.7.")


def need_reader(platform):
    pytest.importorskip("spatialdata_io")
    if passes_dtype(platform):
        pytest.skip(f"spatialdata-io {version('spatialdata_io')} passes `dtype` to AnnData, which is gone from 0.13 on")


@pytest.fixture(scope="module")
def cells():
    return synthetic_tissue(n_cells=20, n_reference=5, n_measured=6, n_unmeasured=2, n_missing_proteins=1).spatial


def same_counts(found, expected):
    assert list(found.var_names) == list(expected.var_names)
    values = found.X.toarray() if hasattr(found.X, "toarray") else np.asarray(found.X)
    np.testing.assert_array_equal(values, expected.X.toarray())


# ---------------------------------------------------------------- files


@pytest.mark.parametrize("name", ["cells.h5ad", "cells.zarr"])
def test_anndata(cells, tmp_path, name):
    path = tmp_path / name
    cells.write_h5ad(path) if path.suffix == ".h5ad" else cells.write_zarr(path)
    found = read(str(path))
    same_counts(found, cells)
    np.testing.assert_array_equal(found.obsm["spatial"], cells.obsm["spatial"])


def test_10x_matrices_have_unique_gene_names_and_keep_the_identifiers(cells, tmp_path):
    repeated = cells.copy()
    repeated.var_names = ["Gm1", "Gm1", *cells.var_names[2:]]
    for path in (
        folders.write_10x_h5(tmp_path / "filtered_feature_bc_matrix.h5", repeated, n_controls=1),
        folders.write_10x_folder(tmp_path / "filtered_feature_bc_matrix", repeated),
    ):
        found = read(path)
        assert list(found.var_names) == ["Gm1", "Gm1-1", *cells.var_names[2:]]
        assert found.var["gene_ids"].tolist() == [f"ENS{i}" for i in range(6)]
        np.testing.assert_array_equal(found.X.toarray(), cells.X.toarray())


@pytest.mark.parametrize("name", ["cells.csv", "cells.csv.gz", "cells.tsv"])
def test_text_with_positions_and_annotation(cells, tmp_path, name):
    x, y = cells.obsm["spatial"].T
    table = cells.to_df().assign(x=x, y=y, cell_type=cells.obs["cell_type"].astype(str))
    table.to_csv(tmp_path / name, sep="\t" if "tsv" in name else ",")
    found = read(tmp_path / name)
    same_counts(found, cells)
    assert list(found.obs_names) == list(cells.obs_names)
    assert list(found.obs) == ["cell_type"]
    np.testing.assert_allclose(found.obsm["spatial"], cells.obsm["spatial"])


def test_text_without_positions(cells, tmp_path):
    cells.to_df().to_csv(tmp_path / "cells.csv")
    assert not read(tmp_path / "cells.csv").obsm


def test_text_without_names_of_cells_does_not_lose_its_first_gene(cells, tmp_path):
    cells.to_df().astype(int).to_csv(tmp_path / "cells.csv", index=False)
    with pytest.raises(ValueError, match="more than once in its first column, '.*'; expected the name of the cell"):
        read(tmp_path / "cells.csv")
    pd.DataFrame({"cell": ["a"], "type": ["b"]}).to_csv(tmp_path / "words.csv", index=False)
    with pytest.raises(ValueError, match="no column of numbers"):
        read(tmp_path / "words.csv")


# ---------------------------------------------------------------- SpatialData


def spatialdata_of(cells):
    spatialdata = pytest.importorskip("spatialdata")
    models = spatialdata.models
    table = cells.copy()
    table.obs["region"] = pd.Categorical(["circles"] * table.n_obs)
    table.obs["number"] = np.arange(table.n_obs)
    positions = table.obsm.pop("spatial")
    shapes = models.ShapesModel.parse(positions[::-1], geometry=0, radius=1.0, index=np.arange(table.n_obs)[::-1])
    table = models.TableModel.parse(table, region="circles", region_key="region", instance_key="number")
    return spatialdata.SpatialData(shapes={"circles": shapes}, tables={"cells": table})


def test_a_spatialdata_store_gives_its_table_with_the_centers_of_the_shapes(cells, tmp_path):
    spatialdata_of(cells).write(tmp_path / "tissue.zarr")
    found = read(tmp_path / "tissue.zarr")
    same_counts(found, cells)
    np.testing.assert_allclose(found.obsm["spatial"], cells.obsm["spatial"])


def test_several_tables_are_named(cells, tmp_path):
    sdata = spatialdata_of(cells)
    sdata.tables["more"] = cells.copy()
    sdata.write(tmp_path / "tissue.zarr")
    with pytest.raises(ValueError, match=r"the tables \['cells', 'more'\]; expected one"):
        read(tmp_path / "tissue.zarr")


# ---------------------------------------------------------------- platforms


@pytest.mark.parametrize("platform", ["xenium", "merscope"])
def test_output_of_a_platform(cells, tmp_path, platform):
    need_reader(platform)
    found = read(WRITERS[platform](tmp_path / "output", cells))
    same_counts(found, cells)
    np.testing.assert_allclose(found.obsm["spatial"], cells.obsm["spatial"])


def test_output_of_cosmx_has_positions_on_the_slide_and_no_controls_among_the_genes(cells, tmp_path):
    need_reader("cosmx")
    found = read(folders.write_cosmx(tmp_path / "output", cells))
    same_counts(found, cells)
    expected = cells.obsm["spatial"].copy()
    expected[:, 0] += 5000 * found.obs["fov"].astype(int).to_numpy()
    np.testing.assert_allclose(found.obsm["spatial"], expected)
    assert list(found.obsm["control"]) == ["NegPrb1", "SystemControl1"]


def test_output_of_seqfish_has_its_regions_as_sections(cells, tmp_path, capfd):
    pytest.importorskip("spatialdata_io")
    found = read(folders.write_seqfish(tmp_path / "output", cells))
    assert capfd.readouterr().out == ""  # where `--json` goes
    assert found.obs["section"].value_counts().to_dict() == {"Roi1": 10, "Roi2": 10}
    order = np.argsort(found.obs["section"].to_numpy() == "Roi2", kind="stable")
    same_counts(found[order], cells[[*range(0, 20, 2), *range(1, 20, 2)]])


@pytest.mark.parametrize("platform", sorted(WRITERS))
def test_without_the_extra_the_error_names_it_and_the_function(cells, tmp_path, monkeypatch, platform):
    def missing(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(_platforms, "import_module", missing)
    path = WRITERS[platform](tmp_path / "output", cells)
    with pytest.raises(ImportError, match=rf"`spatialdata_io\.{platform}`.*'\.\[platforms\]'"):
        read(path)


# ---------------------------------------------------------------- nothing known


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
@pytest.mark.parametrize("name", ["cells.h5ad", "cells.csv"])
def test_a_named_pipe_is_refused_before_anything_waits_for_it(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(ValueError, match=rf"{name} is a named pipe or a device; expected a file or a folder"):
        read(tmp_path / name)


def test_unknown_formats_are_told_what_is_known(cells, tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read(tmp_path / "none.h5ad")
    (tmp_path / "notes.doc").write_text("")
    with pytest.raises(
        ValueError, match=r"notes\.doc has no known format.*Xenium \(a folder with experiment\.xenium\)"
    ):
        read(tmp_path / "notes.doc")
    ad.AnnData(np.ones((2, 2), np.float32)).write_h5ad(tmp_path / "region_0.h5ad")
    with pytest.raises(ValueError, match=r"holds region_0\.h5ad, which can be read"):
        read(tmp_path)
    folder = folders.write_10x_folder(tmp_path / "matrix", cells)
    with pytest.raises(ValueError, match=r"is in the folder .*matrix, which can be read: give the folder"):
        read(next(folder.glob("matrix.mtx*")))


def test_a_reader_that_does_not_know_this_anndata(cells, tmp_path, monkeypatch):
    def reader(path, **options):
        ad.AnnData(dtypes="float32")

    monkeypatch.setattr(_platforms, "import_module", lambda name: SimpleNamespace(merscope=reader))
    with pytest.raises(ImportError, match=r"`spatialdata_io.merscope` does not work with AnnData .*anndata<0\.13"):
        read(WRITERS["merscope"](tmp_path / "output", cells))


def test_a_folder_that_lacks_a_file(cells, tmp_path):
    pytest.importorskip("spatialdata_io")
    folder = folders.write_xenium(tmp_path / "output", cells)
    (folder / "cells.parquet").unlink()
    with pytest.raises(FileNotFoundError, match=r"output is not complete: it has no .*cells\.parquet"):
        read(folder)

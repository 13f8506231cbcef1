"""Every format is read into the same cells × genes, with counts, names and positions."""

import gzip
import os

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import platform_folders as folders
import pytest

from stimpute.datasets import _spatialdata, read, synthetic_tissue

WRITERS = {"xenium": folders.write_xenium, "merscope": folders.write_merscope}


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


def test_folders_of_other_programs_than_cell_ranger(cells, tmp_path):
    """Without compression, without the types of features, as `genes.tsv`; and genes called NA and nan."""
    odd = cells.copy()
    odd.var_names = ["NA", "nan", *cells.var_names[2:]]
    folder = folders.write_10x_folder(tmp_path / "matrix", odd)
    with pytest.raises(ValueError, match="has no known format"):
        read(tmp_path)
    for file in list(folder.iterdir()):
        (folder / file.stem).write_bytes(gzip.decompress(file.read_bytes()))
        file.unlink()
    same_counts(read(folder), odd)
    features = pd.read_csv(folder / "features.tsv", sep="\t", header=None, dtype=str, keep_default_na=False)
    features.iloc[:, :2].to_csv(folder / "genes.tsv", sep="\t", header=False, index=False)
    (folder / "features.tsv").unlink()
    found = read(folder)
    same_counts(found, odd)
    assert list(found.obs_names) == list(cells.obs_names)
    features.iloc[1:, :2].to_csv(folder / "genes.tsv", sep="\t", header=False, index=False)
    with pytest.raises(ValueError, match=r"does not fit together: .*\(6, 20\) .*\(5, 20\)"):
        read(folder)
    (folder / "barcodes.tsv").unlink()
    with pytest.raises(FileNotFoundError, match=r"is not complete: it has no barcodes\.tsv"):
        read(folder)


def test_files_of_hdf5_that_are_no_10x_matrix(cells, tmp_path):
    cells.write_h5ad(tmp_path / "cells.h5")
    same_counts(read(tmp_path / "cells.h5"), cells)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file.create_group("images")
        file["x"] = 1
    with pytest.raises(ValueError, match=r"other\.h5 is not a matrix of 10x Genomics: .*'images'"):
        read(tmp_path / "other.h5")


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


def test_names_in_a_text_table_stay_as_they_are(tmp_path):
    names = ["0001", "12E4", "9007199254740993", "NA", "1.0", "nan"]
    lines = ["cell,A,A,x,y", *(f"{name},{i},1,0,{i}" for i, name in enumerate(names))]
    (tmp_path / "cells.csv").write_text("\n".join(lines), encoding="utf-8-sig")
    found = read(tmp_path / "cells.csv")
    assert list(found.obs_names) == names
    assert list(found.var_names) == ["A", "A-1"]
    np.testing.assert_array_equal(found.X.toarray()[:, 0], range(6))
    (tmp_path / "from_r.tsv").write_text("\n".join(["A\tB", "01\t1\t2", "02\t3\t4"]))
    found = read(tmp_path / "from_r.tsv")
    assert list(found.obs_names) == ["01", "02"]
    np.testing.assert_array_equal(found.X.toarray(), [[1, 2], [3, 4]])


def test_text_tables_that_lack_something_are_told(tmp_path):
    path = tmp_path / "cells.csv.gz"
    path.write_bytes(gzip.compress(b"cell,A\na,1\n,2\n"))
    with pytest.raises(ValueError, match="1 rows without a name in the column 'cell'"):
        read(path)
    path.write_bytes(gzip.compress(b"cell,A\n"))
    with pytest.raises(ValueError, match="has no row of a cell"):
        read(path)
    path.write_bytes(gzip.compress(b"cell,A\n" + bytes(1000))[:20])
    with pytest.raises(ValueError, match=r"cells\.csv\.gz cannot be read.*Copy or write it again"):
        read(path)


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


def test_a_spatialdata_store_of_cosmx_has_positions_on_the_slide_and_no_controls(cells, tmp_path):
    spatialdata = pytest.importorskip("spatialdata")
    table = cells.copy()
    table.obs["fov"] = "1"
    table.obsm["global"] = table.obsm["spatial"] + 5000
    table.var_names = ["NegPrb1", *cells.var_names[1:]]
    table.var["feature_types"] = ["Gene Expression"] * 5 + ["Negative Control Codeword"]
    spatialdata.SpatialData(tables={"table": table}).write(tmp_path / "tissue.zarr")
    found = read(tmp_path / "tissue.zarr")
    same_counts(found, cells[:, 1:5])
    np.testing.assert_allclose(found.obsm["spatial"], cells.obsm["spatial"] + 5000)
    assert list(found.obsm["control"]) == ["NegPrb1"]


def test_a_spatialdata_store_with_less_than_usual(cells, tmp_path):
    """A table that annotates nothing, outlines in microns only, cells without an outline, no table."""
    spatialdata = pytest.importorskip("spatialdata")
    plain = cells.copy()
    del plain.obsm["spatial"]
    spatialdata.SpatialData(tables={"table": plain}).write(tmp_path / "plain.zarr")
    assert "spatial" not in read(tmp_path / "plain.zarr").obsm

    sdata = spatialdata_of(cells)
    scale = spatialdata.transformations.Scale([2.0, 2.0], axes=("x", "y"))
    spatialdata.transformations.set_transformation(sdata["circles"], {"microns": scale}, set_all=True)
    sdata["circles"] = sdata["circles"].drop(index=3)
    sdata.write(tmp_path / "microns.zarr")
    found = read(tmp_path / "microns.zarr").obsm["spatial"]
    assert np.isnan(found[3]).all()
    np.testing.assert_allclose(np.delete(found, 3, 0), 2 * np.delete(cells.obsm["spatial"], 3, 0))

    del sdata.tables["cells"]
    sdata.write(tmp_path / "shapes.zarr")
    with pytest.raises(ValueError, match="has no table"):
        read(tmp_path / "shapes.zarr")


# ---------------------------------------------------------------- platforms


@pytest.mark.parametrize("platform", ["xenium", "merscope"])
def test_output_of_a_platform(cells, tmp_path, platform):
    if platform == "xenium":
        pytest.importorskip("spatialdata_io")
    found = read(WRITERS[platform](tmp_path / "output", cells))
    same_counts(found, cells)
    np.testing.assert_allclose(found.obsm["spatial"], cells.obsm["spatial"])


def test_output_of_cosmx_has_positions_on_the_slide_and_no_controls_among_the_genes(cells, tmp_path):
    found = read(folders.write_cosmx(tmp_path / "output", cells))
    same_counts(found, cells)
    expected = cells.obsm["spatial"].copy()
    expected[:, 0] += 5000 * found.obs["fov"].astype(int).to_numpy()
    np.testing.assert_allclose(found.obsm["spatial"], expected)
    assert list(found.obsm["control"]) == ["NegPrb1", "SystemControl1"]


def test_tables_of_cosmx_as_atomx_exports_them(cells, tmp_path):
    """Compressed, without folders of images, with names of cells in a further column, and one cell in a field of view.

    Molecules outside of cells, those of cell 0, are in the counts only.
    """
    folder = folders.write_cosmx(tmp_path / "output", cells, n_fovs=cells.n_obs)
    expected = read(folder)
    for name in ("CellComposite", "CellLabels"):
        (folder / name).rmdir()
    for file in list(folder.glob("*.csv")):
        table = pd.read_csv(file)
        if "Area" in table:
            table = table[::-1].assign(cell_id=[f"c_1_{fov}_1" for fov in table["fov"][::-1]])
        elif "cell_ID" in table:
            table = pd.concat([table[:1].assign(cell_ID=0), table])
        table.to_csv(f"{file}.gz", index=False)
        file.unlink()
    found = read(folder)
    assert list(found.obs_names) == list(expected.obs_names)
    same_counts(found, cells)
    np.testing.assert_array_equal(found.obsm["spatial"], expected.obsm["spatial"])
    assert found.obs["cell_id"].tolist() == [f"c_1_{fov}_1" for fov in found.obs["fov"]]


def test_rows_of_merscope_are_joined_by_the_names_of_cells(cells, tmp_path):
    folder = folders.write_merscope(tmp_path / "output", cells)
    (folder / "images" / "micron_to_mosaic_pixel_transform.csv").unlink()
    metadata = folder / "cell_metadata.csv"
    table = pd.read_csv(metadata, dtype={"EntityID": str})
    table[::-1].to_csv(metadata, index=False)
    found = read(folder)
    same_counts(found, cells)
    np.testing.assert_allclose(found.obsm["spatial"], cells.obsm["spatial"])
    assert (found.obsm["blank"]["Blank-1"] == 1).all()
    table[3:].to_csv(metadata, index=False)
    with pytest.warns(UserWarning, match=r"3 of 20 cells have no position, and are left out"):
        found = read(folder)
    np.testing.assert_allclose(found.obsm["spatial"], cells.obsm["spatial"][3:])
    table.assign(EntityID="other" + table["EntityID"]).to_csv(metadata, index=False)
    with pytest.raises(ValueError, match="no cell of the counts is among the annotated cells.*1000000000000000"):
        read(folder)
    table.drop(columns="center_x").to_csv(metadata, index=False)
    with pytest.raises(ValueError, match=r"cell_metadata\.csv has no column center_x; it has EntityID, fov"):
        read(folder)
    metadata.unlink()
    with pytest.raises(FileNotFoundError, match=r"output is not complete: it has no \*cell_metadata\*\.csv"):
        read(folder)


def test_output_of_seqfish_has_its_regions_as_sections(cells, tmp_path, capfd):
    folder = folders.write_seqfish(tmp_path / "output", cells)
    for file in folder.glob("*_DAPI.tiff"):
        file.unlink()
    found = read(folder)
    assert capfd.readouterr().out == ""  # where `--json` goes
    assert found.obs["section"].tolist() == ["Roi1"] * 10 + ["Roi2"] * 10
    assert list(found.obs_names[:2]) == ["1_Roi1", "2_Roi1"]  # the labels of the instrument
    order = [*range(0, 20, 2), *range(1, 20, 2)]
    same_counts(found, cells[order])
    np.testing.assert_allclose(found.obsm["spatial"], cells[order].obsm["spatial"])


def test_regions_of_seqfish_in_any_order_with_other_genes(cells, tmp_path):
    folder = folders.write_seqfish(tmp_path / "output", cells)
    expected = read(folder)
    places = folder / "Roi1_CellCoordinates.csv"
    pd.read_csv(places)[::-1].to_csv(places, index=False)
    counts = folder / "Roi2_CellxGene.csv"
    pd.read_csv(counts, index_col=0).iloc[:, 1:].to_csv(counts)
    with pytest.warns(UserWarning, match=f"1 genes are left out.*: {cells.var_names[0]}"):
        found = read(folder)
    same_counts(found, expected[:, 1:])
    np.testing.assert_allclose(found.obsm["spatial"], expected.obsm["spatial"])


def test_two_slides_in_one_folder_are_refused(cells, tmp_path):
    folder = folders.write_cosmx(tmp_path / "output", cells)
    (folder / "Run2_exprMat_file.csv.gz").write_bytes(b"")
    with pytest.raises(ValueError, match=r"has Run1_exprMat_file\.csv, Run2_exprMat_file\.csv\.gz; expected one"):
        read(folder)


def test_without_the_extra_the_error_names_it_and_the_function(cells, tmp_path, monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(_spatialdata, "import_module", missing)
    path = folders.write_xenium(tmp_path / "output", cells)
    with pytest.raises(ImportError, match=r"`spatialdata_io\.xenium`.*'\.\[platforms\]'"):
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


def test_a_folder_that_lacks_a_file(cells, tmp_path):
    pytest.importorskip("spatialdata_io")
    folder = folders.write_xenium(tmp_path / "output", cells)
    (folder / "cells.parquet").unlink()
    with pytest.raises(FileNotFoundError, match=r"output is not complete: it has no .*cells\.parquet"):
        read(folder)

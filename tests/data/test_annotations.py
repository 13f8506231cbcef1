"""What an AnnData holds beside expression, in memory or not."""

import shutil

import anndata as ad
import dask.array as da
import numpy as np
import pandas as pd
import pytest
import zarr
from anndata import AnnData
from lazy import in_form
from scipy import sparse

from stimpute.data._annotations import has_lazy_annotations, in_memory, layers_by_name, read_column, with_annotations
from stimpute.data._checksums import ChangedDataError

PARTS = ("obsm", "varm", "obsp", "varp")


@pytest.fixture
def adata():
    rng = np.random.default_rng(0)
    adata = AnnData(
        sparse.csr_matrix(rng.poisson(1.0, (6, 4)).astype(np.float32)),
        obs=pd.DataFrame({"type": pd.Categorical(list("abacab")), "area": np.arange(6.0)}, index=list("uvwxyz")),
        var=pd.DataFrame({"symbol": list("ABCD")}, index=list("abcd")),
        uns={"source": {"name": "here", "sizes": np.array([1, 2])}},
    )
    adata.obsm["spatial"] = rng.normal(size=(6, 2))
    adata.varm["vectors"] = rng.normal(size=(4, 3))
    adata.obsp["graph"] = sparse.csr_matrix(np.eye(6))
    adata.varp["relation"] = np.eye(4)
    return adata


@pytest.fixture(params=["in memory", "backed CSR", "lazy HDF5 CSR", "lazy zarr CSR"])
def opened(request, adata, tmp_path):
    return adata if request.param == "in memory" else in_form(adata, request.param, tmp_path)


def dense(value):
    return value.toarray() if sparse.issparse(value) else value


def test_columns_are_read(opened, adata):
    for name in ("type", "area"):
        found = read_column(opened.obs, name)
        assert isinstance(found, pd.Series)
        pd.testing.assert_series_equal(found, adata.obs[name])
    pd.testing.assert_series_equal(read_column(opened.var, "symbol"), adata.var["symbol"], check_dtype=False)


def test_lazy_annotations_are_told_from_those_in_memory(adata, tmp_path):
    assert not has_lazy_annotations(adata)
    assert not has_lazy_annotations(in_form(adata, "backed CSR", tmp_path))
    assert has_lazy_annotations(in_form(adata, "lazy zarr CSR", tmp_path))


def test_all_annotations_are_read(opened, adata):
    found = with_annotations(opened, adata.X)
    assert not has_lazy_annotations(found)
    np.testing.assert_array_equal(found.X.toarray(), adata.X.toarray())
    pd.testing.assert_frame_equal(found.obs, adata.obs, check_like=True)
    pd.testing.assert_frame_equal(found.var, adata.var, check_dtype=False)
    assert found.uns.keys() == {"source"}
    assert found.uns["source"]["name"] == "here"
    np.testing.assert_array_equal(found.uns["source"]["sizes"], [1, 2])
    for part in PARTS:
        expected = getattr(adata, part)
        assert getattr(found, part).keys() == expected.keys()
        for key, value in expected.items():
            assert isinstance(getattr(found, part)[key], type(value))
            np.testing.assert_array_equal(dense(getattr(found, part)[key]), dense(value))


def test_annotations_without_a_matrix(adata):
    found = with_annotations(adata)
    assert found.X is None
    assert found.shape == adata.shape


def test_annotations_are_copies(adata):
    found = with_annotations(adata, adata.X)
    found.obs["area"] = 0.0
    found.uns["source"]["sizes"][0] = 9
    found.uns["source"]["name"] = "there"
    found.obsm["spatial"][:] = 0
    found.varp["relation"][:] = 0
    assert adata.obs["area"].iloc[5] == 5
    assert adata.uns["source"]["sizes"][0] == 1
    assert adata.uns["source"]["name"] == "here"
    assert adata.obsm["spatial"].all()
    assert adata.varp["relation"].trace() == 4


def test_values_are_copied_into_memory():
    array = np.arange(3)
    copied = in_memory({"array": array, "deep": {"list": [[1], [2]]}, "lazy": da.from_array(array), "text": "a"})
    copied["array"][0] = 7
    assert array[0] == 0
    assert isinstance(copied["lazy"], np.ndarray)
    assert copied["lazy"].tolist() == [0, 1, 2]
    assert copied["deep"] == {"list": [[1], [2]]}
    assert copied["text"] == "a"
    lists = [[1], [2]]
    in_memory(lists)[0].append(3)
    assert lists == [[1], [2]]
    assert isinstance(in_memory(sparse.csr_matrix(np.eye(2))), sparse.csr_matrix)


def test_a_layer_without_a_name_is_left_out(adata):
    """From AnnData 0.13 on, `X` is such a layer."""
    adata.layers["counts"] = adata.X.copy()
    assert list(layers_by_name(adata)) == ["counts"]
    layers = {None: adata.X, "counts": adata.layers["counts"]}
    assert layers_by_name(type("Later", (), {"layers": layers})()) == {"counts": adata.layers["counts"]}


def test_annotations_of_a_view_are_no_views(adata):
    adata.obsm["table"] = adata.obs[["area"]].copy()
    view = adata[:3]
    for value in (view.obsm["spatial"], view.obsm["table"], view.obsp["graph"], view.obs):
        copied = in_memory(value)
        assert type(copied) in (np.ndarray, pd.DataFrame, sparse.csr_matrix)
        assert copied.shape == value.shape


@pytest.mark.parametrize("form", ["backed CSR", "lazy zarr CSR"])
def test_a_matrix_is_read(adata, form, tmp_path):
    found = in_memory(in_form(adata, form, tmp_path).X)
    assert isinstance(found, sparse.csr_matrix)
    np.testing.assert_array_equal(found.toarray(), adata.X.toarray())


@pytest.mark.parametrize("name", [None, "cell"])
def test_the_name_of_the_cells_is_kept(adata, name, tmp_path):
    adata.obs.index.name = name
    lazy = in_form(adata, "lazy zarr CSR", tmp_path)
    expected = lazy.to_memory().obs_names.name  # AnnData 0.12.10 forgets it
    assert expected in (name, None)
    assert with_annotations(lazy).obs_names.name == expected
    assert read_column(lazy.obs, "area").index.name == expected


@pytest.mark.parametrize(
    ("form", "column"),
    [
        ("lazy HDF5 CSR", "type"),
        ("lazy HDF5 CSR", "area"),
        ("lazy zarr CSR", "type"),
        ("lazy zarr CSR", "area"),
        ("lazy zarr CSR", "name"),
    ],
)
def test_a_column_whose_file_is_gone_is_not_read(adata, form, column, tmp_path):
    """Zarr would read zeros and empty names."""
    adata.obs["name"] = list("klmnop")
    adata.obs = adata.obs[[column]].copy()
    lazy = in_form(adata, form, tmp_path)
    (path,) = tmp_path.iterdir()
    path.rename(tmp_path / "moved")
    for read in (lambda: read_column(lazy.obs, column), lambda: in_memory(lazy.obs)):
        with pytest.raises(ChangedDataError, match="cannot be read") as error:
            read()
        assert str(error.value).count(str(path)) == 1


@pytest.mark.parametrize(("gone", "kept"), [("first", "other"), ("second", "area")])
def test_columns_of_two_stores_of_which_one_is_gone(adata, gone, kept, tmp_path):
    adata.obs = adata.obs[["area"]].copy()
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    lazy = in_form(adata, "lazy zarr CSR", tmp_path / "first")
    lazy.obs["other"] = in_form(adata, "lazy zarr CSR", tmp_path / "second").obs["area"].rename("other")
    shutil.rmtree(tmp_path / gone)
    with pytest.raises(ChangedDataError, match=f"{gone}/a.zarr"):
        in_memory(lazy.obs)
    assert read_column(lazy.obs, kept).tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("part", ["obsm", "obsp", "varm"])
def test_arrays_whose_store_is_gone_are_not_read(adata, part, tmp_path):
    lazy = in_form(adata, "lazy zarr CSR", tmp_path)
    shutil.rmtree(tmp_path / "a.zarr")
    with pytest.raises(ChangedDataError, match="a.zarr: it was moved or removed"):
        in_memory(getattr(lazy, part))


def test_a_matrix_whose_store_is_gone_is_not_read(adata, tmp_path):
    adata.write_zarr(tmp_path / "a.zarr")
    matrix = ad.io.sparse_dataset(zarr.open_group(tmp_path / "a.zarr", mode="r")["X"])
    np.testing.assert_array_equal(in_memory(matrix).toarray(), adata.X.toarray())
    shutil.rmtree(tmp_path / "a.zarr")
    with pytest.raises(ChangedDataError, match="a.zarr"):
        in_memory(matrix)

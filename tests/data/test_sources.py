"""Files behind expression that is not in memory."""

import io
import shutil
from functools import partial
from pathlib import Path

import dask
import dask.array as da
import h5py
import numpy as np
import pytest
import zarr
from dask._task_spec import DataNode, Task
from lazy import FILES, annotated, in_form, path_of, remove
from scipy import sparse

from stimpute.data._checksums import ChangedDataError
from stimpute.data._reading import with_clear_errors
from stimpute.data._sources import Source, check_file, sources_in, sources_of
from stimpute.data._stored import read_stored

VALUES = np.arange(12.0).reshape(4, 3)


@pytest.fixture(params=FILES)
def form(request):
    return request.param


def test_what_has_no_file():
    with h5py.File(io.BytesIO(), "w") as file:
        file["x"] = VALUES
        array = da.from_array(file["x"])
        np.testing.assert_array_equal(with_clear_errors(array).compute(scheduler="synchronous"), VALUES)
        assert sources_of(file["x"]) == sources_of(array) == []
        assert read_stored(array, {}) == {}
    lazily = da.from_delayed(dask.delayed(np.ones)((4, 3)), (4, 3), float)
    for matrix in (VALUES, sparse.csr_matrix(VALUES), da.from_array(VALUES), lazily, da.ones((4, 3))):
        assert sources_of(matrix) == []
        assert read_stored(matrix, {}) == {}


def test_all_files_of_an_array_are_found(tmp_path):
    parts = []
    for name in ("a", "b"):
        zarr.save_array(tmp_path / f"{name}.zarr", VALUES)
        parts.append(da.from_zarr(tmp_path / f"{name}.zarr"))
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["x"] = VALUES
        parts.append(da.from_array(file["x"]))
        array = da.concatenate(parts)[::2].rechunk((1, 1)).sum(1)
        names = [str(tmp_path / name) for name in ("a.zarr", "b.zarr", "c.h5")]
        assert sorted(str(source) for source in sources_of(array)) == names


def read(*args, **kwargs):
    """A function of a task."""


def test_sources_in_tasks():
    store = zarr.open_group(zarr.storage.MemoryStore())
    names = list("abcdefgh")
    a, b, c, d, e, f, g, h = (store.create_array(name, data=VALUES) for name in names)
    task = Task(
        "key",
        partial(read, a, 1, option=b),
        "text",
        c,
        [d, DataNode("of a value", e)],
        DataNode("of a list", (None, f)),
        option=g,
    )
    assert [source.name for source in sources_in([DataNode("of tasks", task), (h,)])] == names
    assert list(sources_in(DataNode("alone", a))) == list(sources_in(a))


@pytest.mark.parametrize("name", ["X", DataNode("name", "X")])
@pytest.mark.parametrize("path", [Path("a.h5ad"), DataNode("path", Path("a.h5ad"))])
def test_a_path_with_the_name_of_a_matrix(path, name):
    assert list(sources_in((1, path, name, "csr"))) == [Source(Path("a.h5ad"), "X")]
    assert list(sources_in((name, path))) == list(sources_in((path, 1, name))) == []


def test_matrices_of_one_file_are_told_apart(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = VALUES
        file["y"] = 2 * VALUES
        array = da.from_array(file["x"], chunks=1) + da.from_array(file["y"]) + da.from_array(file["x"])
        assert sorted(source.name for source in sources_of(array)) == ["/x", "/y"]


# ---------------------------------------------------------------- stores


STORES = {
    "local": lambda folder: zarr.storage.LocalStore(folder / "a.zarr"),
    "fsspec": lambda folder: zarr.storage.FsspecStore.from_url(f"file://{folder}/a.zarr", {"auto_mkdir": True}),
    "memory": lambda folder: zarr.storage.MemoryStore(),
}


@pytest.fixture(params=STORES)
def store(request, tmp_path):
    return STORES[request.param](tmp_path)


def test_the_name_of_a_store(tmp_path):
    names = {name: str(Source(make(tmp_path), "x")) for name, make in STORES.items()}
    assert names["local"] == names["fsspec"] == str(tmp_path / "a.zarr")
    assert names["memory"].startswith("memory://")
    assert str(Source(tmp_path / "a.h5ad", "X")) == str(tmp_path / "a.h5ad")


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_what_a_store_has_now(store, zarr_format):
    """Not what its consolidated metadata say."""
    group = zarr.open_group(store, mode="w", zarr_format=zarr_format)
    group.create_array("x", data=VALUES)
    zarr.consolidate_metadata(store, zarr_format=zarr_format)
    group.create_array("y", data=VALUES)
    with Source(store, "x").opened() as element:
        assert element("x").shape == element("")["x"].shape == VALUES.shape
        assert element("x").read_only
        assert element("").read_only
        assert "y" in element("")
    del zarr.open_group(store, use_consolidated=False)["x"]
    assert Source(store, "x").is_gone()
    assert "x" not in list(zarr.open_group(store, mode="r", use_consolidated=False))
    assert not Source(store, "").is_gone()
    assert not Source(store, "y").is_gone()


def test_what_an_hdf5_file_has_now(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = VALUES
    source = Source(tmp_path / "a.h5", "x")
    with source.opened() as element:
        assert element("x").shape == element("")["x"].shape == VALUES.shape
        assert element("x").file.mode == "r"


def test_the_file_of_a_matrix_is_found(form, tmp_path):
    adata = in_form(annotated(), form, tmp_path)
    found = sources_of(adata.X)
    assert [(str(source), source.name.strip("/")) for source in found] == [(str(path_of(form, tmp_path)), "X")]
    assert not found[0].is_gone()
    remove(path_of(form, tmp_path))
    assert found[0].is_gone()


@pytest.mark.parametrize("form", ["lazy HDF5 dense", "lazy zarr CSR"])
def test_the_files_of_an_array_that_was_computed_of_several(form, tmp_path):
    parts = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        parts.append(in_form(annotated(), form, tmp_path / name).X)
    joined = da.concatenate(parts) * 2
    expected = {str(path_of(form, tmp_path / name)) for name in ("one", "two")}
    assert {str(source) for source in sources_of(joined[:, ::-1])} == expected


def test_a_matrix_that_was_removed_from_its_store(tmp_path):
    adata = in_form(annotated(), "lazy zarr dense", tmp_path)
    remove(tmp_path / "a.zarr" / "X")
    assert sources_of(adata.X)[0].is_gone()


# ---------------------------------------------------------------- files that are open


def test_a_file_that_is_open_for_writing(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = VALUES
        for element in (file, file["x"]):
            with pytest.raises(ValueError, match=r"a\.h5 is open for writing\. Open it by"):
                check_file(element)


@pytest.mark.parametrize("driver", [None, "core"])
def test_a_file_that_is_not_the_one_at_its_path(tmp_path, driver):
    path = tmp_path / "a.h5"
    for name in (path, tmp_path / "b.h5"):
        with h5py.File(name, "w") as file:
            file["x"] = VALUES
    with h5py.File(path, "r", driver=driver) as file:
        for element in (file, file["x"], VALUES):
            check_file(element)
        for change in (path.unlink, lambda: shutil.copy(tmp_path / "b.h5", path)):
            change()
            if driver == "core":  # it was read into memory
                check_file(file["x"])
            else:
                with pytest.raises(
                    ChangedDataError, match=rf"^{path} was written again or .* cells\. Open it again by"
                ):
                    check_file(file["x"])


def read_part(path, name, block_info=None):
    raise AssertionError("nothing is read")


def test_a_path_and_a_name_that_a_function_is_called_with(tmp_path):
    """They belong together also in a layer that stands for many chunks, which is not written out."""
    array = da.map_blocks(read_part, tmp_path / "x.h5", "X", chunks=((3,) * 1000, (2,) * 1000), dtype=float)
    layers = [layer for layer in array.dask.layers.values() if not layer.is_materialized()]
    assert layers
    assert sources_of(array) == [Source(tmp_path / "x.h5", "X")]

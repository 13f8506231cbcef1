"""What a file holds beside the expression that is read from it."""

import io
import shutil

import anndata as ad
import dask.array as da
import h5py
import numpy as np
import pytest
import zarr
from lazy import FILES, annotated, in_form, path_of, remove
from scipy import sparse

from stimpute.data import _stored
from stimpute.data._checksums import ChangedDataError
from stimpute.data._stored import check_stored, read_stored

VALUES = np.arange(12.0).reshape(4, 3)
SETUP = {"spatial_key": "spatial", "batch_key": "batch", "gene_symbols": "symbol"}
PARTS = {"X", "obs/_index", "var/_index", "obsm/spatial", "obs/batch", "var/symbol"}


@pytest.fixture(params=FILES)
def form(request):
    return request.param


def test_files_are_compared_where_both_are_known():
    expected = {"a.h5ad": {"X": "dense (3, 2)", "obs/_index": "1"}, "b.h5ad": {"X": "dense (3, 2)"}}
    check_stored({"a.h5ad": dict(expected["a.h5ad"])}, expected)
    check_stored({"c.h5ad": {}}, expected)
    with pytest.raises(ChangedDataError, match="^a.h5ad was written again: `X`, `obs/_index` is not what it was"):
        check_stored({"a.h5ad": {"X": "dense (4, 2)"}}, expected)
    with pytest.raises(ChangedDataError, match="^b.h5ad was written again: `obs/batch` is not what"):
        check_stored({"b.h5ad": {"X": "dense (3, 2)", "obs/batch": "2"}}, expected)


def test_values_in_another_shape_are_others(tmp_path):
    group = zarr.open_group(tmp_path, mode="w")
    values = np.arange(6.0)
    digests = []
    for number, shape in enumerate([(6,), (2, 3), (3, 2)]):
        group.create_array(str(number), data=values.reshape(shape))
        digests.append(_stored._digest(group[str(number)]))
    assert len(set(digests)) == 3


@pytest.mark.parametrize("dtype", [bool, np.int8, np.float32, "S1"])
def test_every_value_counts(dtype, monkeypatch):
    monkeypatch.setattr(_stored, "ROWS_PER_BLOCK", 2)
    with h5py.File(io.BytesIO(), "w") as file:
        for position, values in enumerate(np.eye(6).reshape(6, 3, 2)):
            file[str(position)] = values.astype(np.int8).astype(dtype)
        assert len({_stored._digest(dataset) for dataset in file.values()}) == 6


def test_an_array_that_is_a_store_of_its_own(tmp_path):
    """There are no names beside it, only its form."""
    zarr.save_array(tmp_path / "x.zarr", VALUES)
    array = da.from_zarr(tmp_path / "x.zarr") + 1
    before = read_stored(array, {"spatial_key": "spatial"})
    assert before == {str(tmp_path / "x.zarr"): {"": "dense (4, 3)"}}
    shutil.rmtree(tmp_path / "x.zarr")
    zarr.save_array(tmp_path / "x.zarr", VALUES[:2])
    with pytest.raises(ChangedDataError, match=r"x\.zarr was written again"):
        check_stored(read_stored(array, {}), before)


def test_an_array_in_a_folder_that_is_no_group(tmp_path):
    store = zarr.storage.LocalStore(tmp_path)
    array = zarr.create_array(store, name="a/b/x", data=VALUES)
    (tmp_path / "zarr.json").unlink(missing_ok=True)
    (tmp_path / "a" / "zarr.json").unlink(missing_ok=True)
    assert read_stored(da.from_zarr(array), {}) == {str(tmp_path): {"a/b/x": "dense (4, 3)"}}


def test_a_store_in_memory():
    array = zarr.create_array(zarr.storage.MemoryStore(), data=VALUES)
    assert list(read_stored(da.from_zarr(array), {}).values()) == [{"": "dense (4, 3)"}]


def read_stored_of(file):
    file.flush()
    (stored,) = read_stored(da.from_array(file["X"]), {"spatial_key": "spatial"}).values()
    return stored


def test_values_of_another_type_are_the_same(tmp_path):
    """Names and positions that were written again by another package."""
    found = []
    for number, (text, numbers) in enumerate([("O", "f4"), ("U3", "f8"), (h5py.string_dtype(), "i8")]):
        with h5py.File(tmp_path / f"{number}.h5", "w") as file:
            names = np.array(["a", "bb", "é"], dtype="O")
            for part in ("obs", "var"):
                file.create_group(part).attrs["_index"] = "names"
                if text == "U3":
                    file[part].create_dataset("names", data=np.char.encode(names.astype(text)))
                else:
                    file[part].create_dataset("names", data=names, dtype=h5py.string_dtype())
            file["obsm/spatial"] = np.arange(6).reshape(3, 2).astype(numbers)
            file["X"] = VALUES
            found.append(read_stored_of(file))
    assert found[0] == found[1] == found[2]
    assert set(found[0]) == {"X", "obs/names", "var/names", "obsm/spatial"}


@pytest.mark.parametrize(
    ("setup", "further"),
    [
        ({}, set()),
        ({"spatial_key": None, "batch_key": None}, set()),
        ({"layer": "counts", "dataset_key": "dataset", "spatial_key": "elsewhere"}, {"obs/dataset"}),
    ],
)
def test_what_the_setup_names_is_read(tmp_path, setup, further):
    adata = in_form(annotated(), "backed dense", tmp_path)
    (parts,) = read_stored(adata.X, setup).values()
    assert parts.keys() == {"X", "obs/_index", "var/_index"} | further


def test_an_anndata_in_a_group_of_a_file(tmp_path):
    adata = annotated()
    adata.layers["counts"] = adata.X.copy()
    adata.raw = adata
    with h5py.File(tmp_path / "a.h5mu", "w") as file:
        ad.io.write_elem(file, "Xenium/cells", adata)
        ad.io.write_elem(file, "alone", adata.X)
    with h5py.File(tmp_path / "a.h5mu", "r") as file:
        for name in ("Xenium/cells/X", "Xenium/cells/layers/counts", "Xenium/cells/raw/X"):
            (parts,) = read_stored(ad.io.sparse_dataset(file[name]), SETUP).values()
            assert parts.keys() == {name, *(f"Xenium/cells/{part}" for part in PARTS - {"X"})}
        (parts,) = read_stored(ad.io.sparse_dataset(file["alone"]), SETUP).values()
        assert parts == {"alone": "csr_matrix (90, 9)"}


def test_a_sparse_matrix_in_the_format_of_early_versions_of_anndata(tmp_path):
    annotated().write_h5ad(tmp_path / "a.h5ad")
    with h5py.File(tmp_path / "a.h5ad", "r+") as file:
        attributes = file["X"].attrs
        for name in list(attributes):
            del attributes[name]
        attributes.update({"h5sparse_format": "csr", "h5sparse_shape": (90, 9)})
    with h5py.File(tmp_path / "a.h5ad", "r") as file:
        (parts,) = read_stored(ad.io.sparse_dataset(file["X"]), SETUP).values()
    assert parts.keys() == PARTS


def test_names_positions_and_labels_are_read(form, tmp_path):
    adata = in_form(annotated(), form, tmp_path)
    found = read_stored(adata.X, SETUP)
    assert list(found) == [str(path_of(form, tmp_path))]
    parts = found[str(path_of(form, tmp_path))]
    assert parts.keys() == PARTS
    kind = next(name for name in ("CSR", "CSC", "dense") if name in form)
    assert parts["X"] == {"CSR": "csr_matrix (90, 9)", "CSC": "csc_matrix (90, 9)", "dense": "dense (90, 9)"}[kind]
    assert len(set(parts.values())) == len(PARTS)


def other_cell(adata):
    adata.obs_names = [*adata.obs_names[:-1], "another"]


def other_gene(adata):
    adata.var_names = [*adata.var_names[:-1], "another"]


def other_position(adata):
    adata.obsm["spatial"][-1, 1] += 1e-6


def other_label(adata):
    adata.obs["batch"] = adata.obs["batch"].cat.rename_categories(["a", "c"])


def other_symbol(adata):
    adata.var.loc["8", "symbol"] = "another"


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (other_cell, "obs/_index"),
        (other_gene, "var/_index"),
        (other_position, "obsm/spatial"),
        (other_label, "obs/batch"),
        (other_symbol, "var/symbol"),
    ],
)
@pytest.mark.parametrize("form", ["backed CSR", "lazy zarr dense"])
def test_a_change_is_found_and_named(form, change, part, tmp_path):
    adata = annotated()
    before = read_stored(in_form(adata, form, tmp_path).X, SETUP)
    check_stored(before, before)
    change(adata)
    remove(path_of(form, tmp_path))
    after = read_stored(in_form(adata, form, tmp_path).X, SETUP)
    path = path_of(form, tmp_path)
    with pytest.raises(ChangedDataError, match=rf"^{path} was written again: `{part}` is not what it was"):
        check_stored(after, before)


@pytest.mark.parametrize("form", ["backed CSR", "lazy zarr dense"])
def test_the_form_in_which_names_are_stored_does_not_matter(form, tmp_path, monkeypatch):
    adata = annotated()
    first = read_stored(in_form(adata, form, tmp_path).X, SETUP)
    adata.obsm["spatial"] = np.asfortranarray(adata.obsm["spatial"])
    remove(path_of(form, tmp_path))
    monkeypatch.setattr(_stored, "ROWS_PER_BLOCK", 7)
    assert read_stored(in_form(adata, form, tmp_path).X, SETUP) == first


def test_what_a_file_that_is_gone_held_is_not_read(form, tmp_path):
    adata = in_form(annotated(), form, tmp_path)
    remove(path_of(form, tmp_path))
    with pytest.raises(ChangedDataError, match=str(path_of(form, tmp_path))):
        read_stored(adata.X, SETUP)


@pytest.mark.parametrize("damaged", ["a.h5ad", "a.zarr/obsm/spatial/.zarray"])
def test_a_damaged_file_is_named(damaged, tmp_path):
    form = "lazy zarr dense" if "zarr" in damaged else "lazy HDF5 dense"
    adata = in_form(annotated(), form, tmp_path)
    (tmp_path / damaged).write_text("damaged")
    with pytest.raises(ChangedDataError, match=f"cannot be read: {path_of(form, tmp_path)}: "):
        read_stored(adata.X, SETUP)


@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csc_matrix, lambda x: x.toarray()])
def test_a_file_that_is_open_for_writing_is_not_compared(kind, tmp_path):
    adata = annotated()
    adata.X = kind(adata.X)
    adata.write_h5ad(tmp_path / "a.h5ad")
    opened = ad.read_h5ad(tmp_path / "a.h5ad", backed="r+")
    with pytest.raises(ValueError, match="a.h5ad is open for writing"):
        read_stored(opened.X, SETUP)
    opened.file.close()

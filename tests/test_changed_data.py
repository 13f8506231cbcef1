"""Data that were changed or replaced since they were set up are noticed, wherever they are."""

import shutil
from pathlib import Path

import anndata as ad
import dask
import dask.array as da
import h5py
import numpy as np
import pytest
import zarr
from anndata import AnnData
from lazy import FORMS, in_form
from scipy import sparse
from small import QUIET, bare, fit, set_up, small_pair, values

from stimpute import StImputeModel
from stimpute.data._checksums import ChangedDataError

GENES = ["Gene40", "Gene07"]
STORES = ["lazy zarr CSR", "lazy zarr dense", "lazy HDF5 CSR"]
ADVICE = r"Open the file again.*model\.impute\(adata\).*setup_anndata\(adata\)"
WRITTEN_AGAIN = rf"a\.(zarr|h5ad) was written again: .*is not what it was when.*first read.*{ADVICE}"
GONE = r"cannot be read: .*a\.(zarr|h5ad).*Expected their file as it was.*Put it back, or open it.*impute\(adata\)"
CHANGED = rf"The expression of 150 cells, the first of them 'cell0', is not what it was when.*set up.*{ADVICE}"


def other_values(adata):
    adata.X = np.random.default_rng(0).permutation(adata.X.toarray().ravel()).reshape(adata.shape)
    return adata


def permuted_cells(adata):
    return adata[::-1].copy()


def permuted_genes(adata):
    return adata[:, ::-1].copy()


def renamed_cells_and_values(adata):
    adata.obs_names = "new" + adata.obs_names
    return other_values(adata)


CHANGES = [other_values, permuted_cells, permuted_genes, renamed_cells_and_values]


def data(change=None) -> AnnData:
    spatial = bare(small_pair(proteins=False)[0])
    return spatial if change is None else bare(change(spatial))


def reference_data() -> AnnData:
    return small_pair(proteins=False)[1]


def train(spatial, reference=None, **setup):
    return fit(*set_up(spatial, reference_data() if reference is None else reference, **setup), "linear")


def impute(model, adata=None):
    return values(model.impute(adata, genes=GENES, progress=False))


def form_of(adata, form, folder) -> AnnData:
    if form == "memory":
        return adata
    if form == "Dask":
        adata.X = da.from_array(sparse.csr_matrix(adata.X).toarray(), chunks=(40, -1))
        return adata
    adata.X = sparse.csr_matrix(adata.X)
    return in_form(adata, form, folder)


def delete(folder: Path) -> None:
    (path,) = folder.iterdir()
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def overwrite(folder: Path, form: str, change) -> AnnData:
    """Write other data where a store is, and open them."""
    delete(folder)
    return form_of(data(change), form, folder)


# ---------------------------------------------------------------- stores that were written again


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("form", STORES)
def test_a_store_with_other_content(form, change, tmp_path):
    model = train(form_of(data(), form, tmp_path))
    later = model.impute(genes=GENES, lazy=True, progress=False)
    opened_again = overwrite(tmp_path, form, change)
    for call in (lambda: impute(model), lambda: model.train(**QUIET)):
        with pytest.raises(ChangedDataError, match=CHANGED if change is other_values else WRITTEN_AGAIN):
            call()
    with pytest.raises(ValueError, match=rf"150 of 150 cells that were read now.*first read.*{ADVICE}"):
        later.X.compute(scheduler="synchronous")
    np.testing.assert_allclose(impute(model, opened_again), impute(model, data(change)), atol=1e-5)


@pytest.mark.parametrize("form", STORES)
def test_a_store_with_the_same_content(form, tmp_path):
    model = train(form_of(data(), form, tmp_path))
    expected = impute(model)
    opened_again = overwrite(tmp_path, form, None)
    for adata in (None, opened_again):
        np.testing.assert_array_equal(impute(model, adata), expected)
    model.train(**QUIET)


@pytest.mark.parametrize("form", STORES)
def test_a_store_that_was_deleted(form, tmp_path):
    """zarr reads zeros where it finds nothing."""
    model = train(form_of(data(), form, tmp_path))
    delete(tmp_path)
    for call in (lambda: impute(model), lambda: model.train(**QUIET)):
        with pytest.raises(ChangedDataError, match=GONE):
            call()


@pytest.mark.parametrize("form", STORES)
def test_a_store_of_fewer_cells_and_genes(form, tmp_path):
    model = train(form_of(data(), form, tmp_path))
    overwrite(tmp_path, form, lambda adata: adata[:50, :9].copy())
    with pytest.raises(ChangedDataError, match=r"written again: `X`, `obs/_index`, `obsm/spatial`, `var/_index`"):
        impute(model)


def test_a_store_of_more_genes_is_not_read_out_of_bounds(tmp_path):
    """Positions of genes that a CSR matrix has, and the data do not."""
    model = train(form_of(data(), "lazy zarr CSR", tmp_path))
    store = tmp_path / "a.zarr"
    indices = ad.io.sparse_dataset(zarr.open(store)["X"]).group["indices"]
    indices[:] = indices[:] + 10**6
    with pytest.raises(ChangedDataError, match=r"cannot be read: .*a\.zarr: .*must be < 24"):
        impute(model)


@pytest.mark.parametrize("damaged", ["indices", "indptr"])
@pytest.mark.parametrize("form", ["lazy zarr CSR", "lazy HDF5 CSR", "backed CSR"])
def test_positions_that_were_damaged_do_not_crash(form, damaged, tmp_path):
    model = train(form_of(data(), form, tmp_path))
    later = model.impute(genes=GENES, lazy=True, progress=False)
    good = sparse.csr_matrix(data().X)
    positions = getattr(good, damaged)
    positions[1:] = 10**8 if damaged == "indices" else 0
    positions[2 if damaged == "indices" else -2] = 10**9 if damaged == "indices" else good.nnz
    (path,) = tmp_path.iterdir()
    if path.is_dir():
        zarr.open(path)[f"X/{damaged}"][:] = positions
    else:
        path.unlink()
        with h5py.File(path, "w") as file:
            adata = data()
            adata.X = sparse.csr_matrix(adata.X)
            ad.io.write_elem(file, "/", adata)
            file[f"X/{damaged}"][:] = positions
    for call in (lambda: impute(model), later.to_memory):
        with pytest.raises(ChangedDataError, match=r"cannot be read: .*a\.(zarr|h5ad)|was written again"):
            call()


@pytest.mark.parametrize("form", ["lazy zarr CSR", "lazy zarr dense"])
def test_a_store_with_damaged_chunks(form, tmp_path):
    model = train(form_of(data(), form, tmp_path))
    for chunk in [path for path in (tmp_path / "a.zarr" / "X").rglob("*") if path.name in ("0", "0.0")]:
        chunk.write_bytes(chunk.read_bytes()[:-9])
    for call in (lambda: impute(model), lambda: model.train(**QUIET)):
        with pytest.raises(ValueError, match=r"cannot be read: .*open it again|the first for cell|The expression of"):
            call()


def test_cells_after_the_first_ones(monkeypatch):
    """The first cells are compared at once, the others when they are read."""
    monkeypatch.setattr("stimpute.data._rows.MIN_ROWS", 50)  # smaller blocks are joined
    spatial = data()
    held = spatial.X.toarray()
    spatial.X = da.from_array(np.arange(150)[:, None], chunks=(50, -1)).map_blocks(
        lambda rows: held[rows.ravel()], dtype=held.dtype, chunks=((50, 50, 50), (24,))
    )
    model = train(spatial)
    later = model.impute(genes=GENES, lazy=True, batch_size=50, progress=False)
    held[120] = held[121]
    assert np.isfinite(later.X[:50].compute(scheduler="synchronous")).all()
    with pytest.raises(ValueError, match=rf"The expression of 1 of 50 cells that were read now.*{ADVICE}"):
        later.X.compute(scheduler="synchronous")
    for call in (lambda: impute(model), lambda: model.train(**QUIET)):
        with pytest.raises(ValueError, match=r"The expression of 1 of \d+ cells that were read now"):
            call()


def test_a_section_that_changes_between_two_calls(tmp_path):
    model = train(data())
    section = form_of(data(), "lazy zarr CSR", tmp_path)
    impute(model, section)
    overwrite(tmp_path, "lazy zarr CSR", other_values)
    with pytest.raises(ValueError, match=r"150 of 150 cells that were read now is not what it was when.*first read"):
        impute(model, section)


@pytest.mark.parametrize("form", STORES)
def test_a_reference_whose_store_was_deleted_is_not_needed_again(form, tmp_path):
    reference = reference_data()
    reference.obs_names = [f"cell{number}" for number in range(reference.n_obs)]  # names of spatial cells, too
    model = train(data(), form_of(bare(reference), form, tmp_path))
    expected = impute(model)
    delete(tmp_path)
    np.testing.assert_allclose(impute(model, data()), expected, atol=1e-5)


# ---------------------------------------------------------------- stores in which only names were changed

ALL_STORES = [form for form in FORMS if not form.startswith("Dask")]


def other_gene_names(adata):
    adata.var_names = adata.var_names[::-1]
    return adata


def other_cell_names(adata):
    adata.obs_names = adata.obs_names[::-1]
    return adata


def other_positions(adata):
    adata.obsm["spatial"] = adata.obsm["spatial"][::-1].copy()
    return adata


def other_symbols(adata):
    adata.var["symbol"] = adata.var["symbol"].to_numpy()[::-1]
    return adata


def other_sections(adata):
    adata.obs["slice"] = adata.obs["slice"].to_numpy()[::-1]
    return adata


OTHER_NAMES = {
    "var/_index": other_gene_names,
    "obs/_index": other_cell_names,
    "obsm/spatial": other_positions,
    "var/symbol": other_symbols,
    "obs/slice": other_sections,
}
SETUP = {"gene_symbols": "symbol", "batch_key": "slice"}


def annotated(change=None):
    """Data with the names of the genes in a column, too, and with sections."""
    adata = data()
    adata.var["symbol"] = adata.var_names
    adata.obs["slice"] = [f"slice {number % 3}" for number in range(adata.n_obs)]
    return adata if change is None else change(adata)


def write_over(folder: Path, form: str, adata: AnnData) -> None:
    """Write other data where a store is; to a file as `cp` does it, to the place on the disk where it is."""
    (path,) = folder.iterdir()
    (folder / "new").mkdir()
    form_of(adata, form, folder / "new")
    new = folder / "new" / path.name
    if new.is_dir():
        shutil.rmtree(path)
        shutil.move(new, path)
    else:
        shutil.copyfile(new, path)
    shutil.rmtree(folder / "new")


EVERY_FORM = [(form, "var/_index") for form in ALL_STORES]
EVERY_PART = [(form, part) for form in ("lazy zarr CSR", "backed CSR") for part in OTHER_NAMES if part != "var/_index"]


@pytest.mark.parametrize(("form", "part"), [*EVERY_FORM, *EVERY_PART])
def test_a_store_in_which_nothing_but_names_was_changed(form, part, tmp_path):
    model = train(form_of(annotated(), form, tmp_path), **SETUP)
    expected = impute(model)
    write_over(tmp_path, form, annotated(OTHER_NAMES[part]))
    for call in (lambda: impute(model), lambda: model.train(**QUIET)):
        with pytest.raises(ChangedDataError, match=rf"a\.\w+ was written again: `{part}` is not what.*{ADVICE}"):
            call()
    write_over(tmp_path, form, annotated())
    if not form.startswith("backed"):  # a backed file is read only as long as nobody writes to it
        np.testing.assert_array_equal(impute(model), expected)


@pytest.mark.parametrize("form", ["backed CSR", "lazy HDF5 dense", "lazy zarr CSR"])
def test_a_section_in_which_nothing_but_names_was_changed(form, tmp_path):
    """It was not set up, but read before."""
    model = train(data())
    section = form_of(data(), form, tmp_path)
    impute(model, section)
    write_over(tmp_path, form, data(other_gene_names))
    with pytest.raises(ChangedDataError, match=r"was written again: `var/_index`"):
        impute(model, section)


@pytest.mark.parametrize("form", ["backed CSC", "lazy HDF5 CSR", "lazy zarr dense"])
@pytest.mark.parametrize("several", [False, True])
def test_a_reference_in_which_nothing_but_names_was_changed(form, several, tmp_path):
    spatial, reference = set_up(data(), form_of(bare(reference_data()), form, tmp_path))
    write_over(tmp_path, form, other_gene_names(bare(reference_data())))
    with pytest.raises(ChangedDataError, match=r"was written again: `var/_index`"):
        StImputeModel(spatial, [reference] if several else reference, recipe="crossfit" if several else "linear")


def test_a_layer_of_a_group_in_a_store(tmp_path):
    """The names of an AnnData are found from its matrix, wherever both are."""
    adata = data()
    adata.layers["counts"] = adata.X.copy()
    root = zarr.open_group(tmp_path / "a.zarr", mode="w")
    ad.io.write_elem(root, "tables/cells", adata)
    opened = ad.experimental.read_lazy(root["tables/cells"])
    model = train(opened, layer="counts")
    ad.io.write_elem(root, "tables/cells/var", adata.var[::-1])
    with pytest.raises(ChangedDataError, match=r"a\.zarr was written again: `tables/cells/var/_index` is not"):
        impute(model)


def test_a_dask_array_that_the_user_made_of_a_store(tmp_path):
    adata = data()
    adata.X = adata.X.toarray()
    adata.write_zarr(tmp_path / "a.zarr")
    matrix = da.from_zarr(tmp_path / "a.zarr", component="X")
    adata = AnnData(matrix[:, ::2], adata.obs, adata.var[::2], obsm=dict(adata.obsm))
    model = train(adata)
    impute(model)
    later = model.impute(genes=GENES, lazy=True, progress=False)
    data(other_gene_names).write_zarr(tmp_path / "a.zarr")
    with pytest.raises(ChangedDataError, match=r"a\.zarr was written again: .*`var/_index`"):
        impute(model)
    delete(tmp_path)
    with pytest.raises(ChangedDataError, match=GONE):
        later.to_memory()


# ---------------------------------------------------------------- stores that are gone when a lazy result is computed

READS = {
    "all": lambda result: result.to_memory(),
    "gene": lambda result: result[:, GENES[0]].to_memory(),
    "cells": lambda result: result[:20].X.compute(scheduler="synchronous"),
    "dask": lambda result: dask.compute(result.X, result[:20].X),
}


@pytest.mark.parametrize("form", [form for form in ALL_STORES if "CSC" not in form])
def test_a_store_that_is_gone_under_a_lazy_result(form, tmp_path):
    (tmp_path / "data").mkdir()
    model = train(form_of(data(), form, tmp_path / "data"))
    later = model.impute(genes=GENES, lazy=True, progress=False)
    (path,) = (tmp_path / "data").iterdir()
    shutil.move(path, tmp_path / "elsewhere")
    for read in READS.values():
        with pytest.raises(ChangedDataError, match=GONE):
            read(later)
    shutil.move(tmp_path / "elsewhere", path)
    for read in READS.values():
        read(later)


@pytest.mark.parametrize("form", STORES)
def test_a_store_that_is_gone_under_a_part_of_it(form, tmp_path):
    model = train(data())
    section = form_of(data(), form, tmp_path)[20:90, ::-1]
    later = model.impute(section, genes=GENES, lazy=True, progress=False)
    delete(tmp_path)
    with pytest.raises(ChangedDataError, match=GONE):
        later.to_memory()


def test_errors_of_a_dask_array_that_reads_no_file_stay_as_they_are():
    model = train(form_of(data(), "Dask", None))
    model.adata.X = model.adata.X.map_blocks(lambda block: block[None][5], dtype="float32", meta=np.empty((0, 0)))
    with pytest.raises(IndexError, match="out of bounds"):
        impute(model)


@pytest.mark.parametrize("name", ["a.zarr", "a.h5ad"])
def test_an_output_that_is_gone(name, tmp_path):
    result = train(data()).impute(genes=GENES, out=tmp_path / name, progress=False)
    expected = values(result)
    delete(tmp_path)
    with pytest.raises(ChangedDataError, match=GONE):
        result.to_memory()
    assert expected.any()


@pytest.mark.parametrize("name", ["a.zarr", "a.h5ad"])
def test_an_output_that_is_removed_while_it_is_written(name, tmp_path):
    model = train(data())
    section = form_of(data(), "Dask", None)

    def remove(block, block_info=None):
        if block_info and block_info[0]["chunk-location"] == (2, 0) and any(tmp_path.iterdir()):
            delete(tmp_path)
        return block

    impute(model, section)
    section.X = section.X.map_blocks(remove, dtype="float32", meta=np.empty((0, 0), "float32"))
    with pytest.raises(FileNotFoundError, match=rf"{name}.* was moved or removed .*Call again"):
        model.impute(section, genes=GENES, out=tmp_path / name, batch_size=20, progress=False)
    assert not (tmp_path / name).exists()


# ---------------------------------------------------------------- values that were replaced in place


@pytest.mark.parametrize("form", ["memory", "Dask", "lazy zarr CSR"])
def test_values_that_were_replaced(form, tmp_path):
    model = train(form_of(data(), form, tmp_path))
    (tmp_path / "other").mkdir()
    model.adata.X = form_of(data(other_values), form, tmp_path / "other").X
    for call in (lambda: impute(model), lambda: model.train(**QUIET)):
        with pytest.raises(ValueError, match=CHANGED):
            call()
    assert np.isfinite(impute(model, data(other_values))).all()


def test_normalized_values_that_were_normalized_again():
    """They are finite and not negative before and after."""
    spatial = data()
    spatial.X = np.log1p(spatial.X.toarray())
    model = train(spatial, expression="normalized")
    np.log1p(spatial.X, out=spatial.X)
    with pytest.raises(ValueError, match="The expression of 150 cells"):
        impute(model)


@pytest.mark.parametrize("form", ["memory", "Dask"])
def test_names_that_were_permuted(form, tmp_path):
    model = train(form_of(data(), form, tmp_path))
    model.adata.var_names = model.adata.var_names[::-1]
    with pytest.raises(ValueError, match=CHANGED):
        impute(model)
    model.adata.var_names = model.adata.var_names[::-1]
    impute(model)
    model.adata.obs_names = model.adata.obs_names[::-1]
    with pytest.raises(ValueError, match=r"The expression of 150 cells, the first of them 'cell149'"):
        impute(model)


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.rechunk((17, 5)),
        lambda x: x.astype(np.float64),
        lambda x: x.map_blocks(sparse.csr_matrix),
        lambda x: x.compute(),
        lambda x: sparse.csc_matrix(x.compute()),
    ],
)
def test_the_same_values_in_another_form(change, tmp_path):
    model = train(form_of(data(), "Dask", tmp_path))
    expected = impute(model)
    model.adata.X = change(model.adata.X)
    np.testing.assert_allclose(impute(model), expected, atol=1e-5)
    model.train(**QUIET)


def test_cells_and_genes_in_another_order():
    """Names and values together."""
    model = train(data())
    expected = impute(model)
    order = np.random.default_rng(0).permutation(model.adata.n_obs)[:120]
    model.adata._inplace_subset_obs(order)
    model.adata._inplace_subset_var(np.arange(24)[::-1])
    np.testing.assert_allclose(impute(model), expected[order], atol=1e-5)


@pytest.mark.parametrize("form", ["memory", "Dask", *STORES])
@pytest.mark.parametrize("which", [0, 1])
def test_data_that_were_replaced_between_setup_and_model(form, which, tmp_path):
    pair = [data(), reference_data()]
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    new = form_of(bare(other_values(bare(pair[which]))), form, tmp_path / "new")
    pair[which] = form_of(pair[which], form, tmp_path / "old")
    set_up(*pair)
    if form in STORES:
        delete(tmp_path / "old")
        (path,) = (tmp_path / "new").iterdir()
        shutil.move(path, tmp_path / "old")
    else:
        pair[which].X = new.X
    for reference in (pair[1], [pair[1]]):
        with pytest.raises(ValueError, match=rf"The expression of \d+ cells, the first of them '.*set up.*{ADVICE}"):
            StImputeModel(pair[0], reference, recipe="crossfit" if isinstance(reference, list) else "linear")


def test_data_that_are_set_up_again():
    spatial = data()
    model = train(spatial)
    spatial.X = other_values(data()).X
    again = train(spatial)
    assert np.isfinite(impute(again)).all()
    with pytest.raises(ValueError, match=CHANGED):
        impute(model)


def test_other_data_that_are_put_into_a_model():
    """scvi-tools registers them."""
    model = train(data())
    model.adata = data(other_values)
    np.testing.assert_allclose(impute(model), impute(model, data(other_values)), atol=1e-5)


def test_changed_data_are_not_saved_with_a_model(tmp_path):
    (tmp_path / "data").mkdir()
    model = train(form_of(data(), "lazy zarr CSR", tmp_path / "data"))
    overwrite(tmp_path / "data", "lazy zarr CSR", other_values)
    with pytest.raises(ValueError, match=CHANGED):
        model.save(tmp_path / "model", save_anndata=True)
    assert not (tmp_path / "model").exists()


# ---------------------------------------------------------------- what is read as it is at the time of a call


def test_positions_and_sections_are_those_of_the_time_of_the_call():
    """A turned section has the same spatial neighbors, and a corrected one gets its own."""
    spatial, reference = small_pair(proteins=False)
    spatial.obs["slice"] = "a"
    spatial = bare(spatial)
    model = fit(*set_up(spatial, reference, batch_key="slice"), "crossfit")
    expected = impute(model)
    spatial.obsm["spatial"] = -spatial.obsm["spatial"]
    np.testing.assert_allclose(impute(model), expected, atol=1e-5)
    spatial.obs["slice"] = np.where(np.arange(spatial.n_obs) % 2, "a", "b")
    assert not np.allclose(impute(model), expected, atol=1e-5)
    np.testing.assert_allclose(impute(model), impute(model, bare(spatial)), atol=1e-5)

"""Spatial cells and references that are not in memory give the results of those that are."""

import os

import anndata as ad
import dask.array as da
import numpy as np
import pandas as pd
import pytest
from lazy import FORMS, dask_backed, in_form
from scipy import sparse
from small import bare, fit, small_pair

from stimpute import StImputeModel, pl, pp, tl
from stimpute.data import _rows
from stimpute.model import _persist
from stimpute.pl._gene_maps import find_sections

GENES = ["Gene01", "Gene03", "Gene30"]


@pytest.fixture(params=sorted(FORMS))
def form(request):
    return request.param


@pytest.fixture(params=["backed CSR", "lazy HDF5 CSR"])
def form_of_file(request):
    return request.param


@pytest.fixture(autouse=True)
def _several_blocks(monkeypatch):
    monkeypatch.setattr(_rows, "ROWS_PER_BLOCK", 37)
    monkeypatch.setattr(_rows, "MIN_ROWS", 10)


def train(spatial, reference, **setup):
    StImputeModel.setup_anndata(spatial, **setup)
    StImputeModel.setup_anndata(reference)
    return fit(spatial, reference, "crossfit", {"max_epochs": 1, "max_cells": 90})


def impute(model, adata=None, genes=GENES, **options):
    result = model.impute(adata, genes=genes, progress=False, **options)
    return result.to_memory()


def assert_same(found, expected):
    np.testing.assert_array_equal(found.X, expected.X)
    assert found.layers.keys() == expected.layers.keys()
    for name, layer in expected.layers.items():
        np.testing.assert_array_equal(found.layers[name], layer)
    pd.testing.assert_frame_equal(found.var, expected.var)
    pd.testing.assert_frame_equal(found.obs, expected.obs, check_like=True)
    assert found.obsm.keys() == expected.obsm.keys()
    for key, value in expected.obsm.items():
        np.testing.assert_array_equal(found.obsm[key], value)


@pytest.fixture(scope="module")
def batches():
    """A pair with two batches, where a section has a few cells without counts of some genes."""
    spatial, reference = small_pair(proteins=False)
    spatial.obs["batch"] = pd.Categorical(np.where(np.arange(spatial.n_obs) % 3, "a", "b"))
    return spatial, reference


@pytest.fixture(scope="module")
def expected(batches):
    model = train(bare(batches[0]), bare(batches[1]), batch_key="batch")
    return model, impute(model, interval=0.8)


# ---------------------------------------------------------------- the same results


@pytest.mark.slow
def test_a_lazy_section_is_imputed_as_one_in_memory(model, form, tmp_path):
    section = bare(model.adata[10:140])
    expected = impute(model, section)
    assert_same(impute(model, in_form(section, form, tmp_path)), expected)


@pytest.mark.parametrize("form", ["backed CSR", "backed CSC", "lazy zarr CSR", "Dask dense"])
@pytest.mark.slow
def test_training_on_lazy_cells_gives_the_same_model(batches, expected, form, tmp_path):
    spatial = in_form(batches[0], form, tmp_path)
    model = train(spatial, bare(batches[1]), batch_key="batch")
    known, result = expected
    assert model.summary_stats["n_batch"] == known.summary_stats["n_batch"] == 2
    assert model.fit_arrays_.keys() == known.fit_arrays_.keys()
    for name, value in known.fit_arrays_.items():
        np.testing.assert_array_equal(model.fit_arrays_[name], value)
    assert_same(impute(model, interval=0.8), result)


@pytest.mark.parametrize("form", ["backed dense", "lazy HDF5 CSR", "Dask CSR"])
def test_a_lazy_reference_is_the_same_reference(batches, expected, form, tmp_path):
    reference = in_form(batches[1], form, tmp_path)
    model = train(bare(batches[0]), reference, batch_key="batch")
    assert model.fingerprint == expected[0].fingerprint
    assert_same(impute(model, interval=0.8), expected[1])


@pytest.mark.parametrize("form", ["backed CSR", "lazy zarr dense"])
def test_embeddings_neighbors_and_labels_of_lazy_cells(batches, expected, form, tmp_path):
    model = expected[0]
    cells = in_form(batches[0], form, tmp_path)
    np.testing.assert_array_equal(model.get_latent_representation(cells), model.get_latent_representation())
    for found, known in zip(model.get_neighbors(cells), model.get_neighbors(), strict=True):
        np.testing.assert_array_equal(found, known)
    pd.testing.assert_frame_equal(model.transfer_labels("cell_type", cells), model.transfer_labels("cell_type"))


@pytest.mark.parametrize("method", ["crossfit", "knn"])
@pytest.mark.parametrize("form", ["backed CSR", "lazy HDF5 dense"])
def test_imputing_in_one_call(batches, method, form, tmp_path):
    options = {"genes": GENES, "method": method, "progress": False}
    if method == "crossfit":
        options["train_kwargs"] = {"max_epochs": 1, "accelerator": "cpu"}
    expected = tl.impute(bare(batches[0]), bare(batches[1]), **options)
    found = tl.impute(in_form(batches[0], form, tmp_path), bare(batches[1]), **options)
    assert_same(found, expected)


def test_a_lazy_layer_and_names_in_a_column(batches, expected):
    spatial = bare(batches[0])
    spatial.layers["counts"] = da.from_array(spatial.X.toarray(), chunks=(37, 5))
    spatial.X = spatial.X * 0.5
    spatial.var["symbol"] = spatial.var_names
    spatial.var_names = [f"id{i}" for i in range(spatial.n_vars)]
    model = train(spatial, bare(batches[1]), batch_key="batch", layer="counts", gene_symbols="symbol")
    assert_same(impute(model, interval=0.8), expected[1])


def test_genes_in_another_order_and_further_genes(model, tmp_path):
    section = bare(model.adata)
    expected = impute(model, section)
    further = section[:, ::-1].copy()
    further.var_names = [f"other{i}" for i in range(further.n_vars)]
    wide = ad.concat([section[:, ::-1], further], axis=1, merge="first")
    wide.obs_names = section.obs_names
    assert_same(impute(model, in_form(wide, "backed CSR", tmp_path)), expected)


def test_neighbors_of_a_cell_may_be_in_any_block(model, monkeypatch, tmp_path):
    """Cells in random order have their spatial neighbors all over the file."""
    order = np.random.default_rng(0).permutation(model.adata.n_obs)
    section = bare(model.adata[order])
    expected = impute(model, section)
    monkeypatch.setattr(_rows, "ROWS_PER_BLOCK", 7)
    assert_same(impute(model, in_form(section, "backed CSR", tmp_path)), expected)


# ---------------------------------------------------------------- what is read


class Reads:
    """A Dask array that counts how often each of its rows is computed."""

    def __init__(self, x, rows):
        self.count = np.zeros(len(x), int)
        positions = da.from_array(np.arange(len(x))[:, None], chunks=(rows, 1))
        meta = np.empty((0, 0), x.dtype)
        self.array = da.map_blocks(self._read, da.from_array(x, chunks=(rows, -1)), positions, dtype=x.dtype, meta=meta)

    def _read(self, x, rows):
        self.count[rows.ravel()] += 1
        return x


def test_totals_and_checks_are_one_pass(batches):
    spatial = bare(batches[0])
    reads = Reads(spatial.X.toarray(), 50)
    spatial.X = reads.array
    reference = bare(batches[1])
    StImputeModel.setup_anndata(spatial)
    StImputeModel.setup_anndata(reference)
    assert set(reads.count[50:]) == {0}  # the first block was looked at
    reads.count[:] = 0
    model = StImputeModel(spatial, reference)
    assert set(reads.count[50:]) == {1}
    assert set(reads.count[:50]) == {2}
    reads.count[:] = 0
    model.train(max_epochs=1, max_cells=20, accelerator="cpu", enable_progress_bar=False)
    assert reads.count.max() <= 2  # the first block, and the sample


def test_another_section_is_scanned_once(model):
    section = bare(model.adata)
    reads = Reads(section.X.toarray(), 75)
    section.X = reads.array
    first = impute(model, section)
    before = reads.count.copy()
    assert_same(impute(model, section), first)
    assert (reads.count - before)[75:].max() < before[75:].min() + 1


def test_a_file_that_was_written_again_is_scanned_again(model, tmp_path):
    section = bare(model.adata)
    lazy = in_form(section, "backed CSR", tmp_path)
    first = impute(model, lazy)
    lazy.file.close()
    section.X = sparse.csr_matrix(section.X.toarray()[::-1])
    changed = in_form(section, "backed CSR", tmp_path)
    expected = impute(model, bare(section))
    assert not np.array_equal(first.X, expected.X)
    assert_same(impute(model, changed), expected)


@pytest.mark.parametrize("form", ["backed CSR", "backed dense"])
def test_a_file_that_was_replaced_is_not_read_with_the_names_of_the_old_one(model, tmp_path, form):
    section = bare(model.adata)
    opened = in_form(section, form, tmp_path)
    later = model.impute(opened, genes=GENES, lazy=True, progress=False)
    other = section[::-1].copy()
    other.X = opened.X[:][::-1]
    other.write_h5ad(tmp_path / "b.h5ad")
    os.replace(tmp_path / "b.h5ad", tmp_path / "a.h5ad")
    with pytest.raises(ValueError, match="a.h5ad was written again or removed since it was opened.*Open it again"):
        later.X.compute(scheduler="synchronous")
    for call in (model.impute, model.get_explained):
        with pytest.raises(ValueError, match="names and values may be those of different cells"):
            call(opened)


# ---------------------------------------------------------------- what cannot work


@pytest.mark.parametrize(("value", "message"), [(0.5, "raw counts"), (-1, "negative"), (np.nan, "not finite")])
def test_bad_values_of_later_blocks_are_found_when_the_model_is_made(batches, value, message):
    spatial = bare(batches[0])
    x = spatial.X.toarray()
    x[110, 3] = value
    x[130, 2] = value
    spatial.X = da.from_array(x, chunks=(30, -1))
    StImputeModel.setup_anndata(spatial)
    reference = bare(batches[1])
    StImputeModel.setup_anndata(reference)
    with pytest.raises(ValueError, match=f"{message}.*cell {spatial.obs_names[110]!r} and gene 'Gene06'"):
        StImputeModel(spatial, reference)


def test_bad_values_of_the_first_block_are_found_at_setup(batches):
    spatial = bare(batches[0])
    x = spatial.X.toarray()
    x[2, 3] = 0.5
    spatial.X = da.from_array(x, chunks=(30, -1))
    with pytest.raises(ValueError, match="raw counts.*cell 'cell2' and gene 'Gene06'"):
        StImputeModel.setup_anndata(spatial)


def test_integers_declared_as_normalized_warn_after_the_pass(batches):
    spatial, reference = bare(batches[0]), bare(batches[1])
    spatial.X = da.from_array(spatial.X.toarray(), chunks=(30, -1))
    StImputeModel.setup_anndata(spatial, expression="normalized")
    StImputeModel.setup_anndata(reference)
    with pytest.warns(UserWarning, match="All values are integers"):
        StImputeModel(spatial, reference)


def test_normalized_values(batches):
    spatial, reference = bare(batches[0]), bare(batches[1])
    spatial.X = spatial.X.log1p()
    expected = train(bare(spatial), bare(reference), expression="normalized")
    model = train(dask_backed(spatial, (30, -1), sparse.csr_matrix), reference, expression="normalized")
    assert_same(impute(model), impute(expected))


def test_a_file_that_is_open_for_writing_is_refused(batches, tmp_path):
    bare(batches[0]).write_h5ad(tmp_path / "a.h5ad")
    spatial = ad.read_h5ad(tmp_path / "a.h5ad", backed="r+")
    with pytest.raises(ValueError, match='open for writing.*backed="r"'):
        StImputeModel.setup_anndata(spatial)
    spatial.file.close()


def test_a_matrix_by_gene_that_does_not_fit_is_refused(batches, tmp_path, monkeypatch):
    spatial = in_form(batches[0], "backed CSC", tmp_path)
    monkeypatch.setattr(_rows.psutil, "virtual_memory", lambda: type("Memory", (), {"available": 1000}))
    with pytest.raises(MemoryError, match=r"stored by gene \(CSC\).*tocsr"):
        StImputeModel.setup_anndata(spatial)


def in_blocks(matrix):
    """A Dask array of sparse blocks."""
    return da.concatenate([da.from_array(matrix[i : i + 50], chunks=-1, asarray=False) for i in (0, 50, 100)])


def stored_zeros(x):
    """A sparse matrix that stores every value, zeros too."""
    matrix = sparse.csr_matrix(x + 1)
    matrix.data -= 1
    return matrix


@pytest.mark.parametrize(
    "form", [lambda x: da.from_array(x, chunks=(50, -1)), stored_zeros, lambda x: in_blocks(stored_zeros(x))]
)
def test_cells_without_counts_are_reported(batches, expected, form):
    section = bare(batches[0])
    x = section.X.toarray()
    x[[3, 77]] = 0
    section.X = form(x)
    with pytest.warns(UserWarning, match="2 of 150 spatial cells have no count"):
        impute(expected[0], section)


def test_missing_genes_are_named(expected, batches, tmp_path):
    section = in_form(batches[0][:, 2:], "backed CSR", tmp_path)
    with pytest.raises(ValueError, match="2 of them are not in this AnnData.*Gene01, Gene02"):
        impute(expected[0], section)


# ---------------------------------------------------------------- save and load


@pytest.mark.parametrize("form", ["backed CSR", "lazy HDF5 CSR", "Dask CSR"])
@pytest.mark.slow
def test_lazy_data_are_saved_with_the_model(batches, expected, form, tmp_path):
    (tmp_path / "reference").mkdir()
    spatial = in_form(batches[0], form, tmp_path)
    reference = in_form(batches[1], form, tmp_path / "reference")
    model = train(spatial, reference, batch_key="batch")
    model.save(tmp_path / "model", save_anndata=True, save_reference=True)
    assert_same(impute(model, interval=0.8), expected[1])  # files are where they were
    loaded = StImputeModel.load(tmp_path / "model")
    assert_same(impute(loaded, interval=0.8), expected[1])


def test_a_saved_model_takes_lazy_data(saved, model, tmp_path):
    spatial = in_form(model.adata, "backed CSR", tmp_path)
    loaded = StImputeModel.load(saved, adata=spatial, reference=model.reference)
    assert_same(impute(loaded), impute(model))


@pytest.mark.filterwarnings("ignore:.* shared gene")
@pytest.mark.parametrize("form_of_file", [None, "backed CSR"])
@pytest.mark.parametrize("what", ["names", "values"])
def test_without_a_shared_gene_the_error_is_clear_in_any_form(batches, what, form_of_file, tmp_path):
    spatial, reference = bare(batches[0]), bare(batches[1])
    if what == "names":
        spatial.var_names = [f"ENSMUSG{number:011}" for number in range(spatial.n_vars)]
    else:
        reference.X = sparse.csr_matrix(reference.shape, dtype=np.float32)
    if form_of_file is not None:
        spatial = in_form(spatial, form_of_file, tmp_path)
    with pytest.raises(ValueError, match="Found 0 genes|0 of 24 shared genes"):
        train(spatial, reference)


def test_lazy_references_with_relations_are_joined(tmp_path):
    _, reference = small_pair()
    pp.add_gene_network(
        reference, pd.DataFrame({"a": reference.var_names[:5], "b": reference.var_names[5:10]}), name="edges"
    )
    parts = []
    for number, rows in enumerate((slice(0, None, 2), slice(1, None, 2))):
        (tmp_path / str(number)).mkdir()
        parts.append(reference[rows].copy())
    expected = pp.join_references(parts)
    lazy = [in_form(part, "lazy HDF5 CSR", tmp_path / str(number)) for number, part in enumerate(parts)]
    joined = pp.join_references(lazy)
    np.testing.assert_array_equal(joined.X.toarray(), expected.X.toarray())
    assert {*joined.varm, *joined.varp} == {*expected.varm, *expected.varp} != set()
    for key, value in expected.varm.items():
        np.testing.assert_array_equal(joined.varm[key], value)
    for key, value in expected.varp.items():
        assert (joined.varp[key] != value).nnz == 0


def test_raw_of_data_that_are_not_in_memory_is_saved(form_of_file, tmp_path):
    adata = small_pair(proteins=False)[0]
    adata.raw = adata.copy()
    adata = in_form(adata[:, :9].copy(), form_of_file, tmp_path)
    _persist.write_data(adata, tmp_path / "saved.h5ad")
    saved = ad.read_h5ad(tmp_path / "saved.h5ad")
    assert saved.raw.shape == (adata.n_obs, 24)
    assert (saved.raw.X != small_pair(proteins=False)[0].X).nnz == 0


def test_labels_and_sections_of_lazy_cells_are_read(batches, tmp_path):
    spatial = bare(batches[0])
    spatial.obs["explained"] = np.linspace(-1, 1, spatial.n_obs)
    lazy = in_form(spatial, "lazy HDF5 CSR", tmp_path)
    sections = find_sections(lazy, "batch")
    assert {name: len(cells) for name, cells in sections} == spatial.obs["batch"].value_counts().to_dict()
    assert len(pl.explained(lazy, return_ax=True)) == 2

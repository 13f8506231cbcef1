"""The AnnData that `impute` returns, in memory, in a store and in a file."""

import errno
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import anndata
import dask
import h5py
import numpy as np
import pandas as pd
import psutil
import pytest
import scanpy as sc
import zarr
from anndata._io.specs.registry import IORegistryError
from small import bare, fit, set_up, values

import stimpute
from stimpute.data._result import units, without_values
from stimpute.model import _impute
from stimpute.model._storage import check_room

GENES = ["Gene40", "Gene07", "Gene03"]
TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def model(pair):
    """A model of one recipe: what is tested here is the same for all."""
    return fit(*pair, "linear")


@pytest.fixture(scope="module")
def imputed(model, pair):
    return model.impute(genes=list(pair[1].var_names), progress=False)


@pytest.fixture(params=["x.zarr", "x.h5ad"])
def out(request, tmp_path):
    """A store, and a file."""
    return tmp_path / request.param


def read(path):
    return anndata.read_h5ad(path) if path.suffix == ".h5ad" else anndata.read_zarr(path)


def entries(path):
    return sorted(entry.name for entry in path.iterdir())


# ---------------------------------------------------------------- what is in it


def test_store_and_returned_object_are_the_same(model, pair, out):
    section = pair[0].copy()  # with the columns and keys of scvi-tools
    section.obs["empty"] = pd.Categorical([None] * section.n_obs, categories=["a", "b"])
    section.obsm["other"] = np.arange(3.0 * section.n_obs).reshape(-1, 3)
    section.uns["cell_type_colors"] = np.array(["#000000", "#ffffff"])
    section.uns["spatial"] = {"library": {"scalefactors": {"spot": 1.5}}}
    memory = model.impute(section, genes=GENES, progress=False)
    returned = model.impute(section, genes=GENES, out=out, progress=False)
    stored = read(out)
    assert list(memory.obs) == list(returned.obs) == list(stored.obs) == ["cell_type", "domain", "empty"]
    for result in (returned, stored):
        pd.testing.assert_frame_equal(result.obs, memory.obs, check_categorical=False)
        pd.testing.assert_frame_equal(result.var, memory.var)
        assert result.obsm.keys() == memory.obsm.keys() == {"spatial", "other"}
        for key, value in memory.obsm.items():
            np.testing.assert_array_equal(result.obsm[key], value)
        assert result.uns.keys() == memory.uns.keys() == {"stimpute", "log1p", "spatial", "cell_type_colors"}
        assert result.uns["spatial"]["library"]["scalefactors"]["spot"] == 1.5
        assert result.uns["stimpute"].keys() == memory.uns["stimpute"].keys()
        np.testing.assert_allclose(values(result.to_memory()), memory.X, atol=1e-5)


def test_the_store_is_read_lazily(model, out):
    result = model.impute(genes=GENES, out=out, progress=False)
    assert not isinstance(result.X, np.ndarray)
    assert result.X.shape == (model.adata.n_obs, len(GENES))


@pytest.mark.parametrize("of_anndata", [2, 3])
def test_a_store_has_the_version_that_viewers_read(model, tmp_path, of_anndata):
    """Whatever AnnData writes by default."""
    with anndata.settings.override(zarr_write_format=of_anndata):
        imputed = model.impute(genes=GENES, out=tmp_path / "x.zarr", progress=False)
    assert (tmp_path / "x.zarr" / ".zmetadata").is_file()
    assert not list((tmp_path / "x.zarr").rglob("zarr.json"))
    np.testing.assert_array_equal(anndata.read_zarr(tmp_path / "x.zarr").X, imputed.X.compute())


def test_an_address_is_no_path(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"`out` is s3://bucket/imputed.zarr; expected a path on a disk"):
        model.impute(genes=GENES, out="s3://bucket/imputed.zarr", progress=False)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["o.h5", "o.csv", "o.CSV", ".h5ad", ".zarr"])
def test_a_store_does_not_get_the_name_of_another_kind_of_file(model, tmp_path, name):
    with pytest.raises(ValueError, match=r"expected the name of a zarr store.*'imputed.h5ad'"):
        model.impute(genes=GENES, out=tmp_path / name, progress=False)
    assert not list(tmp_path.iterdir())


def test_the_folder_of_a_result_is_made(model, out):
    path = out.parent / "results" / "today" / out.name
    model.impute(genes=GENES, out=path, progress=False)
    assert read(path).n_vars == len(GENES)


def test_what_exists_is_kept(model, out):
    out.write_text("of yesterday")
    with pytest.raises(FileExistsError, match="Name another `out=`"):
        model.impute(genes=GENES, out=out, progress=False)
    assert out.read_text() == "of yesterday"


def test_a_result_that_is_written_over_its_own_values_is_an_error(model, out):
    result = model.impute(genes=GENES, out=out, progress=False)
    result.obs["cluster"] = "a"
    write = result.write_h5ad if out.suffix == ".h5ad" else result.write_zarr
    expected = np.asarray(result.X)
    write(out.with_stem("other"))
    np.testing.assert_array_equal(read(out.with_stem("other")).X, expected)
    with pytest.raises(stimpute.data._checksums.ChangedDataError, match="to another path than that of its own values"):
        write(out)


def test_a_result_does_not_get_the_values_of_one_that_replaces_it(model, out):
    first = model.impute(genes=GENES, out=out, progress=False)
    shutil.rmtree(out) if out.is_dir() else out.unlink()
    second = model.impute(genes=GENES[::-1], out=out, progress=False)
    with pytest.raises(stimpute.data._checksums.ChangedDataError, match="was written again"):
        np.asarray(first.X)
    np.testing.assert_array_equal(second.X, model.impute(genes=GENES[::-1], progress=False).X)


def test_a_file_has_the_values_of_a_store(model, pair, tmp_path, monkeypatch):
    """To the bit, chunk by chunk, for genes of all folds in any order."""
    monkeypatch.setattr("stimpute.model._chunks.GENES_PER_CHUNK", 7)
    genes = list(pair[1].var_names)[::-1]
    options = {"genes": genes, "batch_size": 40, "progress": False}
    store = model.impute(out=tmp_path / "x.zarr", **options)
    file = model.impute(out=tmp_path / "x.h5ad", **options)
    np.testing.assert_array_equal(np.asarray(file.X), np.asarray(store.X))
    assert file.X.chunks == store.X.chunks
    with h5py.File(tmp_path / "x.h5ad") as written:
        assert written["X"].chunks == (40, 7)


def test_a_file_is_as_anndata_writes_it(model, tmp_path):
    """Other readers find what they expect."""
    model.impute(genes=GENES, out=tmp_path / "x.h5ad", progress=False)
    model.impute(genes=GENES, progress=False).write_h5ad(tmp_path / "y.h5ad")

    def described(path):
        found = {}
        with h5py.File(path) as file:
            file.visititems(lambda name, item: found.update({name: {**item.attrs}}))
            return {**file.attrs}, {name: str(attrs) for name, attrs in found.items()}

    assert described(tmp_path / "x.h5ad") == described(tmp_path / "y.h5ad")
    backed = anndata.read_h5ad(tmp_path / "x.h5ad", backed="r")
    assert backed[:5, "Gene07"].to_memory().shape == (5, 1)


def test_a_file_is_filled_some_chunks_of_cells_at_a_time(model, tmp_path, monkeypatch):
    """What is computed at once does not grow with the number of cells."""
    monkeypatch.setattr("stimpute.model._values.BYTES_AT_ONCE", 4 * 50 * len(GENES))
    compute = dask.compute
    sizes = []

    def spy(*args, **kwargs):
        computed = compute(*args, **kwargs)
        sizes.append(sum(block.size for block in computed))
        return computed

    with monkeypatch.context() as watched:
        watched.setattr(dask, "compute", spy)
        model.impute(genes=GENES, out=tmp_path / "x.h5ad", batch_size=25, progress=False)
    assert sizes == [50 * len(GENES)] * 3


def test_a_result_says_what_to_cite(imputed):
    assert imputed.uns["stimpute"]["cite"].startswith(f"stimpute {version('stimpute')}, https://")
    assert "10.1038/s42003-024-06964-2" in imputed.uns["stimpute"]["cite"]


def test_units_say_what_is_scaled():
    assert units(counts=True) == "log1p of counts scaled to the median total of the spatial cells"
    assert units(counts=False) == "the units of the normalized spatial data"


def test_the_result_shares_nothing_with_the_section(pair):
    section = bare(pair[0])
    section.uns["spatial"] = {"library": [1]}
    result = without_values(section, pd.DataFrame(index=["g"]), {"units": "x"})
    result.uns["spatial"]["library"].append(2)
    result.obs["domain"] = "other"
    assert section.uns["spatial"]["library"] == [1]
    assert not (section.obs["domain"] == "other").any()


# ---------------------------------------------------------------- when something goes wrong


def test_a_column_that_cannot_be_written_fails_before_anything_is_computed(model, pair, out, monkeypatch):
    section = bare(pair[0])
    section.obs["acquired"] = pd.Timestamp("2024-05-01")
    computed = []
    monkeypatch.setattr(_impute, "predict_chunks", lambda *args, **kwargs: computed.append(args))
    with pytest.raises(IORegistryError, match="acquired"):
        model.impute(section, genes=GENES, out=out, progress=False)
    assert not computed
    assert not entries(out.parent)
    model.impute(section, genes=GENES, progress=False)  # in memory the column does no harm


def test_a_store_has_its_name_only_when_it_is_whole(model, out, monkeypatch):
    predict = _impute.predict_chunks

    def spy(*args, **kwargs):
        predict(*args, **kwargs)
        assert not out.exists()
        assert len(entries(out.parent)) == 1

    monkeypatch.setattr(_impute, "predict_chunks", spy)
    model.impute(genes=GENES, out=out, progress=False)
    assert entries(out.parent) == [out.name]


@pytest.mark.parametrize("error", [MemoryError("too much"), KeyboardInterrupt("enough")])
def test_an_error_in_the_middle_leaves_nothing(model, out, monkeypatch, error):
    def fail(predictor, cells, chunks, blocks, arrays, options, **kwargs):
        arrays["X"][:2] = 1
        raise error

    with monkeypatch.context() as broken:
        broken.setattr(_impute, "predict_chunks", fail)
        with pytest.raises(type(error), match=str(error)):
            model.impute(genes=GENES, out=out, progress=False)
    assert not entries(out.parent)
    model.impute(genes=GENES, out=out, progress=False)
    assert read(out).shape == (model.adata.n_obs, len(GENES))


@pytest.mark.slow
def test_a_process_that_is_killed_leaves_no_store_of_that_name(tmp_path):
    script = """
import os, signal, sys
import linear_recipe
from small import fit, set_up, small_pair
from stimpute.model import _impute

def die(predictor, cells, chunks, blocks, arrays, options, **kwargs):
    arrays["X"][:2] = 1
    os.kill(os.getpid(), signal.SIGKILL)

model = fit(*set_up(*small_pair()), "linear")
_impute.predict_chunks = die
model.impute(genes=["Gene40"], out=sys.argv[1], progress=False)
"""
    command = [sys.executable, "-c", script, str(tmp_path / "x.zarr")]
    path = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH")]))
    killed = subprocess.run(command, check=False, env={**os.environ, "PYTHONPATH": path})
    assert killed.returncode == -9
    assert "x.zarr" not in entries(tmp_path)
    assert len(entries(tmp_path)) == 1  # what it had written, under another name


def test_a_result_of_another_process_does_no_harm(model, tmp_path):
    """What a killed process left under another name is not in the way."""
    left = tmp_path / ".x.1.partial.zarr"
    zarr.open_group(str(left), mode="w")
    model.impute(genes=GENES, out=tmp_path / "x.zarr", progress=False)
    assert anndata.read_zarr(tmp_path / "x.zarr").n_vars == len(GENES)


def test_a_failing_computation_in_memory_leaves_the_model_as_it_was(model, imputed, monkeypatch):
    def fail(*args, **kwargs):
        raise MemoryError("too much")

    with monkeypatch.context() as broken:
        broken.setattr(_impute, "predict_chunks", fail)
        with pytest.raises(MemoryError, match="too much"):
            model.impute(genes=GENES, progress=False)
    np.testing.assert_array_equal(values(model.impute(genes=list(imputed.var_names), progress=False)), imputed.X)


def test_room_is_asked_for_all_layers(monkeypatch):
    """Intervals are two more layers of the same size."""
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=4 * 100 * 100 * 2))
    check_room(100, 100, 1, None)
    with pytest.raises(MemoryError, match=r"100 cells × 100 genes × 3 float32"):
        check_room(100, 100, 3, None)
    check_room(100, 100, 3, "x.zarr")


def test_a_file_needs_free_disk_space(monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=4 * 100 * 100 * 2))
    check_room(100, 100, 2, tmp_path / "x.h5ad")
    check_room(100, 100, 3, tmp_path / "x.zarr")  # compressed: unknown
    with pytest.raises(OSError, match=r"100 cells × 100 genes × 3 float32.*free in .*another disk"):
        check_room(100, 100, 3, tmp_path / "x.h5ad")


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="this system reserves no disk space")
def test_the_place_of_a_file_is_reserved_before_anything_is_computed(model, tmp_path, monkeypatch):
    predict = _impute.predict_chunks
    reserved = []

    def spy(*args, **kwargs):
        (partial,) = tmp_path.iterdir()
        reserved.append(partial.stat().st_blocks * 512)
        predict(*args, **kwargs)

    monkeypatch.setattr(_impute, "predict_chunks", spy)
    imputed = model.impute(out=tmp_path / "x.h5ad", progress=False)
    assert reserved[0] >= 4 * imputed.n_obs * imputed.n_vars

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left"):
        model.impute(out=tmp_path / "y.h5ad", progress=False)
    assert len(reserved) == 1
    assert entries(tmp_path) == ["x.h5ad"]


def test_the_case_of_the_ending_does_not_matter(model, tmp_path):
    model.impute(genes=GENES, out=tmp_path / "x.H5AD", progress=False)
    assert (tmp_path / "x.H5AD").is_file()


def test_text_with_missing_values_is_stored_as_it_is(model, pair, out):
    section = pair[0].copy()
    section.obs["region"] = [None if number % 3 else "cortex" for number in range(section.n_obs)]
    section.obs["note"] = np.full(section.n_obs, np.nan, dtype=object)
    section.obs["kind"] = pd.array(["a", None, *["b"] * (section.n_obs - 2)], dtype="string")
    returned = model.impute(section, genes=GENES, out=out, progress=False)
    for result in (returned, read(out)):
        assert result.obs["region"].isna().tolist() == section.obs["region"].isna().tolist()
        assert set(result.obs["region"].dropna()) == {"cortex"}
        assert result.obs["note"].isna().all()
        assert result.obs["kind"].isna().tolist() == section.obs["kind"].isna().tolist()
    assert section.obs["region"].dtype == object


def test_the_total_of_the_scale_is_that_of_the_training_cells(model, pair):
    section = pair[0][:40].copy()
    section.X = 4 * section.X
    recorded = model.impute(section, genes=GENES, progress=False).uns["stimpute"]["target_sum"]
    totals = np.asarray(pair[0][:, model.input_genes].X.sum(1)).ravel()
    assert recorded == pytest.approx(np.median(totals[totals > 0]))
    assert recorded == model.training_record["target_sum"]


def test_measured_values_have_the_scale_of_the_imputed_ones(pair):
    """Totals count the input genes: neither those that the reference never expresses, nor further ones of a section."""
    spatial, reference = (bare(adata) for adata in pair)
    silent = spatial.var_names[0]
    for adata, factor in ((spatial, 50), (reference, 0)):
        adata.X = adata.X.toarray()
        adata.X[:, adata.var_names.get_loc(silent)] *= factor
    with pytest.warns(UserWarning, match="zero in every cell"):
        model = fit(*set_up(spatial, reference), "linear")
    others = anndata.AnnData(spatial.X[:, :5], obs=spatial.obs, var=pd.DataFrame(index=[f"New{i}" for i in range(5)]))
    further = anndata.concat([spatial, others], axis=1, merge="same")
    further.obsm["spatial"] = spatial.obsm["spatial"]
    counts = spatial[:, model.input_genes].X.toarray()
    totals = counts.sum(1, keepdims=True)
    expected = np.log1p(counts / totals * np.median(totals))
    for section in (spatial, further):
        result = model.impute(section, genes=GENES, progress=False)
        measured = stimpute.tl.join_measured(section, result)[:, model.input_genes].X
        np.testing.assert_allclose(measured, expected, rtol=1e-5)
        about = {name: result.uns["stimpute"][name] for name in ("target_sum", "input_genes")}
        values = stimpute.pp.measured_expression(section, **about)[:, model.input_genes].X.toarray()
        np.testing.assert_allclose(values, expected, rtol=1e-5)


def test_principal_components_of_the_measured_genes_are_not_those_of_the_result(model, pair):
    section = pair[0].copy()
    section.obsm["X_pca"] = np.zeros((section.n_obs, 3))
    assert "X_pca" not in model.impute(section, genes=GENES, progress=False).obsm


def test_scanpy_finds_that_values_are_logarithms(model, pair, tmp_path):
    counts = model.impute(pair[0], genes=GENES, progress=False)
    assert counts.uns["log1p"] == stimpute.pp.measured_expression(pair[0]).uns["log1p"] == {"base": np.e}
    sc.settings.logfile = tmp_path / "log"
    try:
        sc.pp.log1p(counts, copy=True)
    finally:
        sc.settings.logfile = None
    assert "already log-transformed" in (tmp_path / "log").read_text()
    normalized = sc.pp.log1p(pair[0], base=2, copy=True)
    of_base_2 = stimpute.pp.measured_expression(normalized, expression="normalized")
    assert of_base_2.uns["log1p"] == {"base": 2}
    joined = stimpute.tl.join_measured(pair[0], counts)
    joined.write_h5ad(tmp_path / "joined.h5ad")
    assert read(tmp_path / "joined.h5ad").uns["log1p"] == {"base": np.e}
    both = anndata.concat([counts, counts], merge="same", uns_merge="same")
    assert {"log1p", "stimpute"} <= set(both.uns)
    assert list(both.uns["stimpute"]["input_genes"]) == list(model.input_genes)

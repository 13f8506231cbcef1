"""The AnnData that `impute` returns, in memory and in a store."""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import anndata
import numpy as np
import pandas as pd
import psutil
import pytest
import zarr
from anndata._io.specs.registry import IORegistryError
from small import bare, fit, values

from stimpute.data._result import units, without_values
from stimpute.model import _impute
from stimpute.model._result import check_room

GENES = ["Gene40", "Gene07", "Gene03"]
TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def model(pair):
    """A model of one recipe: what is tested here is the same for all."""
    return fit(*pair, "linear")


@pytest.fixture(scope="module")
def imputed(model, pair):
    return model.impute(genes=list(pair[1].var_names), progress=False)


def entries(path):
    return sorted(entry.name for entry in path.iterdir())


# ---------------------------------------------------------------- what is in it


def test_store_and_returned_object_are_the_same(model, pair, tmp_path):
    section = pair[0].copy()  # with the columns and keys of scvi-tools
    section.obs["empty"] = pd.Categorical([None] * section.n_obs, categories=["a", "b"])
    section.obsm["other"] = np.arange(3.0 * section.n_obs).reshape(-1, 3)
    section.uns["cell_type_colors"] = np.array(["#000000", "#ffffff"])
    section.uns["spatial"] = {"library": {"scalefactors": {"spot": 1.5}}}
    memory = model.impute(section, genes=GENES, progress=False)
    returned = model.impute(section, genes=GENES, out=tmp_path / "x.zarr", progress=False)
    stored = anndata.read_zarr(tmp_path / "x.zarr")
    assert list(memory.obs) == list(returned.obs) == list(stored.obs) == ["cell_type", "domain", "empty"]
    for result in (returned, stored):
        pd.testing.assert_frame_equal(result.obs, memory.obs, check_categorical=False)
        pd.testing.assert_frame_equal(result.var, memory.var)
        assert result.obsm.keys() == memory.obsm.keys() == {"spatial", "other"}
        for key, value in memory.obsm.items():
            np.testing.assert_array_equal(result.obsm[key], value)
        assert result.uns.keys() == memory.uns.keys() == {"stimpute", "spatial", "cell_type_colors"}
        assert result.uns["spatial"]["library"]["scalefactors"]["spot"] == 1.5
        assert result.uns["stimpute"].keys() == memory.uns["stimpute"].keys()
        np.testing.assert_allclose(values(result.to_memory()), memory.X, atol=1e-5)


def test_the_store_is_read_lazily(model, tmp_path):
    result = model.impute(genes=GENES, out=tmp_path / "x.zarr", progress=False)
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


@pytest.mark.parametrize("name", ["o.h5ad", "o.csv"])
def test_a_store_does_not_get_the_name_of_another_kind_of_file(model, tmp_path, name):
    with pytest.raises(ValueError, match=r"expected the name of a zarr store.*write_h5ad"):
        model.impute(genes=GENES, out=tmp_path / name, progress=False)
    assert not list(tmp_path.iterdir())


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


def test_a_column_that_cannot_be_written_fails_before_anything_is_computed(model, pair, tmp_path, monkeypatch):
    section = bare(pair[0])
    section.obs["acquired"] = pd.Timestamp("2024-05-01")
    computed = []
    monkeypatch.setattr(_impute, "predict_chunks", lambda *args, **kwargs: computed.append(args))
    with pytest.raises(IORegistryError, match="acquired"):
        model.impute(section, genes=GENES, out=tmp_path / "x.zarr", progress=False)
    assert not computed
    assert not entries(tmp_path)
    model.impute(section, genes=GENES, progress=False)  # in memory the column does no harm


def test_a_store_has_its_name_only_when_it_is_whole(model, tmp_path, monkeypatch):
    out = tmp_path / "x.zarr"
    predict = _impute.predict_chunks

    def spy(*args, **kwargs):
        predict(*args, **kwargs)
        assert not out.exists()
        assert len(entries(tmp_path)) == 1

    monkeypatch.setattr(_impute, "predict_chunks", spy)
    model.impute(genes=GENES, out=out, progress=False)
    assert entries(tmp_path) == ["x.zarr"]


@pytest.mark.parametrize("error", [MemoryError("too much"), KeyboardInterrupt("enough")])
def test_an_error_in_the_middle_leaves_nothing(model, tmp_path, monkeypatch, error):
    def fail(predictor, cells, chunks, blocks, arrays, options, **kwargs):
        arrays["X"][:2] = 1
        raise error

    with monkeypatch.context() as broken:
        broken.setattr(_impute, "predict_chunks", fail)
        with pytest.raises(type(error), match=str(error)):
            model.impute(genes=GENES, out=tmp_path / "x.zarr", progress=False)
    assert not entries(tmp_path)
    model.impute(genes=GENES, out=tmp_path / "x.zarr", progress=False)
    assert anndata.read_zarr(tmp_path / "x.zarr").shape == (model.adata.n_obs, len(GENES))


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

"""Lazy results, and the schedulers of Dask."""

import gc
import os
import pickle
import signal
import sys
import threading

import anndata as ad
import dask
import dask.array as da
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import squidpy as sq
from lazy import in_form
from small import bare, can, predict_pickled, values

from stimpute.model import _encodings
from stimpute.model._chunks import gene_chunks
from stimpute.model._encodings import n_bytes

CLOSE = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture
def all_genes(pair):
    return list(pair[1].var_names)


@pytest.fixture
def several_chunks(monkeypatch):
    monkeypatch.setattr("stimpute.model._chunks.GENES_PER_CHUNK", 7)


def lazy_result(model, genes=None, **options):
    return model.impute(genes=genes, lazy=True, batch_size=40, progress=False, **options)


# ---------------------------------------------------------------- lazy results


def test_a_lazy_result_has_the_values_of_one_in_memory(model, all_genes, imputed, several_chunks, recipe):
    interval = 0.9 if can(recipe, "intervals") else None
    result = lazy_result(model, all_genes, interval=interval)
    expected = model.impute(genes=all_genes, interval=interval, progress=False)
    assert isinstance(result.X, da.Array)
    assert result.X.shape == expected.shape
    assert result.X.dtype == np.float32
    in_memory = result.to_memory()
    assert isinstance(in_memory.X, np.ndarray)
    np.testing.assert_allclose(in_memory.X, expected.X, **CLOSE)
    assert in_memory.layers.keys() == expected.layers.keys()
    for name, layer in expected.layers.items():
        np.testing.assert_allclose(in_memory.layers[name], layer, **CLOSE)
    pd.testing.assert_frame_equal(result.var, expected.var, rtol=1e-4, atol=1e-5)
    pd.testing.assert_frame_equal(result.obs, expected.obs)
    assert result.uns.keys() == expected.uns.keys()


SLICES = {
    "a gene": (slice(None), "Gene30"),
    "genes": (slice(None), ["Gene30", "Gene01", "Gene12"]),
    "cells": (slice(17, 93), slice(None)),
    "cells and genes": (np.array([3, 99, 41]), ["Gene42", "Gene00"]),
    "a mask": (slice(None), np.arange(44) % 5 == 1),
    "steps": (slice(None, None, 3), slice(5, 30, 4)),
    "one value": (5, 7),
}


@pytest.mark.parametrize("name", SLICES)
@pytest.mark.needs("intervals")
def test_slices(model, all_genes, imputed, several_chunks, name):
    result = lazy_result(model, all_genes)
    found = result[SLICES[name]]
    expected = imputed[SLICES[name]]
    assert list(found.var_names) == list(expected.var_names)
    np.testing.assert_allclose(values(found.to_memory()), expected.X, **CLOSE)
    np.testing.assert_allclose(values(found.copy().to_memory()), expected.X, **CLOSE)


@pytest.mark.parametrize(
    "index",
    [
        np.s_[:, 3], np.s_[7], np.s_[:, -1], np.s_[2:9, [5, 1]], np.s_[..., 4], np.s_[:, 3:3], np.s_[4, 5],
        np.s_[:, [2, 2]], np.s_[[1, 0]], np.s_[:, np.array([True, False] * 22)], np.s_[:, None, 3],
        np.s_[np.int64(3), :],
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.needs("intervals")
def test_indices_mean_what_they_mean_in_numpy(model, all_genes, imputed, several_chunks, index):
    x = lazy_result(model, all_genes).X
    np.testing.assert_allclose(np.asarray(x[index]), imputed.X[index], **CLOSE)
    np.testing.assert_allclose(np.asarray(x[10:60][:, 3]), imputed.X[10:60, 3], **CLOSE)


@pytest.mark.parametrize("index", [np.s_[:, 44], np.s_[:, [3, 99]], np.s_[150]], ids=str)
def test_an_index_out_of_bounds(model, all_genes, index):
    with pytest.raises(IndexError):
        lazy_result(model, all_genes).X[index]


def test_only_the_genes_that_are_asked_for_are_predicted(model, all_genes, monkeypatch, recipe):
    result = lazy_result(model, all_genes)
    predictor = model.predictor()
    chunks = gene_chunks(predictor, np.arange(len(all_genes)), model.data.attached.reference)
    block_type = type(predictor.gene_block(chunks[0].targets, chunks[0].fold))
    predicted = []
    predict = block_type.predict

    def spy(self, cells, options):
        predicted.append(len(self.table))
        return predict(self, cells, options)

    monkeypatch.setattr(block_type, "predict", spy)
    result[:, "Gene30"].to_memory()
    assert len(predicted) == 4  # chunks of cells
    can_divide = hasattr(block_type, "take")
    assert can_divide == (recipe != "linear")
    assert set(predicted) == {1} if can_divide else min(predicted) > 1


def test_cells_are_encoded_once(model, all_genes, monkeypatch):
    result = lazy_result(model, all_genes)
    encoder_type = type(model.predictor().cell_encoder(None))
    encoded = []
    encode = encoder_type.encode

    def spy(self, chunk):
        encoded.append(len(chunk))
        return encode(self, chunk)

    monkeypatch.setattr(encoder_type, "encode", spy)
    first = result[:, "Gene30"].to_memory()
    assert encoded == [40, 40, 40, 30] or sorted(encoded) == [30, 40, 40, 40]
    result[:, "Gene00"].to_memory()
    np.testing.assert_array_equal(first.X, result[:, "Gene30"].to_memory().X)
    assert len(encoded) == 4


@pytest.fixture
def no_memory(monkeypatch):
    monkeypatch.setattr(_encodings, "MEMORY_SHARE", 0)


def test_encoded_cells_beyond_the_memory_are_kept_in_a_file(model, all_genes, monkeypatch, no_memory):
    expected = model.impute(genes=all_genes, progress=False)
    result = lazy_result(model, all_genes)
    first = result[:, "Gene30"].to_memory().X
    encodings = result.X.source.cells.encodings
    assert encodings.size == 0
    assert 0 < encodings.file.size <= encodings.file.limit
    encoder_type = type(model.predictor().cell_encoder(None))
    monkeypatch.setattr(encoder_type, "encode", None)  # what is kept is not encoded again
    np.testing.assert_array_equal(result[:, "Gene30"].to_memory().X, first)
    np.testing.assert_allclose(result[:, "Gene00"].to_memory().X, expected[:, "Gene00"].X, **CLOSE)
    elsewhere = pickle.loads(pickle.dumps(result[:, "Gene30"].X))
    np.testing.assert_array_equal(np.asarray(elsewhere), first)


def test_no_more_is_kept_than_there_is_room_for(model, all_genes, monkeypatch, no_memory):
    expected = model.impute(genes=all_genes, progress=False)
    monkeypatch.setattr(_encodings, "DISK_SHARE", 0)
    result = lazy_result(model, all_genes)
    for gene in ("Gene30", "Gene00"):
        np.testing.assert_allclose(result[:, gene].to_memory().X, expected[:, gene].X, **CLOSE)
    assert result.X.source.cells.encodings.size == 0
    assert result.X.source.cells.encodings.file.size == 0


def test_encoded_cells_go_with_the_result(model, all_genes):
    result = lazy_result(model, all_genes)
    result[:, "Gene30"].to_memory()
    encodings = result.X.source.cells.encodings
    assert 0 < encodings.size <= encodings.limit
    token = encodings.token
    assert token in _encodings._OF_THIS_PROCESS
    del result, encodings
    gc.collect()  # AnnData refers to itself
    assert token not in _encodings._OF_THIS_PROCESS


def test_bytes_are_counted():
    assert n_bytes([np.zeros((3, 2), np.float32), {"a": np.zeros(2)}, 5]) == 3 * 2 * 4 + 16


def test_a_lazy_result_is_written_and_read(model, all_genes, imputed, several_chunks, tmp_path):
    result = lazy_result(model, all_genes)
    result.write_zarr(tmp_path / "a.zarr")
    result.write_h5ad(tmp_path / "a.h5ad")
    for back in (ad.read_zarr(tmp_path / "a.zarr"), ad.read_h5ad(tmp_path / "a.h5ad")):
        np.testing.assert_allclose(back.X, imputed.X, **CLOSE)
        assert list(back.var_names) == all_genes


def test_a_lazy_result_can_be_pickled(model, all_genes, imputed):
    result = pickle.loads(pickle.dumps(lazy_result(model, all_genes).X))
    np.testing.assert_allclose(np.asarray(result[:, [3, 1]]), imputed.X[:, [3, 1]], **CLOSE)


@pytest.mark.slow
def test_scanpy_and_squidpy_take_slices(model, all_genes, imputed):
    result = lazy_result(model, all_genes)
    frame = sc.get.obs_df(result[:, ["Gene30", "Gene01"]], ["Gene30"])
    np.testing.assert_allclose(frame["Gene30"], values(imputed, ["Gene30"])[:, 0], **CLOSE)
    some = result[:100, ["Gene30", "Gene01", "Gene02"]].to_memory()
    sc.pp.scale(some)
    sq.gr.spatial_neighbors(some)
    sq.gr.spatial_autocorr(some, mode="moran", show_progress_bar=False)
    assert set(some.uns["moranI"].index) == {"Gene30", "Gene01", "Gene02"}


def test_a_lazy_result_of_lazy_cells(model, all_genes, imputed, tmp_path):
    section = in_form(model.adata, "backed CSR", tmp_path)
    result = model.impute(section, genes=all_genes, lazy=True, batch_size=40, progress=False)
    np.testing.assert_allclose(result.to_memory().X, imputed.X, **CLOSE)


def test_a_lazy_result_is_not_stored_at_the_same_time(model, tmp_path):
    with pytest.raises(ValueError, match=r"`lazy=True` or `out=`, not both.*write_zarr"):
        model.impute(lazy=True, out=tmp_path / "x.zarr")


# ---------------------------------------------------------------- schedulers


def impute_everywhere(model, section, genes, folder):
    """The values in memory, in a store, in a file, and of a lazy result."""
    options = {"genes": genes, "batch_size": 40, "progress": False}
    in_memory = model.impute(section, **options).X
    stored = [np.asarray(model.impute(section, out=folder / name, **options).X) for name in ("x.zarr", "x.h5ad")]
    lazy = model.impute(section, lazy=True, **options)
    return in_memory, *stored, lazy.to_memory().X, lazy[:, genes[3]].to_memory().X


@pytest.fixture
def expected(model, all_genes, several_chunks, tmp_path):
    (tmp_path / "known").mkdir()
    with dask.config.set(scheduler="synchronous"):
        return impute_everywhere(model, bare(model.adata), all_genes, tmp_path / "known")


@pytest.mark.parametrize("kind", ["memory", "backed CSR", "Dask CSR"])
@pytest.mark.slow
def test_threads_give_the_same_bits(model, all_genes, expected, tmp_path, kind):
    section = bare(model.adata) if kind == "memory" else in_form(model.adata, kind, tmp_path)
    with dask.config.set(scheduler="threads", num_workers=3):
        found = impute_everywhere(model, section, all_genes, tmp_path)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", ["memory", "backed CSR"])
@pytest.mark.slow
def test_processes_give_the_same_bits(model, all_genes, expected, tmp_path, kind, other_process):
    section = bare(model.adata) if kind == "memory" else in_form(model.adata, kind, tmp_path)
    other_process.submit(pickle.dumps, predict_pickled).result()  # it has imported what it needs
    with dask.config.set(scheduler="processes", pool=other_process):
        found = impute_everywhere(model, section, all_genes, tmp_path)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed")
    with dask.config.set({"distributed.worker.daemon": True}):
        cluster = distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, env={"PYTHONPATH": ":".join(sys.path)}
        )
    with cluster, distributed.Client(cluster, set_as_default=False) as client:
        client.run(__import__, "linear_recipe")
        yield client


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["memory", "backed CSR"])
def test_a_cluster_gives_the_same_bits(model, all_genes, expected, tmp_path, kind, cluster):
    section = bare(model.adata) if kind == "memory" else in_form(model.adata, kind, tmp_path)
    with dask.config.set(scheduler=cluster), cluster.as_current():
        found = impute_everywhere(model, section, all_genes, tmp_path)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def let_a_worker_die(client, folder):
    """Kill a worker when it has finished three tasks, once; return the file that says so."""
    from distributed import WorkerPlugin

    class Death(WorkerPlugin):
        name = "death"
        finished = 0

        def __init__(self, path):
            self.path = path

        def transition(self, key, start, finish, **kwargs):
            self.finished += finish == "memory"
            if self.finished == 3 and not self.path.exists():
                self.path.write_text(str(os.getpid()))
                os.kill(os.getpid(), signal.SIGKILL)

    folder.mkdir()
    client.register_plugin(Death(folder / "died"))
    return folder / "died"


@pytest.mark.slow
@pytest.mark.needs("intervals")
def test_a_worker_that_dies_changes_nothing(model, all_genes, expected, tmp_path, cluster):
    section = bare(model.adata)
    options = {"genes": all_genes, "batch_size": 40, "progress": False}
    with cluster.as_current():
        died = let_a_worker_die(cluster, tmp_path / "lazy")
        np.testing.assert_array_equal(model.impute(section, lazy=True, **options).X.compute(), expected[3])
        assert died.exists()
        died = let_a_worker_die(cluster, tmp_path / "out")
        stored = model.impute(section, out=tmp_path / "x.zarr", **options)
        assert died.exists()
        died = let_a_worker_die(cluster, tmp_path / "file")
        in_file = model.impute(section, out=tmp_path / "x.h5ad", **options)
        assert died.exists()
    np.testing.assert_array_equal(np.asarray(stored.X), expected[1])
    np.testing.assert_array_equal(np.asarray(in_file.X), expected[2])


# ---------------------------------------------------------------- what it will take


def test_an_estimate_grows_with_cells_and_genes(model):
    small, large = model.estimate(1000, 20), model.estimate(100_000, 2000)
    assert large.result_bytes == 4 * 100_000 * 2000
    assert 0 < small.cpu_seconds < large.cpu_seconds
    assert 0 < small.memory_bytes < large.memory_bytes
    assert 0 < small.disk_bytes < large.disk_bytes < 2 * large.result_bytes
    assert f"{large.result_bytes / 2**30:.2f} GiB in memory" in str(large)


def test_an_estimate_is_of_the_training_data_and_the_unmeasured_genes(model):
    assert model.estimate().result_bytes == 4 * model.adata.n_obs * 20
    with pytest.raises(ValueError, match="`n_cells` is 0"):
        model.estimate(n_cells=0)


@pytest.mark.needs("intervals")
def test_intervals_are_two_more_layers(model):
    assert model.estimate(interval=0.9).result_bytes == 3 * model.estimate().result_bytes


def test_what_is_spilled_is_read_while_more_is_written():
    spill = _encodings.SpillFile()
    written, stop = [], threading.Event()

    def read():
        while not stop.is_set():
            for spilled in written[-3:]:
                spilled.load()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(2000):
            written.append(spill.write([np.full(3, number)]))  # 24 bytes: the end of the file is no place to begin
    finally:
        stop.set()
        reader.join()
    wrong = [number for number, spilled in enumerate(written) if (spilled.load()[0] != number).any()]
    assert wrong == []


@pytest.mark.parametrize("change", [sc.pp.log1p, lambda adata: adata.X.__setitem__(adata.X < 0.5, 0)])
def test_a_lazy_result_can_be_changed_in_place(model, change):
    """Genes that are selected afterwards have the change, and other results do not."""
    result = model.impute(lazy=True, progress=False)
    before = result.to_memory().X
    changed = result.copy()
    change(changed)
    after = changed.to_memory().X
    assert not np.array_equal(before, after)
    gene = result.var_names[0]
    np.testing.assert_allclose(changed[:, gene].to_memory().X, after[:, :1], rtol=1e-5)
    np.testing.assert_allclose(changed.copy()[:, gene].to_memory().X, after[:, :1], rtol=1e-5)
    np.testing.assert_array_equal(result.to_memory().X, before)
    np.testing.assert_allclose(result[:, gene].to_memory().X, before[:, :1], rtol=1e-5)

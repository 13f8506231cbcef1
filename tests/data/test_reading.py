"""Errors where the file of a Dask array is gone or damaged."""

import pickle
import shutil

import dask.array as da
import numpy as np
import pytest
import zarr
from dask._task_spec import Task
from lazy import FILES, annotated, in_form, path_of, remove
from scipy import sparse

from stimpute.data._checksums import ChangedDataError
from stimpute.data._reading import Reading, open_lazily, with_clear_errors
from stimpute.data._sources import sources_of

VALUES = np.arange(12.0).reshape(4, 3)
LAZY = [form for form in FILES if form.startswith("lazy")]


def test_errors_of_functions_that_read_no_file_stay_as_they_are():
    def fail(block):
        if block.size:
            raise OSError("of the user")
        return block

    array = with_clear_errors(da.ones((4, 2)).map_blocks(fail, dtype=float))
    with pytest.raises(OSError, match="^of the user$"):
        array.compute(scheduler="synchronous")


@pytest.mark.parametrize("form", LAZY)
def test_errors_of_tasks_that_read_nothing_stay_as_they_are(form, tmp_path):
    def fail(block):
        raise ArithmeticError("of the function")

    lazy = in_form(annotated(), form, tmp_path).X
    for array in (lazy, with_clear_errors(lazy)):
        computed = with_clear_errors(array.map_blocks(fail, dtype=float, meta=np.empty((0, 0))))
        with pytest.raises(ArithmeticError, match="of the function"):
            computed.compute(scheduler="synchronous")


@pytest.mark.parametrize("form", LAZY)
def test_only_the_functions_of_tasks_are_changed(form, tmp_path):
    array = in_form(annotated(), form, tmp_path).X
    found = with_clear_errors(array)
    assert (found.name, found.chunks, found.dtype) == (array.name, array.chunks, array.dtype)
    assert type(found._meta) is type(array._meta)
    before = dict(array.dask)
    after = dict(found.dask)
    assert before.keys() == after.keys()
    tasks = {key: task for key, task in before.items() if isinstance(task, Task)}
    assert tasks
    for key, task in tasks.items():
        assert after[key].dependencies == task.dependencies
        assert after[key].data_producer == task.data_producer


def test_a_task_with_keywords():
    store = zarr.create_array(zarr.storage.MemoryStore(), data=VALUES)
    read = Task(("x", 0, 0), lambda array, rows: array[rows], store, rows=slice(1, 3), _data_producer=True)
    array = with_clear_errors(da.Array({read.key: read}, "x", ((2,), (3,)), meta=VALUES))
    (task,) = dict(array.dask).values()
    assert isinstance(task.func, Reading)
    assert task.data_producer
    np.testing.assert_array_equal(array.compute(scheduler="synchronous"), VALUES[1:3])


def test_a_function_is_called_with_all_its_arguments():
    assert Reading(divmod, ())(7, 2) == (3, 1)
    assert Reading(sorted, ())([1, 3, 2], reverse=True) == [3, 2, 1]


def test_values_of_a_store_in_memory():
    array = zarr.create_array(zarr.storage.MemoryStore(), data=VALUES)
    np.testing.assert_array_equal(with_clear_errors(da.from_zarr(array)).compute(scheduler="synchronous"), VALUES)


def test_memory_errors_stay_as_they_are(tmp_path, monkeypatch):
    zarr.save_array(tmp_path / "x.zarr", VALUES)
    array = with_clear_errors(da.from_zarr(tmp_path / "x.zarr"))

    def fail(*args):
        raise MemoryError

    monkeypatch.setattr(zarr.Array, "__getitem__", fail)
    with pytest.raises(MemoryError):
        array.compute(scheduler="synchronous")


def test_an_array_is_read_in_another_process(tmp_path):
    """It is pickled with its sources."""
    zarr.save_array(tmp_path / "x.zarr", VALUES)
    array = pickle.loads(pickle.dumps(with_clear_errors(da.from_zarr(tmp_path / "x.zarr"))))
    np.testing.assert_array_equal(array.compute(scheduler="synchronous"), VALUES)
    shutil.rmtree(tmp_path / "x.zarr")
    with pytest.raises(ChangedDataError, match=r"cannot be read: .*x\.zarr: it was moved or removed"):
        array.compute(scheduler="synchronous")


@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csc_matrix])
def test_rows_and_columns_without_values_are_not_damaged(kind):
    matrix = kind((3, 4), dtype=np.float32)
    matrix[1, 2] = 1
    assert Reading(lambda: matrix, ())() is matrix


@pytest.mark.parametrize("indptr", [[0, 3, 0], [0, 2**31 - 1, -(2**31)], [0, -1, 3], [0, 9, 9], [1, 2, 3]])
def test_damaged_positions_of_rows_are_not_used(indptr):
    """Some of them make SciPy read where there is nothing."""
    matrix = sparse.csr_matrix(np.ones((2, 3), np.float32))
    matrix.data, matrix.indices = matrix.data[:3].copy(), matrix.indices[:3].copy()
    matrix.indptr = np.array(indptr, np.int32)
    with pytest.raises(ChangedDataError, match="cannot be read"):
        Reading(lambda: matrix, ())()


@pytest.mark.parametrize("position", [-1, 3, 2**31 - 1])
@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csc_matrix])
def test_damaged_positions_of_values_are_not_used(kind, position):
    matrix = kind(np.ones((3, 3), np.float32))
    matrix.indices[4] = position
    with pytest.raises(ChangedDataError, match="cannot be read: .*must be"):
        Reading(lambda: matrix, ())()


@pytest.mark.parametrize(
    "make",
    [
        lambda array, path: da.from_zarr(array),
        lambda array, path: da.from_array(array, chunks=(40, -1)),
        lambda array, path: da.from_zarr(str(path), component="x"),  # in a store of fsspec
    ],
)
@pytest.mark.parametrize("gone", ["a.zarr", "a.zarr/x"])
def test_an_array_that_a_user_made_of_a_store(tmp_path, make, gone):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    made = make(group.create_array("x", data=np.ones((90, 9))), tmp_path / "a.zarr")
    array = with_clear_errors(made)
    assert (array.name, array.chunks, array.dtype) == (made.name, made.chunks, made.dtype)
    assert array.sum().compute(scheduler="synchronous") == 810
    shutil.move(tmp_path / gone, tmp_path / "moved")
    with pytest.raises(ChangedDataError, match="a.zarr: it was moved or removed"):
        array.compute(scheduler="synchronous")
    assert not (tmp_path / gone).exists()
    shutil.move(tmp_path / "moved", tmp_path / gone)
    assert array.sum().compute(scheduler="synchronous") == 810


def test_tasks_are_changed_once(tmp_path):
    once = with_clear_errors(in_form(annotated(), "lazy zarr CSR", tmp_path).X)
    twice = with_clear_errors(once)
    readings = [task.func for task in dict(twice.dask).values() if isinstance(getattr(task, "func", None), Reading)]
    assert readings
    assert not any(isinstance(reading.function, Reading) for reading in readings)
    assert [str(source) for source in readings[0].sources] == [str(tmp_path / "a.zarr")]


def test_damaged_positions_are_noticed(tmp_path):
    adata = in_form(annotated(), "lazy zarr CSR", tmp_path)
    array = with_clear_errors(adata.X)
    indices = zarr.open_group(tmp_path / "a.zarr", mode="r+", use_consolidated=False)["X/indices"]
    indices[3] = 1000
    with pytest.raises(ChangedDataError, match="a.zarr: .*ind"):
        array.compute(scheduler="synchronous")


@pytest.mark.parametrize("form", LAZY)
def test_a_file_that_is_gone_is_named_once(form, tmp_path):
    x = annotated().X.toarray()
    array = with_clear_errors(in_form(annotated(), form, tmp_path).X)
    found = array.compute(scheduler="synchronous")
    np.testing.assert_array_equal(found if isinstance(found, np.ndarray) else found.toarray(), x)
    path = path_of(form, tmp_path)
    remove(path)
    with pytest.raises(ChangedDataError, match="Data that are not in memory cannot be read") as error:
        array.compute(scheduler="synchronous")
    assert str(error.value).count(str(path)) == 1
    with pytest.raises(ChangedDataError, match=str(path)):
        (array[:5] * 2).compute(scheduler="synchronous")


def test_a_large_store_is_opened_without_a_task_for_each_chunk(tmp_path):
    store = zarr.create_array(tmp_path / "x.zarr", shape=(10**7, 10**5), chunks=(1024, 256), dtype="float32")
    array = open_lazily(store)
    assert array.npartitions > 3_000_000
    assert not [name for name, layer in array.dask.layers.items() if layer.is_materialized() and len(layer) > 1]
    assert sources_of(array[:9, :9]) == sources_of(store)
    np.testing.assert_array_equal(array[10**7 - 2 :, :3].compute(scheduler="synchronous"), np.zeros((2, 3)))
    shutil.rmtree(tmp_path / "x.zarr")
    with pytest.raises(ChangedDataError, match=r"x\.zarr: it was moved or removed"):
        array[:2, :3].compute(scheduler="synchronous")

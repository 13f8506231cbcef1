"""HDF5 files on which the library does not come back are refused; all others are left to their reader."""

import sys

import anndata as ad
import h5py
import numpy as np
import pytest
from platform_folders import write_10x_h5

from stimpute import _hdf5, _walk_hdf5, datasets, pp

SIZE_OF_HEADER = 16


@pytest.fixture
def cells(tmp_path):
    path = tmp_path / "cells.h5ad"
    ad.AnnData(np.ones((3, 2), np.float32)).write_h5ad(path)
    return path


def make_endless(path):
    """Set the size of the second of the texts, which are stored one after the other, to 0."""
    content = bytearray(path.read_bytes())
    first = content.index(b"GCOL") + SIZE_OF_HEADER
    length = int.from_bytes(content[first + 8 : first + SIZE_OF_HEADER], "little")
    second = first + SIZE_OF_HEADER + -(-length // 8) * 8
    content[second : second + SIZE_OF_HEADER] = bytes(SIZE_OF_HEADER)
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["cells.h5ad", "cells.h5", "vectors.h5ad"])
@pytest.mark.slow
def test_a_file_that_hdf5_reads_for_ever_is_refused(tmp_path, monkeypatch, name):
    path = tmp_path / name
    cells = ad.AnnData(np.ones((3, 2), np.float32))
    if path.suffix == ".h5":
        write_10x_h5(path, cells)
        with h5py.File(path, "r+") as file:
            file.attrs["texts"] = ["a", "b"]
    elif name.startswith("vectors"):
        pp.ProteinEmbeddings(["a", "b"], np.ones((2, 3))).write(path)
    else:
        cells.write_h5ad(path)
    read = pp.ProteinEmbeddings.read if name.startswith("vectors") else datasets.read
    read(path)
    make_endless(path)
    monkeypatch.setattr(_hdf5, "SECONDS", 1.0)
    with pytest.raises(ValueError, match=rf"{name} cannot be read: the HDF5 library did not end within 1 seconds"):
        read(path)


def test_a_file_on_which_hdf5_crashes_is_refused(cells, tmp_path, monkeypatch):
    crash = tmp_path / "crash.py"
    crash.write_text("import os; os.abort()")
    monkeypatch.setattr(_walk_hdf5, "__file__", str(crash))
    with pytest.raises(ValueError, match=r"cells\.h5ad cannot be read: the HDF5 library crashed"):
        _hdf5.read_h5ad(cells)


def test_other_damage_is_left_to_the_reader(tmp_path):
    path = tmp_path / "cells.h5ad"
    path.write_bytes(b"no HDF5")
    _hdf5.check_hdf5(path)
    with pytest.raises(OSError, match="file signature not found"):
        _hdf5.read_h5ad(path)


def test_a_file_is_read_where_no_process_can_be_started(cells, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(cells.with_name("no python")))
    assert _hdf5.read_h5ad(cells).shape == (3, 2)


def test_the_walk_visits_everything_once_and_goes_on_after_an_error(tmp_path):
    path = tmp_path / "circle.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("group")
        group["parent"] = file["/"]
        group["nowhere"] = h5py.SoftLink("/nothing")
        group["text"] = ["a", "b"]
        file.create_dataset("large", (10**6, 10**6), chunks=(1000, 1000), dtype=np.float64)
        file["small"] = np.arange(3)
        file["small"].attrs["unit"] = "px"
        file["none"] = h5py.Empty("f")
        visited = set()
        _walk_hdf5.walk(file, visited)
        assert len(visited) == 6

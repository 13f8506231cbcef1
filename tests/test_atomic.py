import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stimpute import _atomic
from stimpute._atomic import COMPLETE, filling, recover, replacing


class Interruption(Exception):
    """An error while something is written."""


def visible(folder: Path) -> dict[str, str]:
    """Text of every file that is not hidden."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    parts = {path: path.relative_to(folder).parts for path in files}
    return {
        "/".join(parts[path]): path.read_text()
        for path in files
        if not any(part.startswith(".") for part in parts[path])
    }


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


# ---------------------------------------------------------------- one file


@pytest.mark.parametrize("old", [None, "old"])
def test_a_file_is_written_or_replaced(tmp_path, old):
    path = tmp_path / "result.tar.gz"
    if old is not None:
        path.write_text(old)
    with replacing(path) as partial:
        assert partial.parent == tmp_path
        assert partial.suffix == ".gz"  # some writers choose the format by the ending
        partial.write_text("new")
        assert visible(tmp_path) == ({} if old is None else {"result.tar.gz": "old"})
    assert visible(tmp_path) == {"result.tar.gz": "new"}
    assert hidden(tmp_path) == []


@pytest.mark.parametrize("error", [Interruption, KeyboardInterrupt])
@pytest.mark.parametrize("old", [None, "old"])
def test_an_error_leaves_the_older_file_as_it_was(tmp_path, old, error):
    path = tmp_path / "result.csv"
    if old is not None:
        path.write_text(old)

    def fail():
        with replacing(path) as partial:
            partial.write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert visible(tmp_path) == ({} if old is None else {"result.csv": "old"})
    assert hidden(tmp_path) == []


def test_a_folder_is_moved_as_a_whole(tmp_path):
    path = tmp_path / "store.zarr"
    with replacing(str(path)) as partial:
        (partial / "X").mkdir(parents=True)
        (partial / "X" / "0").write_text("values")
        assert not path.exists()
    assert visible(tmp_path) == {"store.zarr/X/0": "values"}
    assert hidden(tmp_path) == []


def test_a_folder_that_fails_is_removed(tmp_path):
    def fail():
        with replacing(tmp_path / "store.zarr") as partial:
            (partial / "X").mkdir(parents=True)
            (partial / "X" / "0").write_text("half")
            raise Interruption

    with pytest.raises(Interruption):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_still_written_to_is_removed(tmp_path, monkeypatch):
    """As that of zarr is by its thread when the call is interrupted."""
    partial = []
    times = iter(range(3))

    def write_late(seconds):
        if next(times, None) is not None:
            partial[0].mkdir()

    def fail():
        with replacing(tmp_path / "store.zarr") as path:
            partial.append(path)
            path.mkdir()
            raise Interruption

    monkeypatch.setattr(_atomic.time, "sleep", write_late)
    with pytest.raises(Interruption):
        fail()
    assert list(tmp_path.iterdir()) == []
    assert next(times, None) is None


def test_writing_nothing_is_an_error_and_keeps_the_older_file(tmp_path):
    path = tmp_path / "result.csv"
    path.write_text("old")

    def write_nothing():
        with replacing(path):
            pass

    with pytest.raises(FileNotFoundError, match=r"result\.csv is not written: .* was moved or removed .*Call again"):
        write_nothing()
    assert visible(tmp_path) == {"result.csv": "old"}


def test_rests_of_an_interrupted_run_are_replaced(tmp_path):
    path = tmp_path / "result.csv"
    with replacing(path) as partial:
        partial.write_text("first")
        rest = partial
    rest.mkdir()
    (rest / "rest").write_text("rest")
    with replacing(path) as partial:
        assert not partial.exists()
        partial.write_text("second")
    assert visible(tmp_path) == {"result.csv": "second"}
    assert hidden(tmp_path) == []


# ---------------------------------------------------------------- files of a folder


@pytest.fixture
def folder(tmp_path):
    """A folder with files of an older model, and one of somebody else."""
    folder = tmp_path / "model.v1"
    folder.mkdir()
    for name in ("model.pt", "reference.h5ad", "notes.txt"):
        (folder / name).write_text(f"old {name}")
    return folder


OLD = {f"model.v1/{name}": f"old {name}" for name in ("model.pt", "reference.h5ad", "notes.txt")}


def test_files_are_replaced_others_stay_and_stale_ones_go(folder, tmp_path):
    with filling(folder, stale=("reference.h5ad", "adata.h5ad", "model.pt")) as partial:
        (partial / "model.pt").write_text("new")
        (partial / "card.md").write_text("card")
        assert visible(tmp_path) == OLD
    assert visible(tmp_path) == {
        "model.v1/model.pt": "new",
        "model.v1/card.md": "card",
        "model.v1/notes.txt": "old notes.txt",
    }
    assert hidden(tmp_path) == []


def test_a_folder_is_made_with_its_parents(tmp_path):
    folder = tmp_path / "models" / "brain" / "first"
    with filling(str(folder)) as partial:
        (partial / "model.pt").write_text("new")
        assert not folder.exists()
    assert visible(tmp_path) == {"models/brain/first/model.pt": "new"}


@pytest.mark.parametrize("error", [Interruption, KeyboardInterrupt])
def test_an_error_leaves_the_folder_and_stale_files_as_they_were(folder, tmp_path, error):
    def fail():
        with filling(folder, stale=("reference.h5ad",)) as partial:
            (partial / "model.pt").write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert visible(tmp_path) == OLD
    assert hidden(tmp_path) == []


def test_an_error_makes_no_new_folder(tmp_path):
    def fail():
        with filling(tmp_path / "new"):
            raise Interruption

    with pytest.raises(Interruption):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_the_working_directory_can_be_filled(folder, monkeypatch):
    monkeypatch.chdir(folder)
    with filling(".") as partial:
        (partial / "model.pt").write_text("new")
    assert (folder / "model.pt").read_text() == "new"


def test_a_folder_is_replaced_in_its_place(folder, monkeypatch):
    """It may be the working directory of another program, or a disk of its own, and its parent may be read-only."""
    before = folder.stat().st_ino
    with filling(folder) as partial:
        assert partial.parent == folder
        (partial / "model.pt").write_text("new")
    assert folder.stat().st_ino == before
    assert hidden(folder) == []


class Killed(BaseException):
    """Stands for the end of the process."""


def fill_and_stop(folder: Path, monkeypatch, n_done: int) -> None:
    """Replace model.pt and card.md; stop without cleaning up, like a killed process, after some renamings."""
    done = []

    def rename(function):
        def limited(source, target):
            if len(done) == n_done:
                raise Killed
            done.append(source)
            return function(source, target)

        return limited

    def fill():
        with filling(folder, stale=("reference.h5ad",)) as partial:
            (partial / "model.pt").write_text("new")
            (partial / "card.md").write_text("card")
            killed.setattr(_atomic, "_remove", lambda path: None)

    with monkeypatch.context() as killed:
        killed.setattr(os, "rename", rename(os.rename))
        killed.setattr(os, "replace", rename(os.replace))
        with pytest.raises(Killed):
            fill()


NEW = {"model.v1/model.pt": "new", "model.v1/card.md": "card", "model.v1/notes.txt": "old notes.txt"}


@pytest.mark.parametrize("n_done", [0, 1, 2])
def test_files_are_all_old_or_all_new_after_recovery(folder, tmp_path, monkeypatch, n_done):
    fill_and_stop(folder, monkeypatch, n_done)
    assert (folder / COMPLETE).exists() == (n_done > 0)
    recover(folder)
    recover(folder)
    assert visible(tmp_path) == (NEW if n_done > 0 else OLD)
    assert not (folder / COMPLETE).exists()


def test_the_next_save_recovers_first(folder, tmp_path, monkeypatch):
    fill_and_stop(folder, monkeypatch, 1)
    with filling(folder) as partial:
        assert visible(tmp_path) == NEW
        (partial / "model.pt").write_text("newer")
    assert visible(tmp_path) == {**NEW, "model.v1/model.pt": "newer"}
    assert not (folder / COMPLETE).exists()


def test_recovery_that_was_killed_at_its_end(folder, tmp_path):
    (folder / COMPLETE).mkdir()
    recover(folder)
    assert visible(tmp_path) == OLD
    assert not (folder / COMPLETE).exists()


def test_a_folder_that_is_not_there_needs_no_recovery(tmp_path):
    recover(tmp_path / "nowhere")
    assert list(tmp_path.iterdir()) == []


def test_a_long_name_can_be_written(tmp_path):
    path = tmp_path / ("x" * 250 + ".csv")
    with replacing(path) as partial:
        partial.write_text("new")
    assert path.read_text() == "new"


# ---------------------------------------------------------------- a process that is killed

KILLED = """
import os, signal
from stimpute import _atomic
from stimpute._atomic import COMPLETE, filling, recover, replacing
with {call} as partial:
    target = partial / "model.pt" if partial.is_dir() else partial
    target.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def run_and_kill(call: str) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED.format(call=call)], check=False)
    assert done.returncode == -signal.SIGKILL


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL")
@pytest.mark.parametrize("call", ["replacing({0!r} + '/model.pt')", "filling({0!r}, stale=('reference.h5ad',))"])
def test_a_process_that_is_killed_leaves_everything_visible_as_it_was(folder, tmp_path, call):
    run_and_kill(call.format(str(folder)))
    assert visible(tmp_path) == OLD


# ---------------------------------------------------------------- a full disk


@pytest.mark.parametrize("write", [replacing, filling])
@pytest.mark.parametrize(
    "message", ["[enforce fail at inline_container.cc:672] .", "iostream error", "file write failed"]
)
def test_errors_of_libraries_for_a_full_disk_are_errors_of_the_system(folder, tmp_path, write, message):
    path = folder if write is filling else folder / "model.pt"
    with pytest.raises(OSError, match="cannot be written; the disk may be full"), write(path):
        raise RuntimeError(message)
    with pytest.raises(RuntimeError, match="a bug"), write(path):
        raise RuntimeError("a bug")
    assert visible(tmp_path) == OLD

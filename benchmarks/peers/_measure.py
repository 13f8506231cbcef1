"""Measure one system on folds of a pair, keep what it predicted, and score the folds of a pair together."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from threading import Lock

import pandas as pd
from _pairs import load_pair, with_proteins

from peers._environments import HERE, variables
from peers._exchange import Answer, VisibleFold, write_fold
from peers._score import score
from stimpute import tl
from stimpute.tl import GeneFold

PARTS = HERE.parent / "paper" / "results" / "systems" / "parts"
OURS = ("constant", "reference", "kNN", "crossfit", "paper")
FAST = ("spage", "tissue", "transimp", "transimp_lr")
SLOW = ("novosparc", "transimp_lr_2000", "tangram", "uniport_3000", "gimvi", "stplus", "uniport")
SYSTEMS = (*OURS, *FAST, *SLOW)  # those that take longest last
VARIANTS = ("tissue", "uniport_3000", "transimp_lr_2000")  # SpaGE with intervals; systems trained for less, or longer
COSTLY = ("paper", *SLOW)
LOCK = Lock()
N_CELLS = 1000
N_FOLDS = 5
NOT_INSTALLED = "ModuleNotFoundError"


class NotInstalledError(RuntimeError):
    """The packages of a system are not there, which says nothing of the system."""


def name_of(system: str) -> str:
    """Read the name of a peer from its file, without what it imports."""
    return re.search('^NAME = "(.+)"$', (HERE / f"{system}.py").read_text(), re.MULTILINE)[1]


def path_of(system: str, pair: str, seed: int, fold: int) -> Path:
    """Return where the answer of a system is kept."""
    return PARTS / f"{pair}-{seed}" / f"{system}-{fold}.npz"


@lru_cache
def _make_folds(pair: str, seed: int, n_cells: int) -> list[GeneFold]:
    loaded = load_pair(pair, n_cells)
    reference = with_proteins(loaded.reference, loaded)
    return tl.gene_folds(loaded.spatial, reference, n_folds=N_FOLDS, seed=seed, spatial_setup=loaded.setup)


def folds_of(pair: str, seed: int, n_cells: int = N_CELLS) -> list[GeneFold]:
    """Make the folds of a pair once; the reference has the vectors of the proteins, if any, which only ours read."""
    with LOCK:
        return _make_folds(pair, seed, n_cells)


def ask(
    system: str, folds: Sequence[GeneFold | VisibleFold], seed: int, paths: list[Path], limit_s: float | None = None
) -> None:
    """Let a system predict folds in a process of its own, and keep the answers, or the error in place of the first."""
    with tempfile.TemporaryDirectory() as folder:
        for number, fold in enumerate(folds):
            write_fold(Path(folder) / str(number), fold)
        command = [sys.executable, "-W", "ignore", "-m", "peers._child", system, folder, str(seed)]
        options = {"env": variables(), "cwd": folder, "timeout": limit_s}
        done = subprocess.run(command, **options, capture_output=True, text=True, check=False)
        for number, path in enumerate(paths):
            answer = Path(folder) / str(number) / "answer.npz"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.with_suffix(".error").unlink(missing_ok=True)
            if answer.exists():
                shutil.move(answer, path)
    if done.returncode:
        error = last_line(done.stderr)
        if error.startswith(NOT_INSTALLED):
            raise NotInstalledError(f"{system}: {error}. Run `python -m benchmarks.peers --install`.")
        failed = next(path for path in paths if not path.exists())
        failed.with_suffix(".error").write_text(done.stderr)
        raise RuntimeError(f"{system} failed: {error}")


def answers(
    system: str, folds: Sequence[GeneFold | VisibleFold], seed: int, limit_s: float | None = None
) -> list[Answer]:
    """Let a system predict folds in a process of its own, and keep nothing; stop it after `limit_s` seconds."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{fold.number}.npz" for fold in folds]
        ask(system, folds, seed, paths, limit_s)
        return [Answer.read(path) for path in paths]


def kept(system: str, pair: str, seed: int, folds: list[GeneFold]) -> list[Answer]:
    """Read the answers that were kept for these folds; none where one is missing, or is of other cells or genes."""
    paths = [path_of(system, pair, seed, fold.number) for fold in folds]
    if not all(path.exists() for path in paths):
        return []
    measured = [folds_of(pair, seed)[fold.number] for fold in folds]
    is_same = all(
        list(one.targets) == list(other.targets) and one.spatial.obs_names.equals(other.spatial.obs_names)
        for one, other in zip(folds, measured, strict=True)
    )
    return [Answer.read(path) for path in paths] if is_same else []


def missing(system: str, pair: str, seed: int) -> list[list[int]]:
    """Return the folds that are not measured yet, one process each list: the costly systems take one fold at a time."""
    folds = [fold for fold in range(N_FOLDS) if not path_of(system, pair, seed, fold).exists()]
    if system in COSTLY:
        return [[fold] for fold in folds]
    return [folds] if folds else []


def measure(system: str, pair: str, seed: int, numbers: list[int]) -> None:
    """Measure a system on some folds."""
    folds = folds_of(pair, seed)
    paths = [path_of(system, pair, seed, number) for number in numbers]
    ask(system, [folds[number] for number in numbers], seed, paths)


def scores(system: str, pair: str, seed: int) -> pd.DataFrame:
    """Score all folds; a system that failed on one has one row with its `error`."""
    paths = [path_of(system, pair, seed, fold) for fold in range(N_FOLDS)]
    errors = [path.with_suffix(".error") for path in paths if not path.exists()]
    if errors:
        found = [last_line(path.read_text()) for path in errors if path.exists()]
        return pd.DataFrame([{"method": system, "error": found[0] if found else "not measured"}])
    return score(folds_of(pair, seed), [Answer.read(path) for path in paths])


def last_line(text: str) -> str:
    """Return the last line of a traceback, which names the error."""
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "killed without a message"

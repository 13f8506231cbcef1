"""Measure one system on one pair with one seed, and keep its rows."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd
from _pairs import Pair

from peers._environments import HERE, variables
from peers._exchange import read_answer, write_folds
from peers._score import score
from stimpute import pp, tl

PARTS = HERE.parent / "paper" / "results" / "systems" / "parts"
OURS = ("constant", "reference", "kNN", "crossfit", "paper")
PEERS = ("spage", "transimp", "gimvi_60", "gimvi", "tissue", "tangram", "novosparc", "stplus", "uniport")
SYSTEMS = (*OURS, *PEERS)


def path_of(system: str, pair: str, seed: int) -> Path:
    """Return where the rows of a system are kept."""
    return PARTS / f"{pair}-{seed}" / f"{system}.csv"


def is_measured(system: str, pair: str, seed: int) -> bool:
    """Tell whether the rows are there."""
    return path_of(system, pair, seed).exists()


def measure(system: str, pair: Pair, seed: int, n_folds: int | None = None, *, keep: bool = True) -> pd.DataFrame:
    """Let a system predict the folds in a process of its own, and keep its rows, or the error in their place.

    `n_folds` limits a trial to the first folds.
    """
    reference = pair.reference.copy()
    pp.add_protein_embeddings(reference, pair.proteins)
    folds = tl.gene_folds(pair.spatial, reference, seed=seed)[:n_folds]
    path = path_of(system, pair.name, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        write_folds(Path(folder), folds)
        command = [sys.executable, "-m", "peers._child", system, folder, str(seed)]
        done = subprocess.run(command, env=variables(), cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            path.with_suffix(".error").write_text(done.stderr)
            raise RuntimeError(f"{system} failed: {last_line(done.stderr)}")
        answer = read_answer(Path(folder))
    table = score(answer.cost["name"], folds, answer)
    if keep:
        path.with_suffix(".error").unlink(missing_ok=True)
        path.with_suffix(".json").write_text(json.dumps(answer.cost, indent=1) + "\n")
        table.to_csv(path, index=False, float_format="%.5g")
    return table


def read(pair: str, seed: int) -> pd.DataFrame:
    """Read the rows of all systems; one that failed has one row with its `error`."""
    tables = []
    for system in SYSTEMS:
        path = path_of(system, pair, seed)
        if path.exists():
            tables.append(pd.read_csv(path, keep_default_na=True))
        elif path.with_suffix(".error").exists():
            error = last_line(path.with_suffix(".error").read_text())
            tables.append(pd.DataFrame([{"method": system, "error": error}]))
    return pd.concat(tables, ignore_index=True)


def last_line(text: str) -> str:
    """Return the last line of a traceback, which names the error."""
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "killed without a message"

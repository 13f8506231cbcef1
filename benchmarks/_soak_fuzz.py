"""Damage files in one place each, and read them in a process of its own, for `soak.py`."""

from __future__ import annotations

import gzip
import os
import shutil
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import dask
import numpy as np
from _soak_scenarios import GENES, Tissue, values
from anndata.experimental import read_lazy
from soak import FAILED, FINISHED, OTHER, run_limited

import stimpute
from stimpute import StImputeModel, pp, share
from stimpute._reading import readable
from stimpute.cli._files import read_adata

CLEAR = (ValueError, KeyError, FileNotFoundError)
DAMAGES = ("flip", "zero", "remove", "insert", "truncate")


def damage(content: bytes, kind: str, rng: np.random.Generator) -> bytes:
    """Damage one region of a file."""
    start = int(rng.integers(len(content)))
    end = start + int(rng.integers(1, 65))
    if kind == "flip":
        changed = content[start] ^ int(rng.integers(1, 256))
        return content[:start] + bytes([changed]) + content[start + 1 :]
    if kind == "zero":
        return content[:start] + bytes(len(content[start:end])) + content[end:]
    if kind == "remove":
        return content[:start] + content[end:]
    if kind == "insert":
        return content[:start] + rng.bytes(end - start) + content[start:]
    return content[:start]


def guarded(read: Callable[[], None]) -> Callable[[], int]:
    """Return a call whose exit status says whether reading succeeded, failed clearly, or failed otherwise."""

    def call() -> int:
        try:
            read()
        except CLEAR:
            return FAILED
        return FINISHED

    return call


def fuzz(n: int, seed: int, only: list[str] | None = None) -> Counter:
    """Read damaged files of every format, or of some; print each problem, and return the numbers of outcomes."""
    base = Path(tempfile.mkdtemp(prefix="fuzz"))
    outcomes: Counter = Counter()
    for name, (file, read) in _formats(base).items():
        if only is not None and name not in only:
            continue
        rng = np.random.default_rng(seed)
        whole = {
            path: path.read_bytes()
            for path in ([file] if file.is_file() else sorted(file.rglob("*")))
            if path.is_file()
        }
        run_or_raise(read)
        files = list(whole)  # of a store: metadata and chunks, drawn by their sizes
        sizes = np.array([len(whole[path]) for path in files])
        for trial in range(n):
            path = files[int(rng.choice(len(files), p=sizes / sizes.sum()))]
            kind = DAMAGES[trial % len(DAMAGES)]
            path.write_bytes(damage(whole[path], kind, rng))
            try:
                status = run_limited(guarded(read), "", 0, (0, 0.0, 0))
            except TimeoutError:
                status = OTHER
            if status not in (FINISHED, FAILED):
                shutil.copy(path, base / f"problem_{name}_{trial}_{path.name}")
                print(f"PROBLEM {name}, {kind} of {path.name}, trial {trial}: status {status}", flush=True)
            outcome = {FINISHED: "right or unprotected result", FAILED: "clear error"}.get(status, "problem")
            outcomes[f"fuzz {name}, {outcome}"] += 1
            path.write_bytes(whole[path])
    return outcomes


def run_or_raise(read: Callable[[], None]) -> None:
    """Check that the undamaged file can be read."""
    if run_limited(guarded(read), "", 0, (0, 0.0, 0)) != FINISHED:
        traceback.print_exc()
        raise RuntimeError("the undamaged file cannot be read")


def _formats(base: Path) -> dict[str, tuple[Path, Callable[[], None]]]:
    """Write a good file of every format, and return it with what reads it and compares what is protected."""
    tissue = Tissue()
    model = tissue.models[0]
    folder = share.save(model, base / "shared", save_reference=True)

    def shared(check: bool) -> Callable[[], None]:
        def read() -> None:
            loaded = share.load(folder, accelerator="cpu")
            if loaded.reference is None:
                raise ValueError("no reference")
            found = loaded.impute(tissue.spatial[0].copy(), genes=GENES, progress=False).X
            if check and not np.array_equal(found, tissue.values[0]):
                os._exit(OTHER)

        return read

    vectors = {f"g{n}": np.random.default_rng(n).normal(size=8) for n in range(20)}
    embeddings = pp.ProteinEmbeddings(list(vectors), np.stack(list(vectors.values())), model="m")
    npz = embeddings.write(base / "vectors.npz")
    h5ad = embeddings.write(base / "vectors.h5ad")

    def read_npz() -> None:
        if not np.array_equal(pp.ProteinEmbeddings.read(npz).embedding, embeddings.embedding):
            os._exit(OTHER)

    text = "".join(f">sp|P{n}|X GN=g{n}\n{'ACDEFGHIKL' * 5}\n" for n in range(20))
    fasta = base / "proteins.fasta"
    fasta.write_text(text)
    zipped = base / "zipped.fasta"
    zipped.write_bytes(gzip.compress(text.encode()))
    lazy = _lazy_formats(tissue, base)
    cells = base / "cells.h5ad"
    tissue.spatial[0].write_h5ad(cells, compression="gzip")
    store = base / "cells.zarr"
    tissue.spatial[0].write_zarr(store)
    return {
        "shared JSON": (folder / "stimpute.json", shared(False)),
        "shared weights": (folder / "stimpute.safetensors", shared(True)),
        "shared reference": (folder / "reference.h5ad", shared(True)),
        "npz": (npz, read_npz),
        "vectors h5ad": (h5ad, lambda: pp.ProteinEmbeddings.read(h5ad) and None),
        "FASTA": (fasta, lambda: pp.read_fasta(fasta) is None),
        "gzipped FASTA": (zipped, lambda: pp.read_fasta(zipped) is None),
        "cells h5ad": (cells, lambda: read_adata(cells) and None),
        "cells zarr": (store, lambda: read_adata(store) and None),
        **lazy,
    }


def _lazy_formats(tissue: Tissue, base: Path) -> dict[str, tuple[Path, Callable[[], None]]]:
    """Write stores of cells that stay where they are: damaged before they are opened, and under a model."""
    options = {"genes": GENES, "progress": False, "batch_size": 40}
    cells = tissue.spatial[0].copy()
    del cells.uns["_scvi_uuid"], cells.uns["_scvi_manager_uuid"], cells.obs["_scvi_batch"]
    before, after, file = base / "before.zarr", base / "after.zarr", base / "after.h5ad"
    for store in (before, after):
        cells.write_zarr(store, chunks=(32, 10))
    cells.write_h5ad(file)
    models, results = {}, {}
    for path in (after, file):
        opened = read_lazy(path)
        StImputeModel.setup_anndata(opened)
        models[path] = tissue.model(opened, seed=0)
        results[path] = models[path].impute(lazy=True, **options)
    expected = values(models[after])

    def train() -> None:
        with readable(before, "Write it again."):
            opened = read_lazy(before)
        StImputeModel.setup_anndata(opened)
        if not np.isfinite(tissue.model(opened, seed=0).impute(**options).X).all():
            os._exit(OTHER)

    def compare(found: np.ndarray) -> None:
        if not np.allclose(found, expected, atol=1e-5):
            os._exit(OTHER)

    return {
        "zarr, read lazily": (before, strict(before, train)),
        "zarr, under a model": (after, strict(after, lambda: compare(models[after].impute(**options).X))),
        "zarr, under a lazy result": (after, strict(after, lambda: compare(results[after].X.compute()))),
        "h5ad, under a model": (file, strict(file, lambda: compare(models[file].impute(**options).X))),
        "h5ad, under a lazy result": (file, strict(file, lambda: compare(results[file].X.compute()))),
    }


def strict(store: Path, read: Callable[[], None]) -> Callable[[], None]:
    """Let only errors pass that name the store or are the package's own; compute without threads, which forks stop."""

    def call() -> None:
        with dask.config.set(scheduler="synchronous"):
            try:
                read()
            except CLEAR as error:
                raised_in = traceback.extract_tb(error.__traceback__)[-1].filename
                if str(store) not in str(error) and str(Path(stimpute.__file__).parent) not in raised_in:
                    raise RuntimeError("the error of another package") from error
                raise

    return call

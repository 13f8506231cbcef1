"""What a stage of a benchmark takes, and the rates of this machine."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from stimpute.model._chunks import CELLS_PER_CHUNK, GENES_PER_CHUNK
from stimpute.model._estimate import Estimate

Row = dict[str, Any]


class Stages:
    """CPU seconds, wall seconds and peak memory, stage by stage."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.start()

    def start(self) -> None:
        """Begin a stage."""
        self.cpu = cpu_seconds()
        self.wall = time.perf_counter()

    def end(
        self,
        name: str,
        products: float = 0,
        copied: float = 0,
        expected: Estimate | None = None,
        stored: float = 0,
        memory: float = 0,
    ) -> None:
        """Write down the stage, and begin the next one.

        Parameters
        ----------
        name
            Name of the stage.
        products, copied
            Multiplications of its matrix products, and bytes that it reads and writes, from which the floor is made.
        expected, stored, memory
            What `model.estimate` said; bytes on disk, and GiB of memory in addition to what was there before.
        """
        cpu = cpu_seconds() - self.cpu
        wall = time.perf_counter() - self.wall
        row: Row = {"stage": name, "CPU s": round(cpu, 1), "wall s": round(wall, 1), "peak GiB": round(peak(), 2)}
        if products or copied:
            with tempfile.TemporaryDirectory() as folder:
                floor = products / matrix_rate() + copied / copy_rate(Path(folder))
            row["floor, CPU s"] = round(floor, 1)
        if expected is not None:
            row["estimate: CPU s, GiB, GiB on disk"] = (
                f"{expected.cpu_seconds:.1f}, {expected.memory_bytes / 2**30:.2f}, {expected.disk_bytes / 2**30:.3f}"
            )
            row["found: GiB, GiB on disk"] = f"{memory:.2f}, {stored / 2**30:.3f}"
        self.rows.append(row)
        print(row, file=sys.stderr, flush=True)
        self.start()


def cpu_seconds() -> float:
    """CPU time of this process and of those that it started, which may be running."""
    this = psutil.Process()
    total = sum(os.times()[:4])
    for child in this.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += sum(child.cpu_times()[:2])
    return total


def peak() -> float:
    """Peak memory of this process so far, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


class AddedMemory:
    """Peak memory of this process from now on, in addition to what it has now; on Linux."""

    def __init__(self) -> None:
        Path("/proc/self/clear_refs").write_text("5")  # the peak that the kernel keeps starts anew
        self.before = status("VmRSS")

    def peak(self) -> float:
        """Return the peak so far, in GiB."""
        return status("VmHWM") - self.before


def status(name: str) -> float:
    """Return a number of the status of this process, in GiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 2**20


def matrix_rate() -> float:
    """Measure the multiplications per CPU second of a product of the size of a chunk."""
    a = torch.rand(CELLS_PER_CHUNK, 1024)
    b = torch.rand(1024, GENES_PER_CHUNK)
    rates = []
    for _ in range(20):
        start = time.process_time()
        for _ in range(5):
            a @ b
        rates.append(5 * a.numel() * b.shape[1] / (time.process_time() - start))
    return float(np.median(rates))


def copy_rate(folder: Path) -> float:
    """Measure the bytes per CPU second of writing a file and reading it again."""
    block = np.random.default_rng(0).bytes(2**24)
    path = folder / "copied"
    start = time.process_time()
    for _ in range(4):
        path.write_bytes(block)
        path.read_bytes()
    rate = 4 * len(block) / (time.process_time() - start)
    path.unlink()
    return rate

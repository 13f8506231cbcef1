"""Make the environments of the systems: `python -m benchmarks.peers --install`.

Each environment is a folder of packages beside what stimpute needs anyway (torch, scanpy, scvi-tools), installed
without their requirements, so that no system changes the versions of another. All releases of `requirements.txt` run
with the versions of `constraints.txt`; therefore there is one environment for all of them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from peers._device import device

HERE = Path(__file__).parent
FOLDER = HERE / ".environment"
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")


def install() -> None:
    """Install the packages of `requirements.txt` into their folder."""
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--upgrade", "--target", str(FOLDER)]
    subprocess.run([*pip, "--requirement", str(HERE / "requirements.txt")], check=True)


def variables() -> dict[str, str]:
    """Return the variables of a process that finds the packages, and computes in one thread without a graphics card.

    With `PEERS_DEVICE=cuda` the card stays visible.
    """
    paths = [str(FOLDER), str(HERE.parent), os.environ.get("PYTHONPATH", "")]
    found = {**os.environ, **ONE_THREAD, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}
    return found if device() == "cuda" else {**found, "CUDA_VISIBLE_DEVICES": ""}

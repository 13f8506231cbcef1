"""Run one system on the folds in a folder: `python -m peers._child ADAPTER FOLDER SEED`."""

from __future__ import annotations

import importlib
import logging
import resource
import sys
import time
import warnings
from importlib.metadata import packages_distributions, version
from pathlib import Path

import numpy as np
import torch

from peers._device import device
from peers._exchange import Answer, read_fold


def main() -> None:
    """Predict every fold, and measure."""
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    system = _system(sys.argv[1])
    seed = int(sys.argv[3])
    for folder in sorted(Path(sys.argv[2]).iterdir()):
        fold = read_fold(folder)
        cpu = _cpu_seconds()
        wall = time.time()
        prediction = _predict(system, fold, seed)
        cost = {
            "name": system.NAME,
            "cpu_seconds": round(_cpu_seconds() - cpu, 1),
            "wall_seconds": round(time.time() - wall, 1),
            "peak_gib": round(_peak_gib(), 2),
            "device": device(),
            "versions": _versions(getattr(system, "PACKAGES", ())),
        }
        Answer(prediction, cost).write(folder / "answer.npz")


def _system(adapter: str):
    """Import ours only where they are asked for: a system's own environment may not have them."""
    if (Path(__file__).parent / f"{adapter}.py").exists():
        return importlib.import_module(f"peers.{adapter}")
    return importlib.import_module("peers._ours").our_systems()[adapter]


def _predict(system, fold, seed: int) -> dict[str, np.ndarray]:
    np.random.seed(seed)  # noqa: NPY002 -- the generator that these systems draw from
    torch.manual_seed(seed)
    if hasattr(system, "predict_intervals"):
        prediction = system.predict_intervals(fold, seed)
    else:
        prediction = {"expression": system.predict(fold, seed)}
    prediction = {name: np.asarray(values, dtype=np.float32) for name, values in prediction.items()}
    expected = (fold.spatial.n_obs, len(fold.targets))
    wrong = {name: values.shape for name, values in prediction.items() if values.shape != expected}
    if wrong:
        raise ValueError(f"{system.NAME} returned {wrong}; expected shape {expected}.")
    return prediction


def _cpu_seconds() -> float:
    total = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        usage = resource.getrusage(who)
        total += usage.ru_utime + usage.ru_stime
    return total


def _peak_gib() -> float:
    """Peak memory of this process, which has the fold and the libraries in memory."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def _versions(packages: tuple[str, ...]) -> dict[str, str]:
    known = {name for names in packages_distributions().values() for name in names}
    return {package: version(package) for package in (*packages, "torch", "numpy") if package in known}


if __name__ == "__main__":
    main()

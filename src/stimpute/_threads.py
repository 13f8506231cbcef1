"""Choose the number of threads for a piece of work."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

import scvi
import torch
from threadpoolctl import threadpool_limits

WORK_FOR_THREADS = 2e9  # multiplications per step from which several threads are faster than one


def _forget_threads_of_parent() -> None:
    """Let a forked process start threads of its own: it has none of those that OpenMP and Dask would wait for."""
    torch.set_num_threads(1)
    threaded: Any = sys.modules.get("dask.threaded")
    if threaded is not None:
        threaded.default_pool = None
        threaded.pools.clear()
        threaded.pools_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads_of_parent)


@contextlib.contextmanager
def suitable_threads(work_per_step: float) -> Iterator[None]:
    """Use one thread for small steps, and restore the numbers of threads afterwards.

    Small matrix products gain nothing from a second thread, and on a busy machine threads wait for each other: the
    same training can take several times the CPU time. A number that was set by `scvi.settings.num_threads` is kept.

    Parameters
    ----------
    work_per_step
        Number of multiplications in one step of the computation.
    """
    before = torch.get_num_threads()
    if before == 1 or scvi.settings.num_threads is not None or work_per_step >= WORK_FOR_THREADS:
        yield
        return
    with threadpool_limits(limits=1):
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)

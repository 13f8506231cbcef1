"""Keep random numbers and interruptions in bounds while something runs."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator

import torch

_LOCK = threading.RLock()


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's random numbers, and restore their global state afterwards.

    The state belongs to the process: of several threads, one at a time is inside.
    """
    with _LOCK, torch.random.fork_rng(range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Let an interruption by the user end as KeyboardInterrupt, where Lightning would end Python.

    Lightning also ignores further interruptions from then on; what handled them before is restored.
    """
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as error:
        if not isinstance(error.__context__, KeyboardInterrupt):
            raise
        if handler is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)
        raise error.__context__ from None

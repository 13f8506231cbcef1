"""Keep encoded cells in memory, so that further genes of a lazy result cost a matrix product only."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any
from uuid import uuid4

import psutil

MEMORY_SHARE = 0.5  # of the free memory that the encoded cells of one result may take


class Encodings:
    """Encoded chunks of cells of one lazy result.

    They are kept until the result is gone, as long as they take no more than half of the memory that is free when it is
    made; further chunks are encoded again each time. Nothing is kept in other processes.
    """

    def __init__(self) -> None:
        self.token = uuid4().hex
        self.limit = int(MEMORY_SHARE * psutil.virtual_memory().available)
        self.size = 0
        self._chunks: dict[tuple[int | None, int], Any] = {}
        self._lock = threading.Lock()
        _OF_THIS_PROCESS[self.token] = self

    def known(self, fold: int | None) -> Mapping[int, Any]:
        """Return the encoded chunks of a fold by position."""
        return {position: block for (of_fold, position), block in list(self._chunks.items()) if of_fold == fold}

    def get(self, fold: int | None, position: int) -> Any:
        """Return an encoded chunk, or None."""
        return self._chunks.get((fold, position))

    def add(self, fold: int | None, position: int, block: Any) -> None:
        """Keep an encoded chunk if there is room."""
        size = n_bytes(block)
        with self._lock:
            if (fold, position) not in self._chunks and self.size + size <= self.limit:
                self._chunks[fold, position] = block
                self.size += size


_OF_THIS_PROCESS: weakref.WeakValueDictionary[str, Encodings] = weakref.WeakValueDictionary()


def remembered(token: str, fold: int | None, position: int, encoded: Any) -> Any:
    """Keep an encoded chunk where its result is, and pass it on."""
    encodings = _OF_THIS_PROCESS.get(token)
    if encodings is not None:
        encodings.add(fold, position, encoded)
    return encoded


def n_bytes(value: Any) -> int:
    """Count the bytes of the arrays and tensors in a dataclass, list or mapping."""
    if is_dataclass(value):
        return sum(n_bytes(getattr(value, field.name)) for field in fields(value))
    if isinstance(value, Mapping):
        return sum(n_bytes(part) for part in value.values())
    if isinstance(value, list | tuple):
        return sum(n_bytes(part) for part in value)
    return int(getattr(value, "nbytes", 0))

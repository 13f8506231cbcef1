"""Keep encoded cells in memory or in a file, so that further genes of a lazy result cost a matrix product only."""

from __future__ import annotations

import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any
from uuid import uuid4

import numpy as np
import psutil
import torch

MEMORY_SHARE = 0.5  # of the free memory that the encoded cells of one result may take
DISK_SHARE = 0.5  # of the free space for temporary files
SLAB_SIZE = 2**26  # bytes
ALIGNMENT = 64  # bytes; products of matrices are faster from there, and their last bits depend on it


class Encodings:
    """Encoded chunks of cells of one lazy result.

    They are kept until the result is gone: in memory as long as they take no more than half of what is free when the
    first is kept, then in a temporary file that takes at most half of the free space. Further chunks are encoded again
    each time. Nothing is kept in other processes.
    """

    def __init__(self) -> None:
        self.token = uuid4().hex
        self.limit: int | None = None
        self.size = 0
        self.file = SpillFile()
        self._memory = Slabs()
        self._chunks: dict[tuple[int | None, int], Any] = {}
        self._lock = threading.Lock()
        _OF_THIS_PROCESS[self.token] = self

    def has_room_for_a_fold(self) -> bool:
        """Tell whether one more fold would fit in memory, if it is as large as those that are kept."""
        n_folds = len({fold for fold, _ in list(self._chunks)})
        if self.limit is None or n_folds == 0 or self.file.size > 0:
            return False
        return self.size + self.size // n_folds <= self.limit

    def known(self, fold: int | None) -> Mapping[int, Any]:
        """Return the encoded chunks of a fold by position; :func:`load` reads those that are in the file."""
        return {position: block for (of_fold, position), block in list(self._chunks.items()) if of_fold == fold}

    def add(self, fold: int | None, position: int, block: Any) -> Any:
        """Keep an encoded chunk if there is room; return what should be read from now on."""
        size = n_bytes(block)
        with self._lock:
            if (fold, position) in self._chunks:
                return block
            if self.limit is None:
                self.limit = int(MEMORY_SHARE * _free_memory(block))
            if self.size + size <= self.limit:
                kept = self._memory.write(block) if _gpu_of(block) is None else block
                self._chunks[fold, position] = kept
                self.size += size
                return kept
            if self.file.has_room(size) and _gpu_of(block) is None:
                self._chunks[fold, position] = self.file.write(block)
            return block


class Slabs:
    """Large pieces of memory that arrays are copied to, one after another.

    The system provides large pieces by huge pages, and small arrays by pages of 4 KiB, which took longer than encoding.
    """

    def __init__(self) -> None:
        self._free = np.empty(0, np.uint8)

    def write(self, block: Any) -> Any:
        """Copy the arrays of an encoded chunk."""
        return map_arrays(block, self._copy)

    def _copy(self, array: Any) -> Any:
        values = np.asarray(array)
        n_taken = -(-values.nbytes // ALIGNMENT) * ALIGNMENT
        if n_taken > len(self._free):
            slab = np.empty(max(SLAB_SIZE, n_taken) + ALIGNMENT, np.uint8)
            self._free = slab[-slab.ctypes.data % ALIGNMENT :]
        copy = self._free[: values.nbytes].view(values.dtype).reshape(values.shape)
        self._free = self._free[n_taken:]
        copy[...] = values
        return torch.from_numpy(copy) if isinstance(array, torch.Tensor) else copy


class TemporaryFile:
    """A temporary file without a name, which is closed when nothing refers to this object any more.

    Hold the lock to write or to map a part of it: both move the position in the file.
    """

    def __init__(self) -> None:
        self.file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by the next line
        self.lock = threading.Lock()
        weakref.finalize(self, self.file.close)


class SpillFile:
    """A temporary file without a name, which is gone when nothing reads it any more, or the process ends."""

    def __init__(self) -> None:
        self.size = 0
        self.limit = int(DISK_SHARE * shutil.disk_usage(tempfile.gettempdir()).free)
        self._opened: TemporaryFile | None = None

    def has_room(self, size: int) -> bool:
        """Tell whether some bytes more can be written."""
        return self.size + size <= self.limit

    def write(self, block: Any) -> Spilled:
        """Append the arrays of an encoded chunk."""
        if self._opened is None:
            self._opened = TemporaryFile()
        opened = self._opened
        return Spilled(map_arrays(block, lambda array: self._append(array, opened)))

    def _append(self, array: Any, opened: TemporaryFile) -> StoredArray:
        values = np.ascontiguousarray(array)
        with opened.lock:
            end = opened.file.seek(0, 2)
            start = opened.file.seek(-(-end // ALIGNMENT) * ALIGNMENT)
            values.tofile(opened.file)
            opened.file.flush()
        self.size += values.nbytes
        return StoredArray(opened, start, values.shape, values.dtype, isinstance(array, torch.Tensor))


@dataclass(frozen=True)
class StoredArray:
    """Where an array is in a temporary file."""

    opened: TemporaryFile
    start: int
    shape: tuple[int, ...]
    dtype: np.dtype
    is_tensor: bool

    def load(self) -> Any:
        """Map the array into memory; it is read when it is used."""
        if 0 in self.shape:
            values = np.empty(self.shape, self.dtype)
        else:
            with self.opened.lock:
                values = np.memmap(self.opened.file, self.dtype, "c", self.start, self.shape)
        return torch.from_numpy(values) if self.is_tensor else values


@dataclass(frozen=True)
class Spilled:
    """An encoded chunk whose arrays are in a file; another process gets the arrays."""

    block: Any

    def load(self) -> Any:
        """Return the chunk."""
        return map_arrays(self.block, StoredArray.load)

    def __reduce__(self) -> tuple[Any, ...]:
        return load, (self.load(),)


_OF_THIS_PROCESS: weakref.WeakValueDictionary[str, Encodings] = weakref.WeakValueDictionary()


def remembered(token: str, fold: int | None, position: int, encoded: Any) -> Any:
    """Keep an encoded chunk where its result is, and pass it on."""
    encodings = _OF_THIS_PROCESS.get(token)
    return encoded if encodings is None else encodings.add(fold, position, encoded)


def load(block: Any) -> Any:
    """Return an encoded chunk, read from the file if it is there."""
    return block.load() if isinstance(block, Spilled) else block


def map_arrays(value: Any, function: Callable[[Any], Any]) -> Any:
    """Apply a function to the arrays and tensors in a dataclass, list or mapping."""
    if isinstance(value, np.ndarray | torch.Tensor | StoredArray):
        return function(value)
    if is_dataclass(value) and not isinstance(value, type):
        changed = {field.name: map_arrays(getattr(value, field.name), function) for field in fields(value)}
        return replace(value, **changed)
    if isinstance(value, Mapping):
        return {key: map_arrays(part, function) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map_arrays(part, function) for part in value)
    return value


def arrays_in(value: Any) -> Iterator[Any]:
    """Yield the arrays and tensors in a dataclass, list or mapping."""
    if is_dataclass(value):
        parts: Iterable[Any] = [getattr(value, field.name) for field in fields(value)]
    elif isinstance(value, Mapping):
        parts = value.values()
    elif isinstance(value, list | tuple):
        parts = value
    else:
        parts = []
        if hasattr(value, "nbytes"):
            yield value
    for part in parts:
        yield from arrays_in(part)


def n_bytes(value: Any) -> int:
    """Count the bytes of the arrays and tensors in a dataclass, list or mapping."""
    return sum(int(array.nbytes) for array in arrays_in(value))


def _gpu_of(block: Any) -> torch.device | None:
    """Return the device that holds the tensors of a block; None for the CPU."""
    for array in arrays_in(block):
        if isinstance(array, torch.Tensor) and array.device.type != "cpu":
            return array.device
    return None


def _free_memory(block: Any) -> int:
    """Return the free memory of the device that holds a block."""
    device = _gpu_of(block)
    if device is not None and device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)

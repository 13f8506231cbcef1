"""Vectors of a run that has not ended: appended as they come, verified when a later run takes them up."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._embeddings import read_embeddings


def digest(sequence: str) -> str:
    """Name a sequence by its content."""
    return hashlib.sha256(sequence.encode()).hexdigest()[:32]


class PartialVectors:
    """Vectors by digest of sequence, in memory and, if there is an output, in `<output>.partial`.

    The file is one line of JSON (the settings that decided the numbers) and then records of fixed size: digest and
    vector. A record that was cut by a kill is dropped. A finished output serves in the same way: what it holds is
    not computed again.

    Parameters
    ----------
    output
        The output of the run, or None.
    settings
        What decided the numbers; must agree with what is on disk.
    width
        Length of a vector.

    Raises
    ------
    ValueError
        If the files on disk were made with other settings, or are not such files.
    """

    def __init__(self, output: Path | None, settings: Mapping[str, Any], width: int) -> None:
        self.vectors: dict[str, NDArray[np.float32]] = {}
        self._record = np.dtype([("digest", "S32"), ("vector", "<f4", (width,))])
        self.path = output.with_name(f"{output.name}.partial") if output else None
        if output and output.exists():
            earlier = read_embeddings(output)
            _verify(output, earlier.settings, settings)
            self.vectors.update(zip(earlier.digests.tolist(), earlier.embedding, strict=True))
        if self.path:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._resume(self.path, settings)

    def append(self, vectors: Mapping[str, NDArray[np.float32]]) -> None:
        """Keep these vectors."""
        self.vectors.update(vectors)
        if self.path and vectors:
            records = np.array(list(zip(vectors, vectors.values(), strict=True)), dtype=self._record)
            with self.path.open("ab") as file:
                file.write(records.tobytes())

    def remove(self) -> None:
        """Delete the file, once the output is complete."""
        if self.path:
            self.path.unlink(missing_ok=True)

    def _resume(self, path: Path, settings: Mapping[str, Any]) -> None:
        head, line_end, body = path.read_bytes().partition(b"\n") if path.exists() else (b"", b"", b"")
        if not line_end:  # absent, or killed before its first line was complete
            path.write_bytes(json.dumps(dict(settings)).encode() + b"\n")
            return
        try:
            found = json.loads(head)
        except ValueError as error:
            raise ValueError(f"{path} is not a file of stimpute; remove it, or choose another output.") from error
        _verify(path, found, settings)
        n_whole = len(body) // self._record.itemsize
        whole = np.frombuffer(body, dtype=self._record, count=n_whole)
        self.vectors.update((row["digest"].decode(), row["vector"].copy()) for row in whole)
        with path.open("r+b") as file:
            file.truncate(len(head) + 1 + n_whole * self._record.itemsize)


def _verify(path: Path, found: Any, expected: Mapping[str, Any]) -> None:
    if not isinstance(found, Mapping) or dict(found) != dict(expected):
        held = found if isinstance(found, Mapping) else {}
        differ = {
            name: (held.get(name), expected.get(name))
            for name in {*held, *expected}
            if held.get(name) != expected.get(name)
        }
        text = "; ".join(f"{name} is {was!r} there and {now!r} here" for name, (was, now) in sorted(differ.items()))
        raise ValueError(f"{path} was made with other settings: {text}. Choose another output, or remove this file.")

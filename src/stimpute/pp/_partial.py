"""Keep the vectors of an unfinished run on disk, and verify them when a later run continues."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stimpute.pp._embeddings import ProteinEmbeddings


def digest(sequence: str) -> str:
    """Compute the digest of a sequence, by which its vector is found again."""
    return hashlib.sha256(sequence.encode()).hexdigest()[:32]


class PartialVectors:
    """Vectors by digest of their sequence, in memory and, if there is an output, in `<output>.partial`.

    The file is a line of JSON (the settings that determine the numbers) followed by records of fixed size: digest and
    vector. A record that was cut when a run was killed is dropped. Vectors of a finished output are reused too.

    Raises
    ------
    ValueError
        If the files on disk were made with other settings, or have another format.
    """

    def __init__(self, output: Path | None, settings: Mapping[str, Any], width: int) -> None:
        self.vectors: dict[str, NDArray[np.float32]] = {}
        self.path: Path | None = None
        self._record = np.dtype([("digest", "S32"), ("vector", "<f4", (width,))])
        if output is None:
            return
        if output.exists():
            earlier = ProteinEmbeddings.read(output)
            _check_settings(output, earlier.settings, settings)
            self.vectors.update(zip(earlier.digests.tolist(), earlier.embedding, strict=True))
        self.path = output.with_name(f"{output.name}.partial")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._resume(self.path, settings)

    def append(self, vectors: Mapping[str, NDArray[np.float32]]) -> None:
        """Add vectors, in memory and on disk."""
        self.vectors.update(vectors)
        if self.path and vectors:
            records = np.array(list(vectors.items()), dtype=self._record)
            with self.path.open("ab") as file:
                file.write(records.tobytes())

    def remove(self) -> None:
        """Delete the file, once the output is complete."""
        if self.path:
            self.path.unlink(missing_ok=True)

    def _resume(self, path: Path, settings: Mapping[str, Any]) -> None:
        """Read the vectors of an earlier run, or begin a new file."""
        content = path.read_bytes() if path.exists() else b""
        head, line_end, body = content.partition(b"\n")
        if not line_end:  # there is no file, or the run was killed before the first line was complete
            path.write_bytes(json.dumps(dict(settings)).encode() + b"\n")
            return
        try:
            found = json.loads(head)
        except ValueError as error:
            raise ValueError(
                f"{path} is not a file of unfinished embeddings. Remove it, or choose another output."
            ) from error
        _check_settings(path, found, settings)
        n_complete = len(body) // self._record.itemsize
        records = np.frombuffer(body, dtype=self._record, count=n_complete)
        self.vectors.update((record["digest"].decode(), record["vector"].copy()) for record in records)
        with path.open("r+b") as file:
            file.truncate(len(head) + 1 + n_complete * self._record.itemsize)


def _check_settings(path: Path, found: Any, expected: Mapping[str, Any]) -> None:
    """Raise ValueError, naming the differences, if a file was made with other settings."""
    on_disk = found if isinstance(found, Mapping) else {}
    differences = []
    for name in sorted({*on_disk, *expected}):
        if on_disk.get(name) != expected.get(name):
            differences.append(f"{name} is {on_disk.get(name)!r} there and {expected.get(name)!r} here")
    if differences:
        raise ValueError(
            f"{path} was made with other settings: {'; '.join(differences)}. Choose another output, or remove the file."
        )

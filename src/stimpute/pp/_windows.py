"""Cut proteins into windows, and weight their residues."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

Pooling = Literal["mean", "last"]
LongProteins = Literal["windows", "truncate", "whole"]
SPECIAL_TOKENS = 2  # begin-of-sequence and end-of-sequence


@dataclass(frozen=True)
class Window:
    """A stretch of a protein, with the weight of each residue in the vector of the protein.

    The vector of a protein is the sum over its windows of weights times representations.
    """

    protein: int
    residues: str
    weights: NDArray[np.float32]


@dataclass(frozen=True)
class WindowRule:
    """How proteins are cut and pooled, see :func:`embed_proteins` for the fields.

    Raises
    ------
    ValueError
        If a field is not valid.
    """

    pooling: Pooling
    long_proteins: LongProteins
    window: int
    overlap: int

    def __post_init__(self) -> None:
        if self.pooling not in get_args(Pooling):
            raise ValueError(f"`pooling` is {self.pooling!r}; expected 'mean' or 'last'.")
        if self.long_proteins not in get_args(LongProteins):
            raise ValueError(f"`long_proteins` is {self.long_proteins!r}; expected 'windows', 'truncate' or 'whole'.")
        if self.window < 1:
            raise ValueError(f"`window` is {self.window}; expected at least 1.")
        if self.long_proteins == "windows" and not 0 <= self.overlap < self.window:
            raise ValueError(f"`overlap` is {self.overlap}; expected at least 0 and less than `window`, {self.window}.")

    def settings(self) -> dict[str, Any]:
        """Return the fields that have an effect on the vectors."""
        settings: dict[str, Any] = {"pooling": self.pooling, "long_proteins": self.long_proteins}
        if self.long_proteins != "whole":
            settings["window"] = self.window
        if self.long_proteins == "windows":
            settings["overlap"] = self.overlap
        return settings

    def cut(self, protein: int, sequence: str) -> list[Window]:
        """Cut a protein into windows of equal length at equal distances.

        If pooling is `"mean"`, a residue in several windows is first averaged over these, and all residues have equal
        weight. If it is `"last"`, the last residue of the last window has all weight.
        """
        if self.long_proteins == "truncate":
            sequence = sequence[: self.window]
        length = len(sequence)
        if self.long_proteins == "windows" and length > self.window:
            width = self.window
            n_windows = ceil((length - self.overlap) / (width - self.overlap))
            starts = np.linspace(0, length - width, n_windows).round().astype(int)
        else:
            width = length
            starts = np.zeros(1, dtype=int)
        if self.pooling == "last":
            starts = starts[-1:]
            weights = np.zeros(length)
            weights[-1] = 1
        else:
            n_covering = np.zeros(length)
            for start in starts:
                n_covering[start : start + width] += 1
            weights = 1 / (n_covering * length)
        windows = []
        for start in starts:
            piece = slice(start, start + width)
            windows.append(Window(protein, sequence[piece], weights[piece].astype(np.float32)))
        return windows


def batches(windows: Sequence[Window], tokens_per_batch: int) -> Iterator[list[Window]]:
    """Group windows, sorted from long to short, into padded batches of at most `tokens_per_batch` tokens.

    A window with more tokens is a batch of its own.
    """
    batch: list[Window] = []
    for window in windows:
        # The first window of a batch is its longest: the others are padded to its length.
        longest = batch[0] if batch else window
        n_tokens = len(longest.residues) + SPECIAL_TOKENS
        if batch and n_tokens * (len(batch) + 1) > tokens_per_batch:
            yield batch
            batch = []
        batch.append(window)
    if batch:
        yield batch

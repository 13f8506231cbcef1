"""How a protein is cut and pooled: weights for the residues of one or several windows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Pooling = Literal["mean", "last"]
SPECIAL_TOKENS = 2  # begin and end


@dataclass(frozen=True)
class Window:
    """A stretch of a protein, with the weight of each residue in the protein's vector.

    A protein's vector is the sum over its windows of weight times representation.
    """

    protein: int
    residues: str
    weights: NDArray[np.float32]


def cut(
    protein: int, sequence: str, *, pooling: Pooling, window: int | None, overlap: int, truncate: bool
) -> list[Window]:
    """Cut a protein into windows.

    Windows are equally long and evenly placed. Under `"mean"` a residue in several windows is first averaged over
    these, then all residues count alike; under `"last"` the last residue of the last window has all weight.

    Parameters
    ----------
    protein
        Its number.
    sequence
        Its residues.
    pooling
        `"mean"` or `"last"`.
    window
        Most residues at once; None for no limit.
    overlap
        Least number of residues that neighbouring windows share.
    truncate
        Whether to keep the first window only.

    Returns
    -------
    The windows, at least one.
    """
    length = len(sequence)
    if window is None or length <= window:
        window, starts = length, np.zeros(1, dtype=int)
    elif truncate:
        length, starts = window, np.zeros(1, dtype=int)
    else:
        n_windows = ceil((length - overlap) / (window - overlap))
        starts = np.linspace(0, length - window, n_windows).round().astype(int)
    if pooling == "last":
        starts, weights = starts[-1:], np.zeros(length)
        weights[-1] = 1
    else:
        times_seen = np.zeros(length)
        for start in starts:
            times_seen[start : start + window] += 1
        weights = 1 / (times_seen * length)
    pieces = [slice(start, start + window) for start in starts]
    return [Window(protein, sequence[piece], weights[piece].astype(np.float32)) for piece in pieces]


def batches(windows: Sequence[Window], tokens_per_batch: int) -> Iterator[list[Window]]:
    """Group windows, sorted from long to short, into padded batches of at most `tokens_per_batch` tokens."""
    batch: list[Window] = []
    for window in windows:
        longest = len((batch or [window])[0].residues) + SPECIAL_TOKENS
        if batch and longest * (len(batch) + 1) > tokens_per_batch:
            yield batch
            batch = []
        batch.append(window)
    if batch:
        yield batch

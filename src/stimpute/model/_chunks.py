"""Cut genes and cells into chunks, as which values are computed and stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numcodecs import Blosc

from stimpute.data._reference import Reference
from stimpute.recipes import Predictor

CELLS_PER_CHUNK = 1024
GENES_PER_CHUNK = 256  # of a store: they are read together
CHUNKS_PER_TASK = 4  # of a store, side by side: an encoded chunk of cells is sent to every task
ZARR_FORMAT: Literal[2] = 2  # that every viewer reads; Vitessce does not read stores of version 3 in full
# Values hardly compress, since their last bits are noise. This takes less time than their matrix products, zarr's own
# choice takes more; stores are a third larger with it.
COMPRESSOR = Blosc("lz4", clevel=5, shuffle=Blosc.BITSHUFFLE)
ZARR_CONFIG: dict[str, bool] = {"write_empty_chunks": True}  # to look for empty ones takes longer than to write them


@dataclass(frozen=True)
class GeneChunk:
    """Target genes that are described together.

    Attributes
    ----------
    fold
        Fold that is held out to predict them; None for genes that were not trained on.
    targets
        Positions in the reference, shape (n_targets,).
    columns
        Positions in the output, shape (n_targets,).
    """

    fold: int | None
    targets: np.ndarray
    columns: np.ndarray


def genes_per_task() -> int:
    """Return the number of genes that are described, predicted and stored together."""
    return CHUNKS_PER_TASK * GENES_PER_CHUNK


def gene_chunks(predictor: Predictor, targets: np.ndarray, reference: Reference) -> list[GeneChunk]:
    """Group target genes by the fold that is held out to predict them, and cut the groups into chunks.

    Parameters
    ----------
    predictor
        Knows the folds.
    targets
        Positions in the reference, shape (n_targets,).
    reference
        Knows which of them are shared genes.
    """
    position = reference.position_among_shared(targets)
    is_shared = position >= 0
    folds = predictor.folds.fold_of_gene[position[is_shared]]
    groups: list[tuple[int | None, np.ndarray]] = [(None, np.flatnonzero(~is_shared))]
    groups += [(int(fold), np.flatnonzero(is_shared)[folds == fold]) for fold in np.unique(folds)]
    size = genes_per_task()
    chunks = []
    for fold, columns in groups:
        for start in range(0, len(columns), size):
            part = columns[start : start + size]
            chunks.append(GeneChunk(fold, targets[part], part))
    return chunks

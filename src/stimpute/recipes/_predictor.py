"""Define what a fitted recipe gives: predictions of cells × genes, and a latent space."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd

from stimpute.data._folds import GeneFolds
from stimpute.data._spatial import CellChunk, SpatialCells
from stimpute.recipes._options import OutputOptions


class CellEncoder(Protocol):
    """Everything that is needed to encode cells; small, without the reference, and can be pickled."""

    def encode(self, chunk: CellChunk) -> Any:
        """Compute everything about a chunk of cells that does not depend on the target genes: a cell block."""


class GeneBlock(Protocol):
    """Everything that is needed to predict some genes from cell blocks; small, and can be pickled.

    A block may have a method `take(genes)` that returns the block of some of its genes, given by position. Then a lazy
    result computes these alone; otherwise it computes the genes of a block together.

    Attributes
    ----------
    table
        One row per gene, with at least the columns `reliability` and `n_edges`.
    """

    @property
    def table(self) -> pd.DataFrame:
        """One row per gene."""

    def predict(self, cells: Any, options: OutputOptions) -> dict[str, np.ndarray]:
        """Predict the genes for a cell block; depends on nothing else.

        Returns
        -------
        Expression `"X"` on the spatial log-normalized scale and, with an interval, `"lower"` and `"upper"`; each
        float32, shape (n_cells, n_genes).
        """


class Predictor(ABC):
    """A fitted recipe together with the reference that it reads.

    Attributes
    ----------
    folds
        Folds of the shared genes. A shared gene is predicted with its fold held out.
    n_spatial_neighbors
        Number of spatial neighbors that :class:`CellEncoder` reads; None for none.
    highest_interval
        Highest probability that intervals reached on held-out genes.
    """

    folds: GeneFolds
    n_spatial_neighbors: int | None = None
    highest_interval: float = 1.0

    @abstractmethod
    def gene_block(self, targets: np.ndarray, fold: int | None) -> GeneBlock:
        """Describe target genes (positions in the reference) once, for any number of cells."""

    def reference_block(self, targets: np.ndarray, fold: int | None) -> GeneBlock:
        """Describe target genes as :meth:`gene_block` does, to predict them from reference cells alone if possible.

        :meth:`stimpute.StImputeModel.get_explained` compares these predictions with measured values.
        """
        return self.gene_block(targets, fold)

    @abstractmethod
    def cell_encoder(self, fold: int | None) -> CellEncoder:
        """Return the encoder of cells with a fold of the genes held out; with None, nothing is held out."""


@runtime_checkable
class LatentSpace(Protocol):
    """A predictor that embeds spatial and reference cells in one space."""

    def embed_spatial(self, cells: SpatialCells) -> np.ndarray:
        """Embed spatial cells, float32, shape (n_cells, n_latent)."""

    def embed_reference(self, shared: np.ndarray | None = None, dataset: np.ndarray | None = None) -> np.ndarray:
        """Embed reference cells, float32, shape (n_cells, n_latent).

        Parameters
        ----------
        shared
            Log-normalized shared genes of some reference cells, shape (n_cells, n_shared); all cells if None.
        dataset
            Number of the dataset that each of these cells belongs to, shape (n_cells,); the first if None.
        """

    def nearest_reference_cells(self, cells: SpatialCells, k: int | None) -> tuple[np.ndarray, np.ndarray]:
        """Find the nearest reference cells and their cosines, each of shape (n_cells, k)."""

"""Everything that `crossfit` learns beside its networks, as typed arrays with declared shapes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from scipy import sparse

from stimpute.calibrate._intervals import Intervals
from stimpute.calibrate._moments import Moments
from stimpute.calibrate._reliability import ReliabilityRegression
from stimpute.data._agreement import Agreement
from stimpute.data._arrays import Shape
from stimpute.data._folds import GeneFolds, GeneSplit, PerFold
from stimpute.data._normalize import standardize, standardize_in_place
from stimpute.data._space import dense_if_small, neighbor_mean
from stimpute.data._spatial import CellChunk, ProbeCells, SpatialCells

MAX_STATISTIC = 3.0  # standardized gene statistics are clipped here


@dataclass(frozen=True)
class SharedGeneScaling:
    """Normalization of the shared genes that new sections share with the training data."""

    mean: Annotated[np.ndarray, Shape("n_shared", about="mean of each shared gene")]
    std: Annotated[np.ndarray, Shape("n_shared", about="standard deviation of each shared gene")]
    target_sum: PerFold
    smallest_value: Annotated[float, Shape(about="typical smallest positive value of a cell with nothing held out")]

    def standardize(self, cells: SpatialCells, split: GeneSplit, fold: int | None) -> np.ndarray:
        """Log-normalize and standardize the shared genes, held-out ones included, shape (n_cells, n_shared)."""
        return self.standardize_values(cells.log_normalized(split, self.target_sum[fold]))

    def standardize_values(self, log_normalized: np.ndarray) -> np.ndarray:
        """Standardize log-normalized values of the shared genes, shape (n_cells, n_shared)."""
        return standardize(log_normalized, self.mean, self.std)

    def inputs(self, chunk: CellChunk, split: GeneSplit, fold: int | None) -> np.ndarray:
        """Standardize cells and the means of their spatial neighbors, shape (n_inputs, n_cells, n_shared).

        A cell without any count of the input genes is taken for an average cell: it is 0 in all genes.
        """
        values = dense_if_small(chunk.cells.log_normalized_sparse(split, self.target_sum[fold]))
        n_inputs = 1 if chunk.neighbors is None else 2
        inputs = np.empty((n_inputs, len(chunk), values.shape[1]), np.float32)
        own = values[chunk.rows]
        inputs[0] = own.toarray() if sparse.issparse(own) else own
        if chunk.neighbors is not None:
            inputs[1] = neighbor_mean(values, chunk.neighbors)
        standardize_in_place(inputs, self.mean, self.std)
        inputs[0, own @ split.mask() == 0] = 0
        return inputs

    def molecule(self, cells: SpatialCells, split: GeneSplit, fold: int | None) -> np.ndarray:
        """Compute the log-normalized value of one molecule in each cell, shape (n_cells,).

        Normalized values have no totals: then it is the smallest positive value of a typical cell. Nothing tells how
        many molecules a cell without counts would have: it is taken for a typical cell.
        """
        totals = cells.input_totals(split)
        if totals is None:
            return np.full(len(cells), self.smallest_value)
        typical = self.target_sum[fold]
        return np.log1p(typical / np.where(totals > 0, totals, typical))


@dataclass(frozen=True)
class StatisticScaling:
    """Standardization of the statistics of genes in the reference."""

    mean: Annotated[np.ndarray, Shape("n_statistics", about="mean of the gene statistics in the reference")]
    std: Annotated[
        np.ndarray, Shape("n_statistics", about="standard deviation of the gene statistics in the reference")
    ]

    def standardize(self, statistics: np.ndarray) -> np.ndarray:
        """Standardize and clip gene statistics, float32, shape (n_genes, n_statistics)."""
        standardized = (statistics - self.mean) / self.std
        return np.clip(standardized, -MAX_STATISTIC, MAX_STATISTIC).astype(np.float32)


@dataclass(frozen=True)
class CrossfitPreparation:
    """What is known before training."""

    folds: GeneFolds
    scaling: SharedGeneScaling
    statistics: StatisticScaling
    agreement: Agreement
    metacell: Annotated[
        np.ndarray, Shape("n_reference", index_of="n_reference", about="metacell of each reference cell")
    ]
    probe: ProbeCells
    probe_niche: Annotated[
        np.ndarray | None,
        Shape("n_probe", "n_shared", about="mean standardized expression of the spatial neighbors of the same cells"),
    ]

    @property
    def uses_space(self) -> bool:
        """Tell whether the spatial neighbors of cells are read."""
        return self.probe_niche is not None


@dataclass(frozen=True)
class OutOfFold:
    """Descriptions of the shared genes, each from the genes of the other folds."""

    mean: Annotated[
        np.ndarray, Shape("n_shared", about="expected mean of each shared gene, as if it had not been measured")
    ]
    std: Annotated[np.ndarray, Shape("n_shared", about="expected standard deviation of each shared gene")]
    z_score_std: Annotated[
        np.ndarray, Shape("n_shared", about="standard deviation of the predicted z-score of each shared gene")
    ]
    reliability: Annotated[np.ndarray, Shape("n_shared", about="predicted correlation of each shared gene")]


@dataclass(frozen=True)
class CrossfitCalibration:
    """What is learned from predictions of held-out genes after training."""

    slope: Annotated[float, Shape(about="factor on predicted z-scores")]
    moments: Moments
    intervals: Intervals
    reliability: ReliabilityRegression
    out_of_fold: OutOfFold


@dataclass(frozen=True)
class CrossfitFit:
    """Everything that `crossfit` learns beside its networks."""

    preparation: CrossfitPreparation
    calibration: CrossfitCalibration

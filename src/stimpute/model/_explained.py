"""Tell how well the references explain the cells of a section, from genes that are held out in turn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize

from stimpute._arguments import check_arguments
from stimpute._messages import warn
from stimpute.data._folds import GeneFolds, GeneSplit
from stimpute.data._space import sample_cells
from stimpute.data._spatial import SpatialCells
from stimpute.model._chunks import gene_chunks
from stimpute.model._stream import predict_chunks
from stimpute.recipes import OutputOptions

if TYPE_CHECKING:
    from stimpute.model._model import StImputeModel

N_SAMPLED = 4096  # cells whose genes are held out and predicted
PATCH = 32  # of the sample, so that spatial neighbors are included
MIN_CELLS = 50
N_COMPONENTS = 10  # in which cells are compared
N_SIMILAR = 40  # cells whose mean is compared with their mean prediction
N_NEAREST = 10  # sampled cells that stand for any cell
CELLS_AT_ONCE = 16_384
MIN_STD = 1e-6
WARN_ABOVE = 0.05  # share of cells that are not explained


def get_explained(self: StImputeModel, adata: AnnData | None = None) -> pd.Series:
    r"""Tell how well the reference explains each spatial cell.

    The shared genes of up to 4096 cells are held out in turn and predicted. Cells alike in their measured genes are
    averaged, since one cell has too few molecules, and the mean is compared with the mean of the predictions:

    .. math:: e_i = 1 - \frac{2 \, m_i}{v_i + \operatorname{mean}_j v_j}, \quad
        m_i = \lVert \bar x_i - b \bar y_i \rVert^2, \quad v_i = \lVert \bar x_i \rVert^2

    where :math:`x` and :math:`y` are standardized measured and predicted values, minus the mean of the section, the bar
    is the mean over the 40 most similar cells, and :math:`b` is one slope for the section. The sampling variance of the
    means is subtracted from :math:`m` and :math:`v`, so that shallow cells are not unexplained for their noise. The
    value of a cell is the mean over the 10 sampled cells that it resembles most. A recipe that joins reference cells
    and measured genes predicts from the reference cells alone here.

    Parameters
    ----------
    adata
        A section with the same measured genes; the training data if None.

    Returns
    -------
    One value per cell, at most about 1. At 1 the reference explains what sets cells like this one apart from the mean
    of the section; at 0 it explains them no better than that mean does. NaN for cells without any count of a shared
    gene, and for a section of fewer than 50 cells or of equal cells.

    Warns
    -----
    UserWarning
        If more than a twentieth of the cells are at 0 or below: a cell type of the section may be missing in the
        reference, or be very different there.

    Examples
    --------
    >>> spatial.obs["explained"] = model.get_explained()
    >>> squidpy.pl.spatial_scatter(spatial, color="explained", shape=None)
    """
    check_arguments(get_explained, locals())
    cells = self.data.read_cells(adata)
    names = self.data.section(adata).obs_names
    sampled = sample_cells(cells.order, N_SAMPLED, run=PATCH)
    sample = cells[sampled]
    if len(cells) < MIN_CELLS or not _varies(sample):
        return pd.Series(np.nan, index=names, name="explained")
    predicted = _predict_held_out(self, sample)
    space = _CellSpace.fit(sample)
    measured = _measured_values(sample, self.predictor().folds)
    explained = explain(measured, predicted, space.points)
    values = np.concatenate([space.nearest_mean(part, explained) for part in cells.parts(CELLS_AT_ONCE)])
    _warn_of_unexplained(values)
    return pd.Series(values, index=names, name="explained")


def explain(measured: np.ndarray, predicted: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Compare measured and predicted values, averaged over similar cells.

    Parameters
    ----------
    measured, predicted
        Values, shape (n_cells, n_genes).
    points
        Unit vectors of the cells, shape (n_cells, n_dimensions).

    Returns
    -------
    Shape (n_cells,), see :func:`get_explained`.
    """
    std = np.maximum(measured.std(0), MIN_STD)
    measured = (measured - measured.mean(0)) / std
    predicted = (predicted - predicted.mean(0)) / std
    k = min(N_SIMILAR, len(points) // 5)
    search = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(points)
    similar = search.kneighbors_graph(points) / k
    slope = _slope(similar @ measured, similar @ predicted)
    missed = _squared_mean(measured - slope * predicted, similar, k)
    varies = _squared_mean(measured, similar, k)
    return 1 - 2 * missed / np.maximum(np.maximum(varies, 0) + varies.mean(), MIN_STD)


def _slope(measured: np.ndarray, predicted: np.ndarray) -> float:
    """Fit one factor by least squares."""
    return float((measured * predicted).sum() / max((predicted**2).sum(), MIN_STD))


def _squared_mean(values: np.ndarray, similar: sparse.csr_matrix, k: int) -> np.ndarray:
    """Square the mean over similar cells, minus its sampling variance, summed over genes, shape (n_cells,)."""
    squared = (similar @ values) ** 2
    variance = (similar @ values**2 - squared) / (k - 1)
    return (squared - variance).sum(1)


@dataclass(frozen=True)
class _CellSpace:
    """Principal components of the measured genes, in which cells are compared by their direction."""

    components: PCA
    target_sum: float
    mean: np.ndarray
    std: np.ndarray
    points: np.ndarray

    @classmethod
    def fit(cls, sample: SpatialCells) -> _CellSpace:
        split = GeneSplit.nothing_held_out(sample.expression.shape[1])
        target_sum = sample.target_sum(split)
        values = sample.log_normalized(split, target_sum)
        mean = values.mean(0)
        std = np.maximum(values.std(0), MIN_STD)
        components = PCA(min(N_COMPONENTS, *values.shape), random_state=0)
        points = normalize(components.fit_transform((values - mean) / std))
        return cls(components, target_sum, mean, std, points)

    def nearest_mean(self, cells: SpatialCells, values: np.ndarray) -> np.ndarray:
        """Average the values of the sampled cells that are most alike, shape (n_cells,)."""
        split = GeneSplit.nothing_held_out(len(self.mean))
        standardized = (cells.log_normalized(split, self.target_sum) - self.mean) / self.std
        points = normalize(self.components.transform(standardized))
        nearest = NearestNeighbors(n_neighbors=N_NEAREST, algorithm="brute").fit(self.points)
        found = values[nearest.kneighbors(points, return_distance=False)].mean(1)
        has_count = cells.expression.max(1).toarray().ravel() > 0
        return np.where(has_count, found, np.nan)


def _varies(cells: SpatialCells) -> bool:
    """Tell whether any shared gene differs between the cells."""
    highest = cells.expression.max(0).toarray()
    lowest = cells.expression.min(0).toarray()
    return bool((highest > lowest).any())


def _predict_held_out(model: StImputeModel, sample: SpatialCells) -> np.ndarray:
    """Predict every shared gene with its fold held out, shape (n_cells, n_shared)."""
    predictor = model.predictor()
    reference = model.data.need_reference().reference
    chunks = gene_chunks(predictor, reference.shared, reference)
    blocks = [predictor.reference_block(chunk.targets, chunk.fold) for chunk in chunks]
    values = {"X": np.empty((len(sample), len(reference.shared)), np.float32)}
    predict_chunks(predictor, sample, chunks, blocks, values, OutputOptions(), batch_size=None, progress=False)
    return values["X"]


def _measured_values(sample: SpatialCells, folds: GeneFolds) -> np.ndarray:
    """Log-normalize every shared gene by totals without the genes of its fold, shape (n_cells, n_shared)."""
    measured = np.empty(sample.expression.shape, np.float32)
    for fold in range(len(folds)):
        split = folds.split(fold)
        values = sample.log_normalized(split, sample.target_sum(split))
        measured[:, split.held_out] = values[:, split.held_out]
    return measured


def _warn_of_unexplained(explained: np.ndarray) -> None:
    share = float((explained[np.isfinite(explained)] <= 0).mean())
    if share > WARN_ABOVE:
        warn(
            f"The reference does not explain {share:.0%} of the cells: a cell type may be missing there. Draw "
            '`obs["explained"]` on the tissue, and do not trust imputed values in these cells.',
        )

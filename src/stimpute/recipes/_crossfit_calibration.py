"""Calibrate `crossfit` on genes that the predicting member never learned from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stimpute.calibrate._intervals import Intervals
from stimpute.calibrate._moments import Moments
from stimpute.calibrate._reliability import ReliabilityRegression
from stimpute.data._normalize import column_correlation, standardize
from stimpute.data._space import sample_cells
from stimpute.data._spatial import SpatialCells
from stimpute.recipes._crossfit_ensemble import LOG_Z_SCORE_STD, N_FEATURES, CrossfitEnsemble, add_parts
from stimpute.recipes._crossfit_fit import CrossfitCalibration, OutOfFold
from stimpute.recipes._crossfit_genes import N_STATISTICS
from stimpute.recipes._crossfit_preparation import N_PROBE

N_CALIBRATION = 2000  # cells on which held-out genes are compared with their truth; N_PROBE if genes are many
MAX_SLOPE = 1.5  # a larger factor would amplify noise


@dataclass(frozen=True)
class HeldOutPredictions:
    """What is known of the shared genes from members that never learned from them.

    Attributes
    ----------
    z_score
        Predicted z-scores, shape (n_cells, n_shared).
    expression
        Measured log-normalized expression, shape (n_cells, n_shared).
    molecule
        Value of one molecule where a gene is held out, shape (n_cells, n_shared).
    features
        Reliability features, shape (n_shared, n_features).
    level_statistics
        Statistics that mean and standard deviation are predicted from, shape (n_shared, 6).
    """

    z_score: np.ndarray
    expression: np.ndarray
    molecule: np.ndarray
    features: np.ndarray
    level_statistics: np.ndarray


def calibrate(cells: SpatialCells, neighbors: np.ndarray | None, ensemble: CrossfitEnsemble) -> CrossfitCalibration:
    """Learn slope, moments, intervals and reliability from predictions of each member's own fold."""
    reference = ensemble.reference
    scaling = ensemble.preparation.scaling
    fold = ensemble.preparation.folds.fold_of_gene
    held_out = _predict_held_out(cells, neighbors, ensemble)
    z_score = held_out.z_score
    truth = standardize(held_out.expression, scaling.mean, scaling.std)

    least_squares = (z_score * truth).sum() / np.maximum((z_score**2).sum(), 1e-12)
    slope = float(np.clip(least_squares, 0, MAX_SLOPE))

    levels = held_out.level_statistics
    moments = Moments.fit(levels, scaling.mean, scaling.std)
    mean, std = Moments.out_of_fold(levels, scaling.mean, scaling.std, fold)

    predicted = np.maximum(mean + std * slope * z_score, 0)
    intervals = Intervals.fit(held_out.expression, predicted, std, held_out.molecule, fold)

    features = held_out.features
    observed = column_correlation(truth, z_score)
    predicted_std = slope * z_score.std(0)
    n_expressing = reference.n_cells_expressing(reference.shared)
    reliability = ReliabilityRegression.out_of_fold(features, observed, predicted_std, n_expressing, fold)
    return CrossfitCalibration(
        slope=slope,
        moments=moments,
        intervals=intervals,
        reliability=ReliabilityRegression.fit(features, observed, predicted_std),
        out_of_fold=OutOfFold(mean, std, np.exp(features[:, LOG_Z_SCORE_STD]), reliability),
    )


def _predict_held_out(
    cells: SpatialCells, neighbors: np.ndarray | None, ensemble: CrossfitEnsemble
) -> HeldOutPredictions:
    """Predict every shared gene by the member that never learned from it."""
    shared = ensemble.reference.shared
    probe_rows = sample_cells(np.arange(len(cells)), N_PROBE)
    many_genes = ensemble.reference.n_components is not None
    rows = probe_rows if many_genes else sample_cells(np.arange(len(cells)), N_CALIBRATION)
    result = HeldOutPredictions(
        z_score=np.zeros((len(rows), len(shared)), np.float32),
        expression=np.zeros((len(rows), len(shared)), np.float32),
        molecule=np.zeros((len(rows), len(shared)), np.float32),
        features=np.empty((len(shared), N_FEATURES)),
        level_statistics=np.empty((len(shared), 2 * N_STATISTICS)),
    )
    for fold in range(len(ensemble.preparation.folds)):
        encoder = ensemble.cell_encoder(fold)
        held_out = encoder.split.held_out
        genes = shared[held_out]
        weights = ensemble.gene_weights(genes, fold)
        block = encoder.encode(cells.chunk(rows, neighbors))
        parts = weights.parts(block)
        result.z_score[:, held_out] = add_parts(parts).cpu().numpy()
        result.molecule[:, held_out] = block.molecule[:, None]
        target_sum = ensemble.preparation.scaling.target_sum[fold]
        expression = cells[rows].log_normalized(encoder.split, target_sum)
        result.expression[:, held_out] = expression[:, held_out]
        probe = block
        if rows is not probe_rows:
            probe = encoder.encode(cells.chunk(probe_rows, neighbors))
            parts = weights.parts(probe)
        result.features[held_out] = ensemble.reliability_features(genes, parts)
        result.level_statistics[held_out] = ensemble.level_statistics(genes, probe)
    return result

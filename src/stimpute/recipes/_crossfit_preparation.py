"""Fix what `crossfit` needs before training: folds, normalization, metacells and probe cells."""

from __future__ import annotations

import numpy as np

from stimpute.data._agreement import compare_coexpression
from stimpute.data._folds import GeneFolds, GeneSplit, PerFold
from stimpute.data._metacells import find_metacells, gene_statistics
from stimpute.data._normalize import column_moments, smallest_positive_value
from stimpute.data._reference import Reference
from stimpute.data._space import sample_cells
from stimpute.data._spatial import ProbeCells, SpatialCells
from stimpute.recipes._crossfit_fit import CrossfitPreparation, SharedGeneScaling, StatisticScaling

N_PROBE = 1000  # cells that stay with the model, on which the prediction of any gene is examined


def prepare(
    cells: SpatialCells, neighbors: np.ndarray | None, reference: Reference, n_folds: int, n_metacells: int, seed: int
) -> CrossfitPreparation:
    """Draw the folds and the metacells, describe the shared genes, and compare the references with the section.

    Parameters
    ----------
    cells
        Training cells.
    neighbors
        Their spatial neighbors, shape (n_cells, n_neighbors), or None.
    reference
        The reference.
    n_folds, n_metacells
        See :class:`~stimpute.recipes.CrossfitRecipe`.
    seed
        Seed of both draws.
    """
    n_shared = len(reference.shared)
    nothing_held_out = GeneSplit.nothing_held_out(n_shared)
    folds = GeneFolds.draw(n_shared, n_folds, seed)
    target_sum = PerFold.compute(folds, cells.target_sum)
    expression = cells.log_normalized_sparse(nothing_held_out, target_sum.of_all)
    mean, std = column_moments(expression)
    scaling = SharedGeneScaling(mean, std, target_sum, smallest_positive_value(expression))
    statistics = gene_statistics(reference.expression, reference.shared)
    probe_rows = sample_cells(np.arange(len(cells)), N_PROBE)
    probe = ProbeCells.take(cells, probe_rows)
    agreement = compare_coexpression(reference, scaling.standardize(probe.cells(), nothing_held_out, None))
    agreement.warn(reference.datasets)
    probe_niche = None
    if neighbors is not None:
        probe_niche = scaling.inputs(cells.chunk(probe_rows, neighbors), nothing_held_out, None)[1]
    return CrossfitPreparation(
        folds=folds,
        scaling=scaling,
        statistics=StatisticScaling(mean=statistics.mean(0), std=statistics.std(0) + 1e-6),
        agreement=agreement,
        metacell=find_metacells(reference, n_metacells, seed),
        probe=probe,
        probe_niche=probe_niche,
    )

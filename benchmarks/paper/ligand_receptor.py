"""Ligand-receptor analysis with predicted genes."""

from __future__ import annotations

from collections.abc import Iterator

import anndata as ad
import numpy as np
import pandas as pd
from _pairs import Pair
from benchmarks.paper._page import Page
from benchmarks.paper._predictions import MEASURED, held_out
from benchmarks.paper._study import Study
from scipy.stats import spearmanr

ORDER = 66
KNOWN = (("Pnoc", "Oprl1"), ("Tac1", "Tacr1"))
PERMUTED = "measured, cells permuted"
RANDOM = "random pairs of genes"
N_RANDOM = 100
N_PERMUTATIONS = 200
LEVEL = 0.05
MIN_CELLS = 15


def measure(pair: Pair, seed: int) -> pd.DataFrame:
    """Test pairs of genes between types of cells, in measured and in predicted genes.

    Hardly any panel has both genes of a known ligand and receptor, so random pairs of genes stand for them: what the
    test makes of measured and of predicted values can be compared with any two genes.
    """
    predicted = held_out(pair, seed)
    rng = np.random.default_rng(seed)
    groups = {RANDOM: rng.integers(predicted.n_vars, size=(N_RANDOM, 2))}
    for ligand, receptor in KNOWN:
        if {ligand, receptor} <= set(predicted.var_names):
            groups[f"{ligand}, {receptor}"] = predicted.var_names.get_indexer([ligand, receptor])[None]
    matrices = {MEASURED: predicted.X, **predicted.layers, PERMUTED: predicted.X[rng.permutation(predicted.n_obs)]}
    return pd.DataFrame(list(_rows(predicted, matrices, groups, seed)))


def _rows(predicted: ad.AnnData, matrices: dict, groups: dict[str, np.ndarray], seed: int) -> Iterator[dict]:
    labels = predicted.obs["cell_type"].astype(str)
    for group, genes in groups.items():
        tested = {name: interactions(np.asarray(matrix), labels, genes, seed) for name, matrix in matrices.items()}
        truth_scores, truth = tested[MEASURED]
        for name, (scores, called) in tested.items():
            yield {
                "genes": group,
                "method": name,
                "tests": called.size,
                "significant": called.mean(),
                "of these measured": truth[called].mean() if called.any() else np.nan,
                "of the measured, found": called[truth].mean() if truth.any() else np.nan,
                "rank correlation of scores": _mean_rank(truth_scores, scores),
            }


def interactions(values: np.ndarray, labels: pd.Series, genes: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Score pairs of genes between all types as CellPhoneDB does, and test the scores by permuted labels.

    Returns
    -------
    The mean of the ligand's mean in one type and the receptor's in the other, and whether it is significant, both of
    shape (n_pairs, n_types, n_types).
    """
    counts = labels.value_counts()
    types = sorted(counts.index[counts >= MIN_CELLS])
    membership = (labels.to_numpy()[None] == np.array(types)[:, None]).astype(float)
    membership /= membership.sum(1, keepdims=True)
    observed = _scores(membership @ values, genes)
    higher = np.zeros_like(observed)
    rng = np.random.default_rng(seed)
    for _ in range(N_PERMUTATIONS):
        higher += _scores(membership[:, rng.permutation(len(labels))] @ values, genes) >= observed
    return observed, higher / N_PERMUTATIONS < LEVEL


def _scores(means: np.ndarray, genes: np.ndarray) -> np.ndarray:
    ligand = means[:, genes[:, 0]].T[:, :, None]
    receptor = means[:, genes[:, 1]].T[:, None, :]
    return (ligand + receptor) / 2


def _mean_rank(truth: np.ndarray, scores: np.ndarray) -> float:
    """Correlate the ranks of the types within each pair of genes."""
    return float(np.nanmean([spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(truth, scores, strict=True)]))


def show(results: pd.DataFrame, page: Page) -> None:
    """Write a table and a warning."""


STUDY = Study(
    title="Ligands and receptors",
    paper="",
    question="Would a ligand-receptor analysis of predicted genes find what it finds in measured ones?",
    measure=measure,
    show=show,
    pairs=("OSMFISH", "MERFISH_HYPOTHALAMUS", "STARMAP_V1", "SYNTHETIC"),
)

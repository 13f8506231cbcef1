"""Ligand-receptor analysis with predicted genes."""

from __future__ import annotations

from collections.abc import Iterator

import anndata as ad
import numpy as np
import pandas as pd
from _pairs import Pair
from benchmarks.paper._compare import judge, real, wide
from benchmarks.paper._page import Page
from benchmarks.paper._predictions import MEASURED, by_method, held_out
from benchmarks.paper._scalars import ASKED_HERE, seeds_of
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
HALF = "measured, in half of the cells"


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
    matrices = {MEASURED: predicted.X, **by_method(predicted), PERMUTED: predicted.X[rng.permutation(predicted.n_obs)]}
    return pd.DataFrame(list(_rows(predicted, matrices, groups, seed)))


def _rows(predicted: ad.AnnData, matrices: dict, groups: dict[str, np.ndarray], seed: int) -> Iterator[dict]:
    labels = predicted.obs["cell_type"].astype(str)
    for group, genes in groups.items():
        tested = {name: interactions(np.asarray(matrix), labels, genes, seed) for name, matrix in matrices.items()}
        truth_scores, truth = tested[MEASURED]
        for name, (scores, called) in tested.items():
            yield _row(group, name, called, truth, _mean_rank(truth_scores, scores))
        (truth_scores, truth), (scores, called) = halves(np.asarray(matrices[MEASURED]), labels, genes, seed)
        yield _row(group, HALF, called, truth, _mean_rank(truth_scores, scores))


def _row(group: str, name: str, called: np.ndarray, truth: np.ndarray, rank: float) -> dict:
    return {
        "genes": group,
        "method": name,
        "tests": called.size,
        "significant": called.mean(),
        "of these measured": truth[called].mean() if called.any() else np.nan,
        "of the measured, found": called[truth].mean() if truth.any() else np.nan,
        "rank correlation of scores": rank,
    }


def halves(values: np.ndarray, labels: pd.Series, genes: np.ndarray, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Test the two halves of the cells of each type by themselves: how far the test repeats itself."""
    rng = np.random.default_rng(seed)
    position = labels.groupby(labels).transform(lambda cells: rng.permutation(len(cells))).to_numpy(int)
    return [
        interactions(values[half], labels[half], genes, seed, types_of(labels))
        for half in (position % 2 == 0, position % 2 == 1)
    ]


def types_of(labels: pd.Series) -> list[str]:
    """List the types with enough cells to be tested."""
    counts = labels.value_counts()
    return sorted(counts.index[counts >= MIN_CELLS])


def interactions(
    values: np.ndarray, labels: pd.Series, genes: np.ndarray, seed: int, types: list[str] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Score pairs of genes between types as CellPhoneDB does, and test the scores by permuted labels.

    The types are those with enough cells, if they are not given.

    Returns
    -------
    The mean of the ligand's mean in one type and the receptor's in the other, and whether it is significant, both of
    shape (n_pairs, n_types, n_types).
    """
    types = types_of(labels) if types is None else types
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
    page.text(
        "```{warning}\nDo not run a ligand-receptor analysis on imputed genes and report what it finds. Every imputed "
        "gene is computed from the same measured genes, which tell the cell types apart, so that differences between "
        "types can be sharper in imputed genes than in tissue. The test below, of CellPhoneDB's kind, asks whether two "
        "means are high in two types. It never asks whether cells are near each other, and knows nothing of proteins."
        "\n```",
        "Hardly any panel has a ligand and its receptor. Pairs of random measured genes stand for them: they say how "
        "often the test agrees with itself on measured and on held-out predicted values of the same two genes. No pair "
        f'of genes here is a finding. "{HALF}" has the calls in one half of the cells of each type, compared with '
        f"those in the other half: how far the test repeats itself, with half of its cells. {seeds_of(results)}",
    )
    names = {
        "significant": "called",
        "of these measured": "of these, also measured",
        "of the measured, found": "of the measured, called",
        "rank correlation of scores": "rank of the scores",
    }
    for pair, of_pair in results.groupby("pair", sort=False):
        table = of_pair.groupby(["genes", "method"], sort=False)[list(names)].mean().rename(columns=names)
        page.table(table, f"{pair}: calls at p < {LEVEL}, not corrected, over pairs of genes and of types")
    _judge(results, page)


def _judge(results: pd.DataFrame, page: Page) -> None:
    random = real(results[results["genes"] == RANDOM])
    shares = wide(random.groupby(["pair", "method"], sort=False)["of these measured"].mean(), "method")
    if {"crossfit", HALF} <= set(shares):
        both = shares[["crossfit", HALF]].dropna()
        text = "; ".join(
            f"{pair}: {row['crossfit']:.0%} of the calls are also made in measured values, against {row[HALF]:.0%} of "
            "those in one half of the cells in the other half"
            for pair, row in both.iterrows()
        )
        claim = (
            "Ligand-receptor scores of imputed genes are not to be trusted (rule: fewer calls are repeated in measured "
            "values than between two halves of the cells)"
        )
        page.verdict(claim, "docs", judge(list(both["crossfit"] < both[HALF]), both.index), text)
    known = results[results["genes"] != RANDOM]["genes"].unique()
    if not len(known):
        text = "None of the pairs that were measured has both genes of a known ligand and receptor."
        page.verdict("Known ligands and receptors are found in imputed genes", ASKED_HERE, "cannot be tested", text)


STUDY = Study(
    title="Ligands and receptors",
    paper="",
    question="Would a ligand-receptor analysis of predicted genes find what it finds in measured ones?",
    measure=measure,
    show=show,
    seeds=(0,),
)

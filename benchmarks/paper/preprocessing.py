"""Other ways to normalize before imputation (S4)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import scipy.sparse as sp
from _methods import baselines, stimpute
from _pairs import Pair
from benchmarks.paper import _cache, accuracy
from benchmarks.paper._compare import ASKED_HERE, add_verdict, means, paired, wide
from benchmarks.paper._figures import dots, over_genes
from benchmarks.paper._held_out import cell_types, make_folds, predict, summarize
from benchmarks.paper._page import Page
from benchmarks.paper._study import Study

from stimpute.tl import GeneFold

ORDER = 40
POOL_SIZES = range(21, 102, 5)  # cells, as in Lun et al. 2016


def pooled_size_factors(counts: np.ndarray) -> np.ndarray:
    """Estimate size factors from pools of cells (Lun et al. 2016, the method of scran), shape (n_cells,).

    Cells are put on a ring by their totals. The median ratio of a pool to the average cell is the sum of the factors
    of its cells; least squares solves for these.
    """
    total = np.maximum(counts.sum(1), 1)
    shares = counts / total[:, None]
    average = shares.mean(0)
    genes = average > 0
    order = np.argsort(total)
    ring = np.concatenate([order[::2], order[1::2][::-1]])
    n_cells = len(counts)
    sizes = [size for size in POOL_SIZES if size <= n_cells]
    blocks, values = [], []
    for size in sizes:
        members = ring[(np.arange(n_cells)[:, None] + np.arange(size)) % n_cells]
        values.append(np.median(shares[members].sum(1)[:, genes] / average[genes], axis=1))
        rows = np.repeat(np.arange(n_cells), size)
        blocks.append(sp.csr_matrix((np.ones(members.size), (rows, members.ravel())), (n_cells, n_cells)))
    weak = 0.01  # ties every factor weakly to its total, so that the system has one solution
    system = sp.vstack([*blocks, weak * sp.eye(n_cells)]).tocsr()
    solution = sp.linalg.lsqr(system, np.concatenate([*values, np.full(n_cells, weak)]))[0]
    factors = np.maximum(solution, 0.1) * total
    return factors / np.median(factors)


COUNTS = "counts"
DEFAULT = "median total, log (paper)"
SCRAN, TANGRAM = "pooled size factors, log (scran)", "no logarithm (Tangram)"
VARIANTS = {
    DEFAULT: "median",
    "10,000, log": "10,000",
    TANGRAM: "median",
    SCRAN: "pools",
}


def factors(counts: np.ndarray, variant: str) -> np.ndarray:
    """Compute the factor of every cell, shape (n_cells, 1)."""
    total = np.maximum(counts.sum(1), 1)
    if VARIANTS[variant] == "pools":
        result = 1 / pooled_size_factors(counts)
    elif VARIANTS[variant] == "10,000":
        result = 1e4 / total
    else:
        result = np.median(total) / total
    return result[:, None]


def scaled(counts: np.ndarray, factor: np.ndarray, variant: str) -> np.ndarray:
    """Multiply with the factors; take logarithms unless the variant has none, as Tangram's tutorial."""
    values = (counts * factor).astype(np.float32)
    return values if variant == TANGRAM else np.log1p(values)


def normalized_fold(fold: GeneFold, counts: np.ndarray, variant: str) -> GeneFold:
    """Normalize a fold: the input genes alone decide on a cell's factor, which the truth gets too."""
    inputs = fold.spatial.X.toarray()
    factor = factors(inputs, variant)
    spatial = fold.spatial.copy()
    spatial.X = sp.csr_matrix(scaled(inputs, factor, variant))
    reference = fold.reference.copy()
    of_reference = reference.X.toarray()
    reference.X = sp.csr_matrix(scaled(of_reference, factors(of_reference, variant), variant))
    return replace(
        fold,
        spatial=spatial,
        reference=reference,
        truth=scaled(counts, factor, variant),
        spatial_setup={"expression": "normalized"},
        reference_setup={"expression": "normalized"},
    )


def measure(pair: Pair, seed: int, part: str) -> pd.DataFrame:
    """Score a method on data that were normalized in one way."""
    name, variant = part.split("; ")
    folds = []
    for fold in make_folds(_small_reference(pair), seed):
        counts = pair.spatial[:, fold.targets].X.toarray()
        folds.append(normalized_fold(fold, counts, variant))
    methods = baselines() if name == "plain" else {name: stimpute(name, seed=seed)}
    tables = [summarize(predict(folds, method), rival, cell_types(pair)) for rival, method in methods.items()]
    return pd.concat(tables, ignore_index=True).assign(preprocessing=variant)


def _small_reference(pair: Pair) -> Pair:
    """Keep at most 2000 genes of the reference beside the shared ones: pooled factors need a dense matrix."""
    shared = pair.reference.var_names.isin(pair.spatial.var_names)
    total = np.asarray(pair.reference.X.sum(0)).ravel()
    keep = shared | (total >= np.sort(total)[-min(2000, len(total))])
    return replace(pair, reference=pair.reference[:, keep].copy())


def show(results: pd.DataFrame, page: Page) -> None:
    """Write one table per metric."""
    page.text(
        "Size factors come from the input genes of a fold alone, and the truth is scaled by the same factors. CSS "
        "depends on the scale: without a logarithm it is another quantity. It may only be compared with that of "
        "a constant on the same scale. Spearman's correlation is what can be compared across columns. Pooled size "
        "factors were written from the paper of scran; the reference was cut to its 2000 genes with the most counts. "
        "The paper does not say which of Tangram's normalizations it took; no logarithm is our reading. In the study "
        "of systems Tangram gets logarithms."
    )
    _draw(results, page)
    _show_counts(results, page)
    for column, label in (("spearman", "Spearman"), ("pcc", "PCC"), ("css", "CSS")):
        table = wide(means(results, [column], ["pair", "method", "preprocessing"])[column], "preprocessing")
        page.table(table, f"Mean {label} over genes by preprocessing", folded=column != "spearman")
    _judge_alike(results[results["preprocessing"] == DEFAULT], page)
    for name in ("paper", "crossfit"):
        _judge(name, results[results["method"] == name], page)


def _draw(results: pd.DataFrame, page: Page) -> None:
    """Draw Spearman's correlation, which does not depend on the scale."""
    genes = results[(results["axis"] == "gene") & ~results["method"].isin(("constant", "reference mean, calibrated"))]
    table = over_genes(genes, "spearman", ["pair", "method", "preprocessing"])
    table = table.assign(row=table["method"], series=table["preprocessing"], metric="Spearman")
    caption = "Spearman's correlation by preprocessing: mean with its 95 % interval over genes (S4)."
    if len(table):
        page.figure(dots(table, row_height=0.3), "preprocessing", caption)


def _show_counts(results: pd.DataFrame, page: Page) -> None:
    """Compare the first variant with the study of accuracy, in which methods get counts."""
    given = _cache.read("accuracy", accuracy.STUDY)
    if len(given):  # on the same cells
        given = given[(given["totals"] == "input") & ~given["pair"].isin(accuracy.STUDY.all_cells)]
        given = given.assign(preprocessing=COUNTS)
    same = results[(results["preprocessing"] == DEFAULT) & results["method"].isin(("crossfit", "paper", "kNN"))]
    both = pd.concat([given.merge(same[["pair", "method", "seed"]].drop_duplicates()), same], ignore_index=True)
    table = wide(means(both, ["pcc"], ["pair", "method", "preprocessing"])["pcc"], "preprocessing")
    if {COUNTS, DEFAULT} <= set(table):
        page.text(
            "Methods get values that are normalized already, and are declared so. `crossfit` then cannot do what it "
            "does with counts: in every training step, it divides a cell by its total over the genes that this step "
            "does not mask. So its rows on this page may be compared with each other, but are not its accuracy on "
            "counts. The other methods see the same numbers in both cases, except where the reference was cut."
        )
        caption = (
            "Mean PCC with counts (study of accuracy) and with the same normalization made before, same seed; "
            f"{', '.join(accuracy.STUDY.all_cells)} has other cells there"
        )
        page.table(table[[COUNTS, DEFAULT]].dropna(), caption)


def _judge_alike(results: pd.DataFrame, page: Page) -> None:
    """Judge `paper` against kNN, both with the paper's preprocessing, which the paper gave to all methods."""
    claim = "With the same preprocessing, `paper` is better than the others (here: than kNN; Spearman)"
    add_verdict(page, claim, "S4", paired(results, "spearman", "paper", ["kNN"]))


def _judge(name: str, results: pd.DataFrame, page: Page) -> None:
    """Judge the preprocessings of a recipe; a recipe of ours is compared with all, the paper's with those it names."""
    where, compared, others = "S4", "the paper compares", [SCRAN, TANGRAM]
    if name != "paper":
        where, compared, others = ASKED_HERE, "were measured", [other for other in VARIANTS if other != DEFAULT]
    by = {"method": "preprocessing"}
    claim = f"The paper's preprocessing is the best one for `{name}` of those that {compared} (Spearman)"
    add_verdict(page, claim, where, paired(results, "spearman", DEFAULT, others, **by))
    claim = f"The preprocessing of scran is better than that of Tangram for `{name}` (Spearman)"
    add_verdict(page, claim, where, paired(results, "spearman", SCRAN, [TANGRAM], **by))


STUDY = Study(
    title="Preprocessing",
    paper="S4",
    question="Does it matter how counts are normalized before imputation?",
    measure=measure,
    show=show,
    seeds=(0,),
    parts=tuple(f"{name}; {variant}" for variant in VARIANTS for name in ("crossfit", "paper", "plain")),
)

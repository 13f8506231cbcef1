"""Clusters of cells by genes that only the reference has: Fig. S9."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
from _pairs import Pair
from benchmarks.paper._against_peers import add_verdict_against_peers
from benchmarks.paper._beside import gain_over, show_beside
from benchmarks.paper._lacks import SkippedError
from benchmarks.paper._page import Page
from benchmarks.paper._predictions import (
    CONTROL,
    MEASURED,
    OURS,
    PARTS,
    RECIPES,
    by_method,
    unmeasured,
    unmeasured_fold,
)
from benchmarks.paper._scalars import ASKED_HERE, RULE, add_verdict, differences, seeds_of
from benchmarks.paper._study import REAL_PAIRS, Study
from benchmarks.paper.clustering import DEFAULT, LABELS_PERMUTED, METRICS, scores

from stimpute.tl import gene_folds

ORDER = 51
INPUTS = "measured, genes of the reference only"
N_VARIABLE = 50
VARIABLE = f"{N_VARIABLE} most variable genes"
MATRICES = {"all genes, PCA": "", VARIABLE: f" top {N_VARIABLE}"}


def measure(pair: Pair, seed: int, part: str) -> pd.DataFrame:
    """Cluster cells by unmeasured genes, and in our part by the measured ones that they were predicted from."""
    predicted = unmeasured(pair, seed, part=part)
    if predicted is None:
        raise SkippedError(f"the reference of {pair.name} has no gene that the section lacks")
    tables = []
    for name, values in by_method(predicted).items():
        for matrix, suffix in MATRICES.items():
            table = scores(predicted, name, values, seed, suffix)
            tables.append(table.assign(genes=matrix, n_genes=predicted.n_vars))
    for name, values in _panels(pair).items() if part == OURS else ():
        cells = ad.AnnData(values, obs=pair.spatial.obs)
        if name == LABELS_PERMUTED:
            cells.obs["cell_type"] = np.random.default_rng(seed).permutation(cells.obs["cell_type"].astype(str))
        tables.append(scores(cells, name, cells.X, seed).assign(n_genes=cells.n_vars))
    return pd.concat(tables)


def _panels(pair: Pair) -> dict[str, np.ndarray]:
    """Return the measured genes, and those of them that the predictions were made from, log-normalized."""
    fold = gene_folds(pair.spatial, pair.reference, totals="all")[0]
    everything = np.c_[fold.spatial.X.toarray(), fold.truth]
    inputs = unmeasured_fold(pair).dense.spatial
    return {MEASURED: everything, INPUTS: inputs, LABELS_PERMUTED: everything}


def show(results: pd.DataFrame, page: Page) -> None:
    """Write tables and verdicts."""
    page.text(
        "All measured genes are input, and up to 2000 genes that only the reference has are predicted: those that vary "
        "most in the reference. There is no truth for them. As in the paper, the clusters of cells by these genes are "
        "compared with the cell types, over principal components and over the 50 genes that vary most. The comparison "
        f'that counts is with "{INPUTS}", from which everything was predicted: prediction adds something on the cells '
        "only where it is ahead of that row. **The labels were made from the measured genes.** OSMFISH has another "
        "reference here, of the motor cortex, because its own has no further genes. It shares 16 genes with it.",
        f"{seeds_of(results)} {RULE}",
    )
    at_default = results[results["resolution"] == DEFAULT]
    n_genes = at_default["n_genes"].mask(at_default["genes"] == VARIABLE, at_default["n_genes"].clip(upper=N_VARIABLE))
    for pair, of_pair in at_default.assign(n_genes=n_genes).groupby("pair", sort=False):
        groups = of_pair.fillna({"genes": ""}).groupby(["method", "genes"], sort=False)
        columns = {"n_genes": "number of genes", **METRICS, "n_clusters": "clusters"}
        table = groups[list(columns)].mean().rename(columns=columns)
        page.table(table, f"{pair}: agreement with the cell types at resolution {DEFAULT}")
    of_genes = {genes: at_default[at_default["genes"] == genes] for genes in MATRICES}
    gains = {genes: gain_over(table, "ari", "paper", "stPlus") for genes, table in of_genes.items()}
    reported = zip(gains, ("+1.5 %", "+3.75 %"), strict=True)
    show_beside(page, [(f"ARI, {genes}, against stPlus", text, gains[genes]) for genes, text in reported])
    _judge(at_default, page)


def _judge(at_default: pd.DataFrame, page: Page) -> None:
    panel = at_default[at_default["genes"].isna()]
    for genes in MATRICES:
        found = pd.concat([at_default[at_default["genes"] == genes], panel])
        claim = f"Clusters of unmeasured genes predicted by `paper` agree better with cell types (ARI, {genes})"
        add_verdict_against_peers(page, claim, "Fig. S9", found[found["genes"] == genes], "ari")
        for recipe, where in (("paper", "Fig. S9"), ("crossfit", ASKED_HERE)):
            claim = f"Unmeasured genes add to what the measured ones say about cell types (`{recipe}`, ARI, {genes})"
            add_verdict(page, claim, where, differences(found, "ari", recipe, [INPUTS]))
    found = at_default[at_default["genes"] == next(iter(MATRICES))]
    for recipe in RECIPES:
        control = differences(found, "ari", recipe, [f"{recipe}{CONTROL}"])
        claim = f"What the reference knows of the unmeasured genes is what makes their clusters agree (`{recipe}`, ARI)"
        add_verdict(page, claim, ASKED_HERE, control)


STUDY = Study(
    title="Clusters of genes that were not measured",
    paper="Fig. S9",
    question="Do clusters of cells by genes that only the reference has agree with the cell types?",
    measure=measure,
    show=show,
    seeds=(0,),
    pairs=(*REAL_PAIRS, "SYNTHETIC"),  # the reference of OSMFISH_VISP has no gene that the section lacks
    parts=PARTS,
)

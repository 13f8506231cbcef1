"""Clusters of cells by genes that only the reference has: Fig. S9."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
from _pairs import Pair
from benchmarks.paper._page import Page
from benchmarks.paper._predictions import MEASURED, unmeasured, unmeasured_fold
from benchmarks.paper._study import REAL_PAIRS, Study
from benchmarks.paper.clustering import LABELS_PERMUTED, scores

from stimpute.tl import gene_folds

ORDER = 51
INPUTS = "measured, genes of the reference only"
MATRICES = {"all genes, PCA": "", "50 most variable genes": " top 50"}


def measure(pair: Pair, seed: int) -> pd.DataFrame:
    """Cluster cells by unmeasured genes, and by the measured ones that they were predicted from."""
    predicted = unmeasured(pair, seed)
    tables = []
    for name in predicted.layers:
        for matrix, suffix in MATRICES.items():
            table = scores(predicted, name, predicted.layers[name], seed, suffix)
            tables.append(table.assign(genes=matrix, n_genes=predicted.n_vars))
    for name, values in _panels(pair).items():
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


STUDY = Study(
    title="Clusters of genes that were not measured",
    paper="Fig. S9",
    question="Do clusters of cells by genes that only the reference has agree with the cell types?",
    measure=measure,
    show=show,
    pairs=(*REAL_PAIRS, "SYNTHETIC"),
)

"""Clusters of cells by predicted genes: Fig. 3, S8, S16."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import scanpy as sc
from _pairs import Pair
from benchmarks.paper._page import Page
from benchmarks.paper._predictions import MEASURED, held_out
from benchmarks.paper._study import Study

from stimpute import tl

ORDER = 50
RESOLUTIONS = (0.25, 0.5, 1.0, 1.5, 2.0)
N_DRAWN = 500  # cells of a map
LABELS_PERMUTED = "measured, labels permuted"


def measure(pair: Pair, seed: int) -> pd.DataFrame:
    """Cluster cells by the measured genes and by every method's predictions; with the first seed, draw a map."""
    predicted = held_out(pair, seed)
    tables = [scores(predicted, name, predicted.layers[name], seed) for name in predicted.layers]
    tables.append(scores(predicted, MEASURED, predicted.X, seed))
    permuted = predicted.copy()
    permuted.obs["cell_type"] = np.random.default_rng(seed).permutation(permuted.obs["cell_type"].astype(str))
    tables.append(scores(permuted, LABELS_PERMUTED, predicted.X, seed))
    if seed == 0:
        tables += [_umap(predicted, name) for name in (MEASURED, "paper", "crossfit")]
    return pd.concat(tables)


def scores(cells: ad.AnnData, name: str, values: np.ndarray, seed: int, suffix: str = "") -> pd.DataFrame:
    """Cluster cells by `values`, and compare the clusters with their labels."""
    matrix = ad.AnnData(values, obs=cells.obs[["cell_type"]], var=cells.var[[]])
    table = tl.clustering_scores(cells, matrix, expression="normalized", resolutions=RESOLUTIONS, seed=seed)
    table = table[table["matrix"] == f"imputed{suffix}"]
    wide = table.pivot(index=["resolution", "n_clusters"], columns="metric", values="value").reset_index()
    return wide.rename_axis(columns=None).assign(part="scores", method=name)


def _umap(predicted: ad.AnnData, name: str) -> pd.DataFrame:
    matrix = ad.AnnData(predicted.X if name == MEASURED else predicted.layers[name], obs=predicted.obs)
    sc.pp.pca(matrix, n_comps=min(30, min(matrix.shape) - 1), random_state=0)
    sc.pp.neighbors(matrix, use_rep="X_pca", transformer="sklearn", random_state=0)
    sc.tl.umap(matrix, random_state=0)
    x, y = matrix.obsm["X_umap"].round(2).T
    table = pd.DataFrame({"part": "map", "method": name, "x": x, "y": y})
    table["cell_type"] = matrix.obs["cell_type"].astype(str).to_numpy()
    return table.sample(min(N_DRAWN, len(table)), random_state=0)


def show(results: pd.DataFrame, page: Page) -> None:
    """Write tables, maps and verdicts."""


STUDY = Study(
    title="Clusters of predicted genes",
    paper="Fig. 3, S8, S16",
    question="Do clusters of cells by predicted genes, each predicted while it was hidden, agree with the cell types?",
    measure=measure,
    show=show,
)

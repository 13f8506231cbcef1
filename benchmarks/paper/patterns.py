"""Spatial patterns of single genes: Fig. 4, S12."""

from __future__ import annotations

from collections.abc import Iterator

import anndata as ad
import numpy as np
import pandas as pd
import scanpy as sc
from _pairs import Pair
from benchmarks.paper._lacks import SkippedError
from benchmarks.paper._patterns_page import show
from benchmarks.paper._predictions import MEASURED, OURS, PARTS, RECIPES, by_method, held_out
from benchmarks.paper._study import Study
from sklearn.neighbors import kneighbors_graph

from stimpute import tl

ORDER = 60
GENES = ("Rorb", "Slc32a1", "Aldoc", "Gfap")
N_DRAWN = 800
N_NEIGHBORS = 6
MAPS = (MEASURED, *RECIPES)


def measure(pair: Pair, seed: int, part: str) -> pd.DataFrame:
    """Score the genes of the paper's maps, compare regions, and keep the maps of our part with seed 0."""
    if not set(GENES) & set(pair.spatial.var_names):
        raise SkippedError(f"{pair.name} has none of the genes {', '.join(GENES)}")
    predicted = held_out(pair, seed, part)
    predicted = predicted[:, [gene for gene in GENES if gene in predicted.var_names]].copy()
    tables = [pd.DataFrame(_scores(predicted)).assign(part="scores")]
    if "region" in predicted.obs:
        measured = {MEASURED: predicted.X} if part == OURS else {}
        tables.append(_regions(predicted, measured | by_method(predicted)))
    if seed == 0 and part == OURS:
        tables.append(_maps(predicted))
    return pd.concat(tables)


def morans_i(values: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Compute Moran's I of every column over the six nearest cells; 0 for a constant column."""
    graph = kneighbors_graph(positions, N_NEIGHBORS)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = sc.metrics.morans_i(graph, np.ascontiguousarray(values.T, dtype=float))
    return np.nan_to_num(found)


def _scores(predicted: ad.AnnData) -> Iterator[dict]:
    positions = predicted.obsm["spatial"]
    measured = morans_i(predicted.X, positions)
    types = predicted.obs["cell_type"].astype(str).to_numpy()
    for name, values in by_method(predicted).items():
        table = tl.score(predicted.X, values, list(predicted.var_names), metrics=["pcc", "css", "mse", "ssim"])
        by_gene = table.pivot(index="gene", columns="metric", values="value")
        imputed = morans_i(values, positions)
        for i, gene in enumerate(predicted.var_names):
            truth = predicted.X[:, i]
            guess = values[:, i]
            yield {
                "method": name,
                "gene": gene,
                **by_gene.loc[gene],
                "PCC within types": _within(truth, guess, types),
                "mean, predicted / measured": guess.mean() / truth.mean(),
                "sd, predicted / measured": guess.std() / truth.std(),
                "Moran's I measured": measured[i],
                "Moran's I": imputed[i],
            }


def _within(truth: np.ndarray, guess: np.ndarray, types: np.ndarray) -> float:
    """Correlate what is left of both when the mean of the cell type is subtracted; NaN below two types."""
    if len(set(types)) < 2:
        return np.nan
    table = pd.DataFrame({"truth": truth, "guess": guess})
    centered = table - table.groupby(types).transform("mean")
    return float(centered.corr().to_numpy()[0, 1])


def _regions(predicted: ad.AnnData, matrices: dict[str, np.ndarray]) -> pd.DataFrame:
    """Average every gene in every region."""
    tables = []
    for name, values in matrices.items():
        table = pd.DataFrame(values, columns=predicted.var_names, index=predicted.obs_names)
        means = table.groupby(predicted.obs["region"].astype(str)).mean().rename_axis("region").reset_index()
        tables.append(means.melt(id_vars="region", var_name="gene", value_name="mean").assign(method=name))
    return pd.concat(tables).assign(part="regions")


def _maps(predicted: ad.AnnData) -> pd.DataFrame:
    """Keep the positions, and the values of some cells as one number per gene and method."""
    drawn = np.sort(np.random.default_rng(0).permutation(predicted.n_obs)[:N_DRAWN])
    x, y = np.round(predicted.obsm["spatial"][drawn]).T
    table = pd.DataFrame({"part": "map", "x": x, "y": y})
    for name in MAPS:
        values = predicted.X if name == MEASURED else predicted.layers[name]
        for i, gene in enumerate(predicted.var_names):
            table[f"{gene}, {name}"] = values[drawn, i].round(2)
    return table


STUDY = Study(
    title="Spatial patterns of single genes",
    paper="Fig. 4, S12",
    question="Do the maps of Rorb, Slc32a1, Aldoc and Gfap look as measured?",
    measure=measure,
    show=show,
    seeds=(0,),
    pairs=("OSMFISH_VISP", "OSMFISH", "STARMAP_V1"),
    n_cells=None,
    parts=PARTS,
)

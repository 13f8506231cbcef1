"""Accuracy against what the data offer: genes, cells, depth, positions, composition."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import anndata as ad
import numpy as np
import pandas as pd
import scanpy as sc
from _methods import baselines, stimpute
from _pairs import Pair
from benchmarks.paper._needs_page import ALL, MOST, OTHERS, show
from benchmarks.paper._predictions import folds
from benchmarks.paper._study import Study
from scipy import sparse
from sklearn.cluster import KMeans
from sklearn.neighbors import NearestNeighbors

from stimpute import tl
from stimpute.tl import GeneFold

ORDER = 70
METRICS = ("pcc", "spearman", "css", "mse")
MIN_GENES = 20  # a second fold is taken if the first one hides fewer
N_CLUSTERS = 8  # of the reference, for its composition
Change = Callable[[GeneFold, np.random.Generator], GeneFold]


@dataclass(frozen=True)
class Level:
    """One value of one property of the data, and how to make such data."""

    needs: str
    level: str
    change: Change
    recipes: tuple[str, ...] = ("crossfit", "paper")


def measure(pair: Pair, seed: int, part: str) -> pd.DataFrame:
    """Score the same hidden genes with less and less data, or with other proportions of cells."""
    levels = PARTS[part]
    if levels is less_data and "positions" in pair.lacks:
        print(f"needs {pair.name} {seed} {part}: without noise in positions, as it has none", file=sys.stderr)
    rows = []
    drawn = folds(pair, seed)
    for fold in drawn[: min(2, -(-MIN_GENES // len(drawn[0].targets)))]:
        rows += _measure_fold(fold, seed, levels)
    groups = pd.DataFrame(rows).groupby(["needs", "level", "method"], sort=False)
    return groups.mean(numeric_only=True).reset_index()


def _measure_fold(fold: GeneFold, seed: int, levels: Callable[[GeneFold], Iterator[Level]]) -> Iterator[dict]:
    """Score every level, and on the same cells what is predicted with all data."""
    with_all: dict[str, np.ndarray] = {}
    for level in [Level(ALL, ALL, lambda fold, rng: fold), *levels(fold)]:
        changed = level.change(fold, np.random.default_rng(seed))
        methods = {name: stimpute(name, seed=seed) for name in level.recipes} | {"kNN": baselines()["kNN"]}
        data = {"genes": changed.spatial.n_vars, "cells": changed.spatial.n_obs}
        data["reference cells"] = changed.reference.n_obs
        cells = fold.spatial.obs_names.get_indexer(changed.spatial.obs_names)
        for name, predict in methods.items():
            row = {"needs": level.needs, "level": level.level, "method": name, **data, "refused": 0}
            try:
                predicted = predict(changed).expression
            except ValueError as error:  # data that are too small; any other error ends the measurement
                print(f"{row}: {error}", file=sys.stderr)
                yield {**row, "refused": 1}
                continue
            if level.needs == ALL:
                with_all[name] = predicted
            best = _scores(changed, with_all[name][cells])
            yield {**row, **_scores(changed, predicted), **{f"{metric}, all data": best[metric] for metric in METRICS}}


def _scores(fold: GeneFold, predicted: np.ndarray) -> pd.Series:
    table = tl.score(fold.truth, predicted, fold.targets, metrics=list(METRICS))
    return table.groupby("metric")["value"].mean()


def less_data(fold: GeneFold) -> Iterator[Level]:
    """Make all levels that are less than what the data have."""
    for n in (5, 10, 20, 50, 100):
        if n < fold.spatial.n_vars:
            yield Level("shared genes", str(n), fewer_genes(n))
    for n in (100, 300, 1000, 3000):
        if n < fold.reference.n_obs:
            yield Level("reference cells", str(n), fewer_reference_cells(n))
    for share in (0.5, 0.2, 0.05, 0.01):
        yield Level("depth of the reference", f"{share:.0%}", thinned(share))
    for n in (100, 200, 500):
        if n < fold.spatial.n_obs:
            yield Level("cells of the section", str(n), fewer_cells(n))
    for distance in (1, 3, 10, 1000) if "spatial" in fold.spatial.obsm else ():
        yield Level("noise in positions, cell distances", str(distance), moved(distance), ("crossfit",))
    for n in (4, 2, 1):
        yield Level("clusters of the reference, of 8", str(n), fewer_clusters(n))


def other_proportions(fold: GeneFold) -> Iterator[Level]:
    """Thin the most frequent cluster of the reference, or all others."""
    for share in (0.1, 0.01):
        yield Level(MOST, f"{share:.0%}", thinned_clusters(share, most_frequent=True))
    yield Level(OTHERS, "10%", thinned_clusters(0.1, most_frequent=False))


def fewer_genes(n: int) -> Change:
    """Keep `n` of the genes that are not hidden."""

    def change(fold: GeneFold, rng: np.random.Generator) -> GeneFold:
        kept = np.sort(rng.permutation(fold.spatial.n_vars)[:n])
        return replace(fold, spatial=fold.spatial[:, kept].copy())

    return change


def fewer_cells(n: int) -> Change:
    """Keep `n` cells of the section, those around a random one, so that neighbors remain neighbors.

    Without positions, any cells.
    """

    def change(fold: GeneFold, rng: np.random.Generator) -> GeneFold:
        if "spatial" in fold.spatial.obsm:
            positions = np.asarray(fold.spatial.obsm["spatial"])
            order = np.argsort(np.linalg.norm(positions - positions[rng.integers(len(positions))], axis=1))
        else:
            order = rng.permutation(fold.spatial.n_obs)
        kept = np.sort(order[:n])
        return replace(fold, spatial=fold.spatial[kept].copy(), truth=fold.truth[kept])

    return change


def fewer_reference_cells(n: int) -> Change:
    """Keep `n` cells of the reference."""

    def change(fold: GeneFold, rng: np.random.Generator) -> GeneFold:
        return replace(fold, reference=_with_molecules(fold, np.sort(rng.permutation(fold.reference.n_obs)[:n])))

    return change


def thinned(share: float) -> Change:
    """Keep a share of the molecules of the reference."""

    def change(fold: GeneFold, rng: np.random.Generator) -> GeneFold:
        reference = fold.reference.copy()
        matrix = sparse.csr_matrix(reference.X)
        counts = rng.binomial(matrix.data.astype(np.int64), share).astype(np.float32)
        matrix = sparse.csr_matrix((counts, matrix.indices, matrix.indptr), matrix.shape)
        matrix.eliminate_zeros()
        reference.X = matrix
        fold = replace(fold, reference=reference)
        return replace(fold, reference=_with_molecules(fold, np.arange(reference.n_obs)))

    return change


def moved(distance: float) -> Change:
    """Move every cell at random, by a multiple of the median distance to the nearest cell."""

    def change(fold: GeneFold, rng: np.random.Generator) -> GeneFold:
        spatial = fold.spatial.copy()
        positions = np.asarray(spatial.obsm["spatial"], float)
        nearest, _ = NearestNeighbors(n_neighbors=2).fit(positions).kneighbors()
        spatial.obsm["spatial"] = positions + rng.normal(0, distance * np.median(nearest[:, 0]), positions.shape)
        return replace(fold, spatial=spatial)

    return change


def fewer_clusters(n: int) -> Change:
    """Keep the cells of `n` of eight clusters of the reference, drawn at random."""

    def change(fold: GeneFold, rng: np.random.Generator) -> GeneFold:
        found = _clusters(fold)
        kept = np.isin(found, rng.permutation(N_CLUSTERS)[:n])
        return replace(fold, reference=_with_molecules(fold, np.flatnonzero(kept)))

    return change


def thinned_clusters(share: float, *, most_frequent: bool) -> Change:
    """Keep a share of the cells of the most frequent of eight clusters, or of those of the others."""

    def change(fold: GeneFold, rng: np.random.Generator) -> GeneFold:
        found = _clusters(fold)
        thinned = (found == np.bincount(found).argmax()) == most_frequent
        kept = ~thinned | (rng.random(len(found)) < share)
        return replace(fold, reference=_with_molecules(fold, np.flatnonzero(kept)))

    return change


def _clusters(fold: GeneFold) -> np.ndarray:
    """Cluster the cells of the reference, shape (n_cells,)."""
    normalized = ad.AnnData(fold.reference.X.copy())
    sc.pp.normalize_total(normalized)
    sc.pp.log1p(normalized)
    sc.pp.pca(normalized, n_comps=min(20, min(normalized.shape) - 1), random_state=0)
    return KMeans(N_CLUSTERS, n_init=3, random_state=0).fit_predict(normalized.obsm["X_pca"])


def _with_molecules(fold: GeneFold, kept: np.ndarray) -> ad.AnnData:
    """Return cells of the reference; those without a molecule of any input gene are left out."""
    genes = fold.reference.var_names.isin(fold.spatial.var_names)
    total = np.asarray(fold.reference.X[:, genes].sum(1)).ravel()
    return fold.reference[kept[total[kept] > 0]].copy()


PARTS = {"less data": less_data, "other proportions": other_proportions}
STUDY = Study(
    title="What the method needs",
    paper="",
    question="How does accuracy depend on the number of genes and cells, on depth, on positions and on composition?",
    measure=measure,
    show=show,
    seeds=(0,),
    parts=tuple(PARTS),
)

"""Clusters of cells by predicted genes: Fig. 3, S8, S16."""

from __future__ import annotations

from functools import partial

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import scanpy as sc
from _pairs import Pair
from benchmarks.paper._against_peers import add_verdict_against_peers
from benchmarks.paper._beside import gain_over, show_beside
from benchmarks.paper._compare import judge, real
from benchmarks.paper._figures import MAX_TYPES, OTHER, line, panels, scatter
from benchmarks.paper._page import Page
from benchmarks.paper._predictions import CONTROL, FURTHER, MEASURED, OURS, PARTS, PEERS, RECIPES, by_method, held_out
from benchmarks.paper._scalars import ASKED_HERE, MARGIN, RULE, add_verdict, describe, differences, peers_of, seeds_of
from benchmarks.paper._study import Study
from benchmarks.paper._without_the_gene import without_the_gene
from matplotlib.axes import Axes

from stimpute import tl

ORDER = 50
RESOLUTIONS = (0.25, 0.5, 1.0, 1.5, 2.0)
N_DRAWN = 500  # cells of a map
LABELS_PERMUTED = "measured, labels permuted"
DEFAULT = 1.0  # resolution of Leiden in scanpy
LOW = 0.5
METRICS = {"ari": "ARI", "fmi": "FMI", "completeness": "completeness", "ami": "AMI"}
MAP_PAIR = "MERFISH_HYPOTHALAMUS"
MAPPED = (MEASURED, *RECIPES, *PEERS, *FURTHER)  # Fig. 3c, S8


def measure(pair: Pair, seed: int, part: str) -> pd.DataFrame:
    """Cluster cells by every method's predictions, and in our part by the measured genes; make a map of one pair."""
    predicted = held_out(pair, seed, part)
    matrices = by_method(predicted) | ({MEASURED: predicted.X} if part == OURS else {})
    tables = [scores(predicted, name, values, seed) for name, values in matrices.items()]
    if part == OURS:
        permuted = predicted.copy()
        permuted.obs["cell_type"] = np.random.default_rng(seed).permutation(permuted.obs["cell_type"].astype(str))
        tables.append(scores(permuted, LABELS_PERMUTED, predicted.X, seed))
    if pair.name == MAP_PAIR:
        tables += [_umap(predicted, name, values) for name, values in matrices.items() if name in MAPPED]
    return pd.concat(tables)


def scores(cells: ad.AnnData, name: str, values: np.ndarray, seed: int, suffix: str = "") -> pd.DataFrame:
    """Cluster cells by `values`, and compare the clusters with their labels."""
    if cells.obs["cell_type"].nunique() < 2:
        raise ValueError("The section has no cell types to compare clusters with.")
    matrix = ad.AnnData(values, obs=cells.obs[["cell_type"]], var=cells.var[[]])
    table = tl.clustering_scores(cells, matrix, expression="normalized", resolutions=RESOLUTIONS, seed=seed)
    table = table[table["matrix"] == f"imputed{suffix}"]
    wide = table.pivot(index=["resolution", "n_clusters"], columns="metric", values="value").reset_index()
    return wide.rename_axis(columns=None).assign(part="scores", method=name)


def _umap(predicted: ad.AnnData, name: str, values: np.ndarray) -> pd.DataFrame:
    matrix = ad.AnnData(values, obs=predicted.obs)
    sc.pp.pca(matrix, n_comps=min(30, min(matrix.shape) - 1), random_state=0)
    sc.pp.neighbors(matrix, use_rep="X_pca", transformer="sklearn", random_state=0)
    sc.tl.umap(matrix, random_state=0)
    x, y = matrix.obsm["X_umap"].round(2).T
    table = pd.DataFrame({"part": "map", "method": name, "x": x, "y": y})
    table["cell_type"] = matrix.obs["cell_type"].astype(str).to_numpy()
    return table.sample(min(N_DRAWN, len(table)), random_state=0)


def show(results: pd.DataFrame, page: Page) -> None:
    """Write tables, maps and verdicts."""
    found = results[results["part"] == "scores"]
    page.text(
        "Cells are clustered by principal components and Leiden, as in the paper. Every gene was predicted with its "
        "fold held out, so that the clusters are of predictions alone. Two things limit what can be concluded. **The "
        "labels were made from the measured genes**, by clustering them: the measured genes have an advantage, and so "
        "has everything that resembles them. And agreement says little about single genes: a method that only tells "
        "which type a cell is finds all types.",
        f'"{LABELS_PERMUTED}" is what chance gives. In "{RECIPES[0]}{CONTROL}" the reference does not know the '
        f"predicted genes: what is left comes from the measured genes, without the reference. {seeds_of(results)}",
        RULE,
        without_the_gene(found[found["resolution"] == DEFAULT], {"ari": f"ARI at resolution {DEFAULT}"}),
    )
    for pair, of_pair in found.groupby("pair", sort=False):
        page.table(_table(of_pair), f"{pair}: agreement with the cell types at resolution {DEFAULT}")
    at_default = found[found["resolution"] == DEFAULT]
    reported = {"ari": "+5 %", "fmi": "+6 %"}
    gains = {metric: gain_over(at_default, metric, RECIPES[0], "stPlus") for metric in reported}
    show_beside(page, [(f"{METRICS[key]}, against stPlus", text, gains[key]) for key, text in reported.items()])
    figure = panels(list(found["pair"].unique()), 3, partial(_draw_resolutions, found), (2.8, 2.5))
    page.figure(figure, "clustering_resolutions", "ARI against the resolution of Leiden (Fig. S16).")
    plt.close(figure)
    _show_map(results[results["part"] == "map"], page)
    _judge(found, page)


def _table(of_pair: pd.DataFrame) -> pd.DataFrame:
    """Average over seeds: agreement at the default resolution, and the best ARI over all."""
    at_default = of_pair[of_pair["resolution"] == DEFAULT].groupby("method", sort=False)
    table = at_default[[*METRICS, "n_clusters"]].mean().rename(columns={**METRICS, "n_clusters": "clusters"})
    ari = of_pair.groupby(["method", "resolution"], sort=False)["ari"].mean()
    return table.assign(**{"ARI, best resolution": ari.groupby("method", sort=False).max()})


def _draw_resolutions(found: pd.DataFrame, ax: Axes, pair: str) -> None:
    for method, rows in found[found["pair"] == pair].groupby("method", sort=False):
        ari = rows.groupby("resolution")["ari"].mean()
        ax.plot(ari.index, ari, label=method, **line(method))
    ax.set_xlabel("resolution", fontsize=8)
    ax.set_ylabel("ARI", fontsize=8)


def _show_map(maps: pd.DataFrame, page: Page) -> None:
    """Draw the maps of one pair: the one that the paper draws, if it was measured."""
    if maps.empty:
        return
    pairs = set(maps["pair"])
    pair = MAP_PAIR if MAP_PAIR in pairs else maps["pair"].iloc[0]
    maps = maps[maps["pair"] == pair]
    frequent = list(maps["cell_type"].value_counts().index[:MAX_TYPES])

    def draw(ax: Axes, method: str) -> None:
        of_method = maps[maps["method"] == method]
        rest = of_method[~of_method["cell_type"].isin(frequent)]
        if len(rest):
            scatter(ax, rest["x"], rest["y"], color=OTHER, label="other types")
        for number, name in enumerate(frequent):
            cells = of_method[of_method["cell_type"] == name]
            scatter(ax, cells["x"], cells["y"], color=plt.get_cmap("tab10")(number), label=name)

    measured = set(maps["method"])
    figure = panels([name for name in MAPPED if name in measured], 3, draw, (2.6, 2.6))
    text = f"UMAP of measured and predicted genes, {pair}, {N_DRAWN} cells at most, colored by type (Fig. 3c)."
    page.figure(figure, "clustering_umap", text)
    plt.close(figure)


def _judge(found: pd.DataFrame, page: Page) -> None:
    at_default = found[found["resolution"] == DEFAULT]
    peers = [*peers_of(found), *(name for name in FURTHER if name in set(found["method"]))]
    for column, where in (("ari", "Fig. 3a"), ("fmi", "Fig. 3b"), ("completeness", "Fig. S8")):
        claim = f"Clusters of genes predicted by `paper` agree better with cell types ({METRICS[column]})"
        add_verdict_against_peers(page, claim, where, at_default, column, (*PEERS, *FURTHER))
    _judge_others(at_default, page)
    for recipe in RECIPES:
        control = differences(at_default, "ari", recipe, [f"{recipe}{CONTROL}"])
        claim = f"What the reference knows of the predicted genes helps to tell cell types apart (`{recipe}`, ARI)"
        add_verdict(page, claim, ASKED_HERE, control)
    chance = differences(at_default, "ari", "paper", [LABELS_PERMUTED])
    add_verdict(page, "Predicted genes keep the heterogeneity of cells (ARI above chance)", "Fig. 3", chance)
    _judge_resolutions(found, page)
    ours = differences(at_default, "ari", "crossfit", ["paper", *peers])
    add_verdict(page, "Clusters by `crossfit` agree better than those of others (ARI)", ASKED_HERE, ours)
    panel = differences(at_default, "ari", "crossfit", [MEASURED])
    add_verdict(page, "Clusters by `crossfit` agree better than those of the measured genes (ARI)", ASKED_HERE, panel)


def _judge_resolutions(found: pd.DataFrame, page: Page) -> None:
    """Judge the best ARI of all methods and resolutions, and show that of the measured genes beside it."""
    ari = real(found[found["method"] != LABELS_PERMUTED]).groupby(["pair", "method", "resolution"], sort=False)["ari"]
    by_method = ari.mean().groupby(level=["pair", "method"], sort=False).max().unstack("method")
    if by_method.empty:
        return
    predicted = by_method.drop(columns=MEASURED, errors="ignore")
    rows = [f"{pair}: {row.max():.3f} of {row.idxmax()}" for pair, row in predicted.iterrows() if row.notna().any()]
    if MEASURED in by_method:
        rows = [f"{text}, {by_method[MEASURED][text.split(':')[0]]:.3f} of measured genes" for text in rows]
    is_so = by_method.max(axis=1) < LOW
    claim = f"Agreement is low for all methods and for measured genes, at every resolution (rule: best ARI below {LOW})"
    page.verdict(claim, "Fig. S16", judge(list(is_so), is_so.index), "; ".join(rows))


def _judge_others(at_default: pd.DataFrame, page: Page) -> None:
    """Judge what the paper says of the clusters and the maps of other systems."""
    alike = differences(at_default, "ari", "SpaGE", ["TransImpLR"])
    if len(alike):
        verdict = judge(list(alike["difference"].abs() <= MARGIN), alike.index.get_level_values("pair"))
        page.verdict("SpaGE and TransImpLR have similar clusters (ARI)", "Fig. 3a", verdict, describe(alike))
    for column, where in (("ari", "Fig. 3a"), ("fmi", "Fig. 3b")):
        lead = differences(at_default, column, "stPlus", ["SpaGE", *FURTHER])
        add_verdict(page, f"Clusters by stPlus agree best, of the other systems ({METRICS[column]})", where, lead)
    better = pd.concat([differences(at_default, "ari", name, ["Tangram"]) for name in ("SpaGE", "TransImpLR")])
    add_verdict(page, "Clusters by SpaGE and by TransImpLR agree better than those by Tangram (ARI)", "Fig. 3a", better)
    blended = ["Tangram", "gimVI"]
    apart = pd.concat([differences(at_default, "ari", name, blended) for name in ("paper", "TransImpLR")])
    claim = "`paper` and TransImpLR tell types apart that Tangram and gimVI blend (the paper: in maps; here: ARI)"
    add_verdict(page, claim, "Fig. 3c", apart)


STUDY = Study(
    title="Clusters of predicted genes",
    paper="Fig. 3, S8, S16",
    question="Do clusters of cells by predicted genes, each predicted while it was hidden, agree with the cell types?",
    measure=measure,
    show=show,
    seeds=(0,),
    parts=(*PARTS, *FURTHER),
)

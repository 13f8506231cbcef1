"""Write the section on spatial patterns of single genes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from benchmarks.paper import _cache, systems
from benchmarks.paper._against_peers import judge_complete, listed
from benchmarks.paper._compare import SIMULATED, judge, wide
from benchmarks.paper._figures import scatter
from benchmarks.paper._predictions import CONTROL, MEASURED, PEERS, RECIPES, SYSTEMS
from benchmarks.paper._scalars import ASKED_HERE, peers_of, seeds_of
from benchmarks.paper._systems_claims import GIMVI, PAPER, TANGRAM, TRANSIMP

if TYPE_CHECKING:
    from benchmarks.paper._page import Page

SHOWN = ("paper", f"paper{CONTROL}", "crossfit", *PEERS)
FIGURES = {"Fig. 4": ("Rorb", "Slc32a1"), "Fig. S12": ("Aldoc", "Gfap")}
PATTERN = 0.3  # PCC
LEVELS = (0.5, 2.0)  # predicted mean, divided by the measured one
EXCESS = 1.2
MEAN, SD = "mean, predicted / measured", "sd, predicted / measured"
MAX_CELLS = 500  # that are drawn
MAX_MAPS = 3  # pairs that are drawn
FURTHER = (TANGRAM, TRANSIMP, GIMVI)  # in the study of systems alone
N_CELLS = systems.STUDY.n_cells
COLORS = plt.get_cmap("viridis", 8)  # few, so that the picture is small


def show(results: pd.DataFrame, page: Page) -> None:
    """Write maps, a table and verdicts."""
    found = results[results["part"] == "scores"]
    page.text(
        "The four genes of the paper's maps, each predicted with its fold held out, on all cells. PCC within types is "
        "what is left when the mean of the given cell type is subtracted from both: a map that only shows where the "
        "types are has 0. The ratios are those of the predicted mean and standard deviation (sd) over cells to the "
        "measured ones: with a small sd, a map has little contrast. Moran's I is over the six nearest cells, imputed "
        f"and measured; a higher one than measured is not a better one. {seeds_of(found)}"
    )
    for pair, of_pair in found.groupby("pair", sort=False):
        page.table(_table(of_pair), f"{pair}: single genes")
    _show_maps(results[results["part"] == "map"], page)
    _show_regions(results[results["part"] == "regions"], page)
    _judge(found, page)
    _show_systems(_cache.read("systems", systems.STUDY), page)


def _table(of_pair: pd.DataFrame) -> pd.DataFrame:
    groups = of_pair[of_pair["method"].isin(SHOWN)].groupby(["gene", "method"], sort=False)
    columns = {"css": "CSS", "mse": "MSE", "pcc": "PCC", "PCC within types": "PCC within types"}
    columns |= {MEAN: "mean, ratio", SD: "sd, ratio"}
    table = groups[list(columns)].mean().rename(columns=columns)
    moran = groups[["Moran's I", "Moran's I measured"]].mean()
    table["Moran's I"] = [f"{a:.2f} ({b:.2f})" for a, b in moran.to_numpy()]
    return table


def _show_maps(maps: pd.DataFrame, page: Page) -> None:
    for pair in list(maps["pair"].unique())[:MAX_MAPS]:
        values = maps[maps["pair"] == pair].dropna(axis=1, how="all")
        values = values.sample(min(MAX_CELLS, len(values)), random_state=0)
        genes = [gene for gene in sum(FIGURES.values(), ()) if f"{gene}, {MEASURED}" in values]
        methods = [name for name in (MEASURED, *RECIPES) if f"{genes[0]}, {name}" in values] if genes else []
        if not genes:
            continue
        figure, axes = plt.subplots(
            len(genes),
            len(methods),
            figsize=(1.4 * len(methods) + 0.5, 1.5 * len(genes)),
            squeeze=False,
            layout="constrained",
        )
        for row, gene in zip(axes, genes, strict=True):
            top = max(np.quantile(values[f"{gene}, {MEASURED}"], 0.98), 0.1)
            for ax, name in zip(row, methods, strict=True):
                order = np.argsort(values[f"{gene}, {name}"].to_numpy(), kind="stable")
                drawn = values.iloc[order]
                colors = {"c": drawn[f"{gene}, {name}"], "vmin": 0, "vmax": top, "cmap": COLORS}
                scatter(ax, drawn["x"], drawn["y"], antialiased=False, **colors)
                ax.set_aspect("equal")
                ax.set_title(f"{gene}, {name}", fontsize=8)
            bar = figure.colorbar(ax.collections[0], ax=row, shrink=0.8, aspect=12)
            bar.ax.tick_params(labelsize=6)
        caption = (
            f"{pair}: measured and imputed expression of the same {len(values)} cells. Each row has one color scale, "
            "up to the 98th percentile of the measured values, log-normalized (Fig. 4, S12)."
        )
        page.figure(figure, f"patterns_{pair.lower()}", caption)
        plt.close(figure)


def _show_regions(regions: pd.DataFrame, page: Page) -> None:
    """Show where Rorb is, layer by layer, and judge what the paper says of the top curve."""
    regions = regions[regions["gene"] == "Rorb"] if len(regions) else regions
    verdicts = []
    for pair, of_pair in regions.groupby("pair", sort=False):
        means = wide(of_pair.groupby(["region", "method"], sort=False)["mean"].mean(), "method")
        means = means[[name for name in (MEASURED, *SHOWN) if name in means]]
        page.table(means.sort_values(MEASURED, ascending=False), f"{pair}: mean of Rorb in each region")
        top = means[means.index.str.contains("Pia")]
        if len(top) and "paper" in means:
            share = (top / means.mean()).mean()
            verdicts.append((pair, share["paper"], share[MEASURED]))
    if verdicts:
        text = "; ".join(
            f"{pair}: {ours:.2f} of the mean of all regions, measured {truth:.2f}" for pair, ours, truth in verdicts
        )
        is_so = [ours > EXCESS * truth for _, ours, truth in verdicts]
        claim = (
            f"Imputed Rorb has additional expression on the top curve (rule: {EXCESS} times the measured share, pia)"
        )
        page.verdict(claim, "Fig. 4a", judge(is_so, [pair for pair, *_ in verdicts]), text)


def _judge(found: pd.DataFrame, page: Page) -> None:
    means = found.groupby(["pair", "gene", "method"], sort=False)[["css", "mse", "pcc", MEAN]].mean().reset_index()
    for where, genes in FIGURES.items():
        chosen = means[means["gene"].isin(genes)]
        names = " and ".join(genes)
        for recipe, source in (("paper", where), ("crossfit", ASKED_HERE)):
            of_recipe = chosen[chosen["method"] == recipe]
            _judge_best(chosen, recipe, names, source, page)
            claim = f"{names}: `{recipe}` shows the measured pattern (rule: PCC of at least {PATTERN})"
            _judge_column(of_recipe, "pcc", (PATTERN, 1), claim, source, page)
            rule = "rule: mean {} to {} times the measured".format(*LEVELS)
            claim = f"{names}: neither over- nor under-expressed by `{recipe}` ({rule})"
            _judge_column(of_recipe, MEAN, LEVELS, claim, source, page)
    _judge_others(means, page)


def _judge_others(means: pd.DataFrame, page: Page) -> None:
    """Judge what the paper says of the maps of other systems."""
    others = means[means["method"].isin(SYSTEMS)]
    names = " and ".join(SYSTEMS)
    similar = f"show a pattern similar to the measured one (rule: PCC of at least {PATTERN})"
    too_much = "predict too much of it (rule: mean above the measured one)"
    for gene, column, where, claim, least in (
        ("Rorb", "pcc", "Fig. 4a", similar, PATTERN),
        ("Slc32a1", MEAN, "Fig. 4b", too_much, 1),
    ):
        rows = others[others["gene"] == gene]
        if len(rows):
            text = "; ".join(f"{row['pair']}, {row['method']}: {row[column]:.2f}" for _, row in rows.iterrows())
            page.verdict(f"{gene}: {names} {claim}", where, judge(list(rows[column] > least), rows["pair"]), text)


def _show_systems(results: pd.DataFrame, page: Page) -> None:
    """Show and judge the levels of Tangram, TransImpLR and gimVI, which were measured in the study of systems alone."""
    columns = {"mean_ratio": "mean, ratio", "sd_ratio": "sd, ratio"}
    results = results.reindex(columns=["pair", "seed", "method", "gene", "css", "mse", *columns])
    results = results[results["pair"] != SIMULATED]
    _judge_best_of_systems(results, page)
    genes = results.dropna(subset=list(columns))
    genes = genes[genes["method"].isin(FURTHER) & genes["gene"].isin(FIGURES["Fig. 4"])]
    groups = genes.groupby(["pair", "gene", "method"], sort=False)
    means = groups[list(columns)].mean().rename(columns=columns)
    if len(means):
        page.table(
            means.join(groups["seed"].nunique().rename("seeds")),
            f"Further systems on the {N_CELLS} cells of the study of systems, mean over the seeds with these numbers",
        )
    for gene, column, where, more, less in (
        ("Rorb", "sd, ratio", "Fig. 4a", "has more contrast than measured", "less (rule: standard deviation)"),
        ("Slc32a1", "mean, ratio", "Fig. 4b", "predicts too much of it", "too little (rule: mean)"),
    ):
        claim = f"{gene}: {TANGRAM} {more}, {TRANSIMP} and {GIMVI.split(' (')[0]} {less}"
        by_pair = wide(means.xs(gene, level="gene")[column], "method") if len(means) else pd.DataFrame()
        complete = by_pair.reindex(columns=FURTHER).dropna()
        if complete.empty:
            page.verdict(claim, where, "not measured yet", "")
            continue
        rows = complete.rename_axis(columns="method").stack()
        is_so = (rows > 1) == (rows.index.get_level_values("method") == TANGRAM)
        n_seeds = groups["seed"].nunique().xs(gene, level="gene")
        text = "; ".join(
            f"{pair}, {name}: {value:.2f} ({n_seeds[pair, name]} seed{'s' if n_seeds[pair, name] > 1 else ''})"
            for (pair, name), value in rows.items()
        )
        page.verdict(claim, where, judge(list(is_so), rows.index.get_level_values("pair"), list(~is_so)), text)


def _judge_column(
    rows: pd.DataFrame, column: str, limits: tuple[float, float], claim: str, where: str, page: Page
) -> None:
    """Judge whether a column is within limits for every pair and gene."""
    if len(rows):
        text = "; ".join(f"{row['pair']}, {row['gene']}: {row[column]:.2f}" for _, row in rows.iterrows())
        page.verdict(claim, where, judge(list(rows[column].between(*limits)), rows["pair"]), text)


def _judge_best(chosen: pd.DataFrame, recipe: str, names: str, where: str, page: Page) -> None:
    """Judge whether a recipe has both a higher CSS and a lower MSE than each peer."""
    rows = _against_best(chosen, recipe, peers_of(chosen))
    if rows.empty:
        return
    verdict, missing = judge_complete(rows["is best"], chosen)
    claim = f"{names}: `{recipe}` has a higher CSS and a lower MSE than {listed(PEERS)}"
    page.verdict(claim, where, verdict, f"{'; '.join(rows['text'])}; the best peer in brackets{missing}")


def _judge_best_of_systems(genes: pd.DataFrame, page: Page) -> None:
    """Judge the same against the systems that were measured in the study of systems alone."""
    means = genes.groupby(["pair", "gene", "method"], sort=False)[["css", "mse"]].mean().reset_index()
    for where, of_figure in FIGURES.items():
        chosen = means[means["gene"].isin(of_figure)]
        rows = _against_best(chosen, PAPER, [name for name in FURTHER if name in set(chosen["method"])])
        if len(rows):
            names = " and ".join(of_figure)
            claim = f"{names}: `paper` has a higher CSS and a lower MSE than {listed(FURTHER)}"
            seeds = f"up to {genes['seed'].nunique()} seeds"
            text = f"{'; '.join(rows['text'])}; the best of the three in brackets, {N_CELLS} cells, {seeds}"
            page.verdict(claim, where, judge(list(rows["is best"]), rows.index.get_level_values("pair")), text)


def _against_best(chosen: pd.DataFrame, first: str, others: Sequence[str]) -> pd.DataFrame:
    """Compare CSS and MSE with the best of others: one row per pair and gene; columns `is best` and `text`."""
    ours = chosen[chosen["method"] == first].set_index(["pair", "gene"])
    groups = chosen[chosen["method"].isin(others)].groupby(["pair", "gene"], sort=False)
    best = groups.agg(css=("css", "max"), mse=("mse", "min")).reindex(ours.index)
    both = ours[["css", "mse"]].join(best, rsuffix="_best").dropna()
    is_best = (both["css"] > both["css_best"]) & (both["mse"] < both["mse_best"])
    text = [
        f"{pair}, {gene}: CSS {row['css']:.2f} ({row['css_best']:.2f}), MSE {row['mse']:.2f} ({row['mse_best']:.2f})"
        for (pair, gene), row in both.iterrows()
    ]
    return pd.DataFrame({"is best": is_best, "text": text}, index=both.index)

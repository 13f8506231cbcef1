"""Write the section on what an analysis finds in predicted genes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import pandas as pd
from benchmarks.paper._against_peers import add_verdict_against_peers
from benchmarks.paper._compare import judge, real, wide
from benchmarks.paper._figures import SHORT, color, panels
from benchmarks.paper._predictions import CONTROL, MEASURED, PEERS, RECIPES
from benchmarks.paper._scalars import ASKED_HERE, RULE, add_verdict, differences, peers_of, seeds_of
from benchmarks.paper._without_the_gene import without_the_gene

if TYPE_CHECKING:
    from benchmarks.paper._page import Page
    from matplotlib.axes import Axes

TYPES = ["type accuracy", "markers per type", "marker rank", "top markers found", "false markers", "domain ARI"]
SPACE = ["Moran's I", "Moran's I rank", "Moran's I higher"]
DRAWN = ["type accuracy", "false markers", "domain ARI"]
MANY_FALSE = 0.1


def show(results: pd.DataFrame, page: Page) -> None:
    """Write tables, a figure and verdicts."""
    page.text(
        "Each analysis is done with the measured genes, with every method's predictions of the same genes, held out, "
        "and with measured genes whose cells are exchanged. **The types were made from the measured genes**, which "
        "favors these. Type accuracy: balanced accuracy of a logistic regression, five-fold over cells. Markers: "
        "Wilcoxon test of each gene in each type against all other cells, at p < 0.05 (Benjamini-Hochberg). Marker "
        "rank: Spearman over genes of the test's score, measured and predicted. False markers: share of the markers "
        "found that are not higher in that type in the measurement, at no level of significance. Domain ARI: k-means "
        "of the means over squidpy's 15 nearest cells against the regions that come with the data, with as many "
        "clusters as regions; empty without regions. `squidpy.gr.calculate_niche` clusters such means by Leiden or by "
        "a Gaussian mixture; k-means is simpler, and finds as many clusters for every method.",
        f"{seeds_of(results)} {RULE}",
        without_the_gene(results, {"domain ARI": "domain ARI", "type accuracy": "type accuracy"}),
    )
    for pair, of_pair in results.groupby("pair", sort=False):
        about = of_pair.iloc[0]
        caption = f"{pair}: types, markers and domains ({about['types']:.0f} types, {about['genes']:.0f} genes)"
        page.table(of_pair.groupby("method", sort=False)[TYPES].mean().dropna(axis=1, how="all"), caption)
    moran = results.groupby(["pair", "method"], sort=False)[SPACE].mean()
    names = {"Moran's I rank": "Spearman with measured", "Moran's I higher": "share of genes above measured"}
    page.table(moran.rename(columns=names), "Moran's I: mean over genes, order of the genes, inflation")
    figure = panels(DRAWN, 3, partial(_draw, results), (2.7, 2.6))
    caption = "What an analysis finds, on the pairs where it was possible; measured genes in black, controls hollow."
    page.figure(figure, "downstream", caption)
    plt.close(figure)
    _judge(real(results), page)


def _draw(results: pd.DataFrame, ax: Axes, column: str) -> None:
    table = wide(results.groupby(["pair", "method"], sort=False)[column].mean(), "method").dropna(how="all")
    methods = [name for name in (MEASURED, "paper", f"paper{CONTROL}", "crossfit", *PEERS) if name in table]
    width = 0.8 / len(methods)
    for number, name in enumerate(methods):
        is_control = name.endswith(CONTROL)
        style = {"color": "w" if is_control else color(name), "edgecolor": color(name), "linewidth": 0.8}
        positions = [index + number * width for index in range(len(table))]
        ax.bar(positions, table[name], 0.9 * width, label=name, **style)
    table = table.rename(index=SHORT)
    centers = [index + 0.4 - width / 2 for index in range(len(table))]
    ax.set_xticks(centers, table.index, rotation=25, ha="right", rotation_mode="anchor", fontsize=6)


def _judge(results: pd.DataFrame, page: Page) -> None:
    accuracy = "type accuracy"
    peers = peers_of(results)
    claim = "The predictions of `paper` identify cell populations better (type accuracy)"
    add_verdict_against_peers(page, claim, "Abstract", results, accuracy)
    for recipe in RECIPES:
        claim = f"What the reference knows of a gene helps to identify cell populations (`{recipe}`, type accuracy)"
        add_verdict(page, claim, ASKED_HERE, differences(results, accuracy, recipe, [f"{recipe}{CONTROL}"]))
    claim = "Types are found better in the predictions of `crossfit` than in those of others (type accuracy)"
    add_verdict(page, claim, ASKED_HERE, differences(results, accuracy, "crossfit", ["paper", *peers]))
    claim = "Imputed genes tell types apart better than the same genes measured (`crossfit`, type accuracy)"
    add_verdict(page, claim, ASKED_HERE, differences(results, accuracy, "crossfit", [MEASURED]))
    ours = results[results["method"] == "crossfit"].groupby("pair", sort=False)[[*SPACE, "false markers"]].mean()
    if ours.empty:
        return
    higher = ours["Moran's I higher"]
    text = "; ".join(f"{pair}: higher for {share:.0%} of the genes" for pair, share in higher.items())
    claim = "Moran's I of an imputed gene is not that of the gene: imputation raises it (`crossfit`; most genes)"
    page.verdict(claim, "docs", judge(list(higher > 0.5), higher.index), text)
    false = ours["false markers"].dropna()
    text = "; ".join(f"{pair}: {share:.0%}" for pair, share in false.items())
    claim = f"Tests on imputed genes call false markers (`crossfit`; rule: more than {MANY_FALSE:.0%} of the calls)"
    page.verdict(claim, ASKED_HERE, judge(list(false > MANY_FALSE), false.index), text)

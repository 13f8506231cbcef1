"""Write the section on the systems of the paper's comparison: tables and a figure."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from benchmarks.paper._beside import gain_over, less_than, mean_of, show_beside
from benchmarks.paper._compare import SIMULATED, real, with_deviation
from benchmarks.paper._metric_tables import LABELS as OF_GENES
from benchmarks.paper._metric_tables import pairs_of_numbers
from benchmarks.paper._systems_claims import (
    CROSSFIT,
    NAMES,
    NOVOSPARC,
    PAPER,
    RIVALS,
    STPLUS,
    TRANSIMP,
    UNIPORT,
    UNIPORT_LESS,
    add_verdicts,
    missing,
)
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from peers import _measure

if TYPE_CHECKING:
    from benchmarks.paper._page import Page

METHODS = (CROSSFIT, PAPER, *RIVALS, *NAMES.values(), "reference mean, calibrated", "constant")
LABELS = {**OF_GENES, "r2": "R²"}
DETAILS = {**LABELS, "pcc_within": "PCC within types", "rmse_z": "RMSE of z", "js": "JS"}
BY_CELL = ("css", "pcc", "spearman", "ssim")
DRAWN = ("css", "mse", "pcc")
COST = {"cpu_seconds": "CPU seconds", "peak_gib": "GiB"}
INTERVALS = ["coverage", "above_zero", "width"]

PINS = Path(_measure.__file__).parent / "requirements.txt"

INPUTS = """Every system sees the counts of the training genes, the positions of the cells and the whole reference, in a
process of its own that never reads the truth. Each gets the kind of input and the settings that its documentation asks
for; `benchmarks/peers/` has one file per system that says which. Deviations: uniPort sees the 2000 most variable genes
of the reference; SpaGE is the code that `tissue-sc` brings, and TISSUE makes intervals for its predictions; TransImp
and TransImpLR train for the 1000 epochs that are the default of 0.1.1, where the authors' examples have 2000 (a row of
one seed shows TransImpLR with them: it is less accurate), and TransImp's clusters are found without selecting genes;
Tangram gets log-normalized values, where its tutorial normalizes totals without a logarithm; gimVI's frequencies are
brought to log-normalized values; stPlus takes all other genes where there are fewer than it would draw; TransImp maps
clusters of the reference, which is its default, and TransImpLR all its cells by a map of low rank, which is the variant
of the paper's comparison; values that are no number count as 0. Tangram adds up the cells that it maps to a cell of the
section, as its own function does, so that its values grow with the number of reference cells for each cell of the
section; the calibrated numbers below show what its error is without this. uniPort asks for 30,000 iterations; the row
with 3000, of one seed, shows what fewer bring, and no verdict rests on it where the other was measured. None rests on
TransImpLR with 2000 epochs, nor on TISSUE, whose values are those of SpaGE. CPU seconds are for the five folds of one
seed, with the processes that a system starts, without the time to import it; memory is the peak of the process. The
constants have no correlation by gene. By cell, the mean MSE is that over genes: both are the mean over all values."""
LEVELS = """**Levels.** CSS and MSE depend on the level of a gene, which any system could calibrate on the measured
genes. The second number is that after the calibration of the [study of accuracy](accuracy.md), the same for all: mean
and standard deviation of a gene are regressed on those of its prediction and of its reference values, and one slope
scales the shape. All is fitted on the genes of the other folds, so that the measured values of a hidden gene enter only
as far as the predictions of the other genes were made with them. A row has one number where it was not measured again,
and the second number can rest on fewer seeds than the first.
What then differs between two rows is shape. A system that has good levels of its own can lose by it."""


def show(results: pd.DataFrame, page: Page) -> None:
    """Write the tables of accuracy, of calibrated levels, of intervals and of errors, one figure, and verdicts."""
    failed = results[results["error"].notna()] if "error" in results else results[:0]
    order = {name: number for number, name in reversed(list(enumerate(METHODS)))}
    results = results.drop(index=failed.index)
    results = results.sort_values("method", key=lambda names: names.map(order), kind="stable")
    cells, genes = results[results["gene"].isna()], results[results["gene"].notna()]
    releases = ", ".join(line for line in PINS.read_text().splitlines() if "==" in line)
    page.text(
        INPUTS,
        f"Releases: {releases}; gimVI is that of scvi-tools.",
        f"Not measured, with the settings that a system asks for: {missing(genes)}.",
    )
    for column in DRAWN:
        page.table(with_deviation(genes, column), f"Mean {LABELS[column]} over genes (± standard deviation over seeds)")
    for column in ("css", "pcc"):
        page.table(with_deviation(cells, f"cell_{column}"), f"Mean {LABELS[column]} over cells")
    _show_beside_the_paper(genes, cells, page)
    _show_details(genes, cells, page)
    _show_calibrated(genes, page)
    intervals = cells.reindex(columns=["pair", "method", *INTERVALS]).dropna()
    table = intervals.groupby(["pair", "method"], sort=False)[INTERVALS].mean()
    page.table(table, "Intervals of 90 %: share of all values and of values above zero that they cover, mean width")
    if len(failed):
        page.table(failed[["pair", "seed", "method", "error"]].set_index("pair"), "Not run")
    caption = (
        "CSS, MSE and PCC per gene, mean over seeds, for each real pair and system; the recipes are blue. Boxes: "
        "median and quarters of the genes; whiskers: at most 1.5 times the box; genes beyond are not drawn."
    )
    page.figure(_boxes(genes), "systems", caption)
    add_verdicts(genes, cells, page)


def _show_beside_the_paper(genes: pd.DataFrame, cells: pd.DataFrame, page: Page) -> None:
    uniport = UNIPORT if UNIPORT in set(cells["method"]) else UNIPORT_LESS
    above = partial(gain_over, cells, "cell_css", PAPER)
    others = cells[cells["method"].isin(RIVALS) & ~cells["method"].isin(["kNN", STPLUS])]
    next_best = real(others).groupby("method")["cell_pcc"].mean().idxmax() if len(others) else STPLUS
    show_beside(
        page,
        [
            ("CSS by cell", "0.68", mean_of(cells, "cell_css", PAPER)),
            ("CSS by cell, against stPlus", "+4.5 %", above(STPLUS)),
            ("CSS by cell, against uniPort", "+7.8 %", above(uniport)),
            ("CSS by cell, against novoSpaRc", "+14 %", above(NOVOSPARC)),
            ("MSE", "0.45", mean_of(genes, "mse", PAPER)),
            (
                f"PCC by cell, against the next best but stPlus (here: {next_best})",
                "+2.8 %",
                gain_over(cells, "cell_pcc", PAPER, next_best),
            ),
            ("MSE, less than that of stPlus", "1.5", less_than(genes, "mse", PAPER, STPLUS)),
            ("MSE, against TransImpLR", "-34 %", gain_over(genes, "mse", PAPER, TRANSIMP)),
            ("CSS by gene, against TransImpLR", "+3.4 %", gain_over(genes, "css", PAPER, TRANSIMP)),
        ],
    )


def _show_details(genes: pd.DataFrame, cells: pd.DataFrame, page: Page) -> None:
    """Write mean and median of all metrics, and the cost; empty where it was not computed."""
    names = [f"cell_{metric}" for metric in BY_CELL]
    cells = cells.reindex(columns=[*cells, *(name for name in names if name not in cells)])
    for pair in genes["pair"].unique():
        by_gene = genes[genes["pair"] == pair].reindex(columns=["method", *DETAILS]).groupby("method", sort=False)
        table = pairs_of_numbers(by_gene.mean(), by_gene.median()).rename(columns=DETAILS)
        page.table(table, f"{pair}, by gene: mean / median over genes and seeds", folded=True)
        here = cells[cells["pair"] == pair].groupby("method", sort=False)
        medians = here.mean(numeric_only=True).reindex(columns=[f"{name}_median" for name in names])
        table = pairs_of_numbers(here[names].mean(), medians.set_axis(names, axis=1))
        table = table.rename(columns=lambda name: LABELS[name.removeprefix("cell_")])
        on_cpu = cells[(cells["pair"] == pair) & (cells["device"] == "cpu")].groupby("method", sort=False)
        table = table.join(on_cpu[list(COST)].mean().rename(columns=COST)).join(here["seed"].nunique().rename("seeds"))
        page.table(table, f"{pair}, by cell: mean / median over cells, mean over seeds; and the cost", folded=True)


def _show_calibrated(genes: pd.DataFrame, page: Page) -> None:
    page.text(LEVELS)
    for column in ("mse", "css"):
        columns = [column, f"{column}_calibrated"]
        means = genes.reindex(columns=["pair", "method", *columns]).groupby(["pair", "method"], sort=False).mean()
        tables = [means[name].unstack("pair").reindex(genes["method"].unique()) for name in columns]
        tables = [table[list(genes["pair"].unique())] for table in tables]
        caption = f"Mean {LABELS[column]} over genes: as predicted / calibrated alike"
        page.table(pairs_of_numbers(*tables), caption, folded=column == "css")


def _boxes(genes: pd.DataFrame) -> Figure:
    is_whole = genes["pair"].isin(genes.loc[genes["method"] == UNIPORT, "pair"])
    genes = genes[~(is_whole & (genes["method"] == UNIPORT_LESS))]
    left_out = (NAMES["tissue"], NAMES["transimp_lr_2000"], *METHODS[-2:])
    genes = genes[(genes["pair"] != SIMULATED) & ~genes["method"].isin(left_out)]
    pairs = list(genes["pair"].unique())
    figure = Figure(figsize=(2.0 * len(pairs), 1.75 * len(DRAWN)), layout="constrained")
    axes = figure.subplots(len(DRAWN), len(pairs), squeeze=False)
    for row, column in zip(axes, DRAWN, strict=True):
        for ax, pair in zip(row, pairs, strict=True):
            by_gene = genes[genes["pair"] == pair].pivot_table(index="gene", columns="method", values=column)
            order = by_gene.median().sort_values(ascending=column != "mse").index
            values = [by_gene[name].dropna() for name in order]
            boxes = ax.boxplot(values, vert=False, patch_artist=True, showfliers=False)
            for box, name in zip(boxes["boxes"], order, strict=True):
                box.set_facecolor("tab:blue" if name in (CROSSFIT, PAPER) else "lightgray")
            ax.set_yticks(np.arange(1, len(order) + 1), [name.split(" (")[0] for name in order], fontsize=6)
            ax.tick_params(axis="x", labelsize=6)
            if column == "mse":
                ax.set_xscale("log")
                ax.xaxis.set_minor_formatter(NullFormatter())
            ax.set_title(f"{pair}: {LABELS[column]}", fontsize=8)
    return figure

"""Write the section on accuracy: tables, paired tests and verdicts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
from benchmarks.paper._accuracy_figures import draw_boxes, draw_front
from benchmarks.paper._compare import (
    ASKED_HERE,
    add_verdict,
    add_verdict_without_test,
    means,
    paired,
    wide,
    with_deviation,
)
from benchmarks.paper._leak_page import show_leak
from benchmarks.paper._metric_tables import CONSTANT, LABELS, pairs_of_numbers
from benchmarks.paper._scalars import MARGIN

if TYPE_CHECKING:
    from benchmarks.paper._page import Page

GIVEN_LABELS = "mean of the matched type (given labels)"
RIVALS = (
    "kNN",
    "kNN over principal components",
    "kNN of a smoothed reference",
    "ridge",
    "ridge + mean of the visible panel",
    "boosting",
    "boosting + mean of the visible panel",
    GIVEN_LABELS,
    "mean of the visible panel",
)
METHODS = (
    "crossfit",
    "paper",
    *RIVALS,
    "reference mean, calibrated",
    "constant",
    "the gene itself, learned in other cells (oracle)",
    "the gene itself, mean of the given type (oracle)",
)
RULE = f"; rule: by more than {MARGIN}"


def show(results: pd.DataFrame, page: Page) -> None:
    """Write the section from whatever was measured."""
    results = in_order(results)
    free = results[results["totals"] == "input"]
    if len(free):
        _show_genes(free, page)
        _show_cells(free, page)
        _show_details(free, page)
        _show_calibrated(free, page)
        _show_within(free, page)
        _judge_paper(free, page)
        _judge_crossfit(free, page)
    show_leak(results, page)


def in_order(results: pd.DataFrame) -> pd.DataFrame:
    """Sort rows so that methods come in the same order in every table."""
    order = {name: number for number, name in enumerate(METHODS)}
    return results.sort_values("method", key=lambda names: names.map(order), kind="stable")


def _show_genes(free: pd.DataFrame, page: Page) -> None:
    page.text(
        "Totals are over the genes that are not held out, so that nothing of a held-out gene is in the input. Every "
        "method has the same folds. A constant is one number for all cells and genes of a fold, so that its "
        'correlation over the genes of a cell is a little below 0. Rows with "(oracle)" are told '
        "the answer: they learn the held-out gene from itself in other cells of the section, or from the given cell "
        "types. They say how much can be reached, roughly: with few cells a noisy gene cannot be learned even so."
    )
    page.text(_on_rivals(free))
    draw_front(free, page)
    page.table(with_deviation(free, "pcc"), "Mean PCC over genes (± standard deviation over seeds)")
    page.table(with_deviation(free, "css"), "Mean CSS over genes")
    draw_boxes(free, page)
    if "cpu_seconds" in free:
        seconds = free[~free["method"].isin(CONSTANT)].groupby(["pair", "method"], sort=False)["cpu_seconds"].mean()
        caption = "CPU seconds to predict all genes once (five folds), mean over the runs in which they were recorded"
        page.table(wide(seconds.dropna().map("{:.1f}".format), "pair").fillna(""), caption, folded=True)


def _on_rivals(free: pd.DataFrame) -> str:
    """Say how ridge is fitted, and which rival is told more than the others."""
    methods = free.groupby("pair", sort=False)["method"].agg(set)
    without = [pair for pair, found in methods.items() if "kNN" in found and GIVEN_LABELS not in found]
    text = (
        '"Ridge" learns every gene from the panel in the reference; "+ mean of the visible panel" adds that mean, with '
        "a weight. Penalty, weight and slope are those that predict the panel's own genes best, in five folds of the "
        "panel: the held-out genes have no part in it. Boosting with that mean is tuned in the same way, its number "
        "of rounds in place of the penalty; no other rival was tuned. "
        '"(given labels)" is told the cell types of the section and of the reference. It is judged among the plain '
        "rivals all the same"
    )
    return text + (f"; {', '.join(without)} have no row, as their references have no labels." if without else ".")


def _of_cells(free: pd.DataFrame, row: str, columns: list[str]) -> pd.DataFrame:
    chosen = free[(free["axis"] == "cell") & (free["gene"] == row)]
    return chosen.groupby(["pair", "method"], sort=False)[columns].mean()


def _show_cells(free: pd.DataFrame, page: Page) -> None:
    cells = _of_cells(free, "mean", ["pcc", "css"])
    page.text("By cell, a metric is computed over all genes of a cell, so that the level of every gene counts, too.")
    page.table(wide(cells["pcc"].map("{:.3f}".format), "pair").fillna(""), "Mean PCC over cells")


def _show_details(free: pd.DataFrame, page: Page) -> None:
    """Write mean and median of all metrics, by gene and by cell, folded."""
    names = list(LABELS)
    of_genes = free[free["axis"] == "gene"].groupby(["pair", "method"], sort=False)[names]
    for mean, median, text in (
        (of_genes.mean(), of_genes.median(), "by gene: mean / median over genes and seeds"),
        (_of_cells(free, "mean", names), _of_cells(free, "median", names), "by cell: mean / median over cells"),
    ):
        for pair in mean.index.unique("pair"):
            table = pairs_of_numbers(mean.loc[pair], median.loc[pair]).rename(columns=LABELS)
            page.table(table, f"{pair}, {text}", folded=True)


def _show_calibrated(free: pd.DataFrame, page: Page) -> None:
    page.text(
        "**Levels.** MSE and CSS depend on the level of a gene, which any method could calibrate on the measured "
        "genes. In the next tables the second number is that after the same calibration for all: mean and standard "
        "deviation of a gene are regressed on those of its prediction and of its reference values, and one slope "
        "scales the shape, all fitted on the genes of the other folds. Correlations per gene hardly change. What then "
        "differs between two rows is shape. A method that has good levels of its own can lose by it."
    )
    for column in ("mse", "css"):
        both = means(free, [column, f"{column}_calibrated"])
        text = both.apply(lambda row: f"{row.iloc[0]:.3f} / {row.iloc[1]:.3f}", axis=1)
        caption = f"Mean {LABELS[column]} over genes: as predicted / calibrated alike"
        page.table(wide(text, "pair").fillna(""), caption, folded=column == "css")
    cells = _of_cells(free, "mean", ["pcc", "pcc_calibrated"])
    text = cells.apply(lambda row: f"{row.iloc[0]:.3f} / {row.iloc[1]:.3f}", axis=1)
    page.table(wide(text, "pair").fillna(""), "Mean PCC over cells: as predicted / calibrated alike", folded=True)


def _show_within(free: pd.DataFrame, page: Page) -> None:
    """Write correlations without depth and within types, and R²; the oracles are left out."""
    page.text(
        "**Depth and type.** The second number of each cell is the correlation of what the log total of a cell and the "
        "mean of its visible panel leave of truth and prediction. The third is the mean over the cell types of the "
        "section with at least 20 cells, weighted by their cells."
    )
    free = free[~free["method"].str.contains("(oracle)", regex=False)]
    shown = free[~free["method"].isin(CONSTANT)]
    table = means(shown, ["pcc", "pcc_partial", "pcc_within"])
    text = table.apply(lambda row: " / ".join("none" if pd.isna(value) else f"{value:.2f}" for value in row), axis=1)
    page.table(wide(text, "pair").fillna(""), "Mean PCC: all cells / without depth / within cell types")
    page.text(
        "R² is one minus the squared error divided by the variance of the gene. Below 0 the gene's own mean, which no "
        "method is told, would have a smaller error: level, variance and shape all count. A few genes far below 0 "
        "pull the mean down, so that the median and the share of the genes above 0 are shown."
    )
    for column, text in (("r2", "as predicted"), ("r2_calibrated", "all calibrated alike")):
        groups = free[free["axis"] == "gene"].groupby(["pair", "method"], sort=False)[column]
        table = pd.DataFrame({"median": groups.median(), "above": groups.apply(lambda values: (values > 0).mean())})
        table = table.apply(lambda row: f"{row['median']:.2f} / {row['above']:.0%}", axis=1)
        page.table(wide(table, "pair").fillna(""), f"R², {text}: median over genes / share of the genes above 0")
    for other in ("kNN", "ridge + mean of the visible panel"):
        for column, text in (("pcc_within", "within cell types"), ("pcc_partial", "without the depth of cells")):
            tests = paired(free, column, "crossfit", [other])
            add_verdict(page, f"`crossfit` is better than {other} {text} (PCC)", "docs", tests)


def _judge_paper(free: pd.DataFrame, page: Page) -> None:
    rivals = [name for name in RIVALS if name in set(free["method"])]
    for column in ("css", "mse", "pcc"):
        claim = f"The paper's method predicts genes better than plain rivals ({LABELS[column]} by gene)"
        add_verdict(page, claim, ASKED_HERE, paired(free, column, "paper", rivals))
        claim = f"The paper's method is better than plain rivals cell by cell ({LABELS[column]}{RULE})"
        gains = _lead_in_cells(free, column, "paper", rivals)
        add_verdict_without_test(page, claim, ASKED_HERE, gains, " against the best of them", MARGIN)
    claim = "The CSS of the paper's method shows that genes are predicted (it is above that of one constant)"
    add_verdict(page, claim, ASKED_HERE, paired(free, "css", "paper", ["constant"]))


def _lead_in_cells(free: pd.DataFrame, column: str, first: str, others: list[str]) -> pd.Series:
    """Compare the mean over cells with the best of the others, on the seeds that `first` has."""
    seeds = free.loc[free["method"] == first, ["pair", "seed"]].drop_duplicates()
    cells = _of_cells(free.merge(seeds), "mean", [column])[column].unstack("method")
    if first not in cells:
        return pd.Series(dtype=float)
    others = [name for name in others if name in cells]
    if column == "mse":
        return cells[others].min(axis=1) - cells[first]
    return cells[first] - cells[others].max(axis=1)


def _judge_crossfit(free: pd.DataFrame, page: Page) -> None:
    others = [name for name in (*RIVALS, "paper") if name in set(free["method"])]
    for column in ("pcc", "css", "mse", "mse_calibrated"):
        label = LABELS[column.removesuffix("_calibrated")] + (", all calibrated alike" if "_" in column else "")
        claims = {"plain rivals": [name for name in others if name != "paper"], "`paper`": ["paper"]}
        for against, names in claims.items():
            tests = paired(free, column, "crossfit", names)
            add_verdict(page, f"`crossfit` is better than {against} ({label})", "docs", tests)
    claim = "`crossfit` has a higher SSIM than kNN, without matched variance"
    add_verdict(page, claim, "docs", paired(free, "ssim", "crossfit", ["kNN"]))
    claim = f"`crossfit` has the best PCC over the genes of a cell (by cell{RULE})"
    gains = _lead_in_cells(free, "pcc", "crossfit", others)
    add_verdict_without_test(page, claim, "docs", gains, " against the best other", MARGIN)

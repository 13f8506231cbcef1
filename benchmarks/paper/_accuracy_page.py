"""Write the section on accuracy: tables, box plots, paired tests and verdicts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from benchmarks.paper._compare import add_verdict, means, paired, wide, with_deviation

if TYPE_CHECKING:
    from benchmarks.paper._page import Page

RECIPES = ("paper", "crossfit")
RIVALS = ("kNN", "kNN over principal components", "ridge", "ridge + mean of the visible panel", "boosting")
GENE_METRICS = ("css", "mse", "pcc", "spearman", "ssim", "rmse_z", "js")
LABELS = {
    "css": "CSS",
    "mse": "MSE",
    "pcc": "PCC",
    "spearman": "Spearman",
    "ssim": "SSIM",
    "rmse_z": "RMSE-z",
    "js": "JS",
}
BOX = {"whislo": "lowest 5 %", "q1": "lower quarter", "med": "median", "q3": "upper quarter", "whishi": "highest 5 %"}
IS_ORACLE = "(oracle)"


def show(results: pd.DataFrame, page: Page) -> None:
    """Write the section from whatever was measured."""
    free = results[results["totals"] == "input"]
    _show_genes(free, page)
    _show_cells(free, page)
    _show_calibrated(free, page)
    _show_leak(results, page)
    _draw_boxes(free[~free["method"].str.contains(IS_ORACLE, regex=False)], page)
    _draw_front(free, page)
    _judge(free, page)


def _show_genes(free: pd.DataFrame, page: Page) -> None:
    page.text(
        "Five folds of the genes; totals are over the genes that are not held out, so that nothing of a held-out gene "
        "is in the input. Every method has the same folds. A constant is one number for all cells and genes. Rows with "
        '"(oracle)" are told the answer: they learn the held-out gene from itself in other cells of the section, or '
        "from the given cell types, and say how much can be reached. `±` is the standard deviation over seeds."
    )
    page.table(with_deviation(free, "pcc"), "Mean PCC over genes")
    genes = free[free["axis"] == "gene"]
    for pair, of_pair in genes.groupby("pair", sort=False):
        groups = of_pair.groupby("method", sort=False)[list(GENE_METRICS)]
        page.table(
            _mean_and_median(groups.mean(), groups.median()), f"{pair}, by gene: mean / median over genes and seeds"
        )


def _mean_and_median(mean: pd.DataFrame, median: pd.DataFrame) -> pd.DataFrame:
    text = {
        LABELS[name]: [f"{a:.3f} / {b:.3f}" for a, b in zip(mean[name], median[name], strict=True)] for name in mean
    }
    return pd.DataFrame(text, index=mean.index)


def _cells(free: pd.DataFrame, row: str) -> pd.DataFrame:
    chosen = free[(free["axis"] == "cell") & (free["gene"] == row)]
    return chosen.groupby(["pair", "method"], sort=False)[list(GENE_METRICS)].mean()


def _show_cells(free: pd.DataFrame, page: Page) -> None:
    mean, median = _cells(free, "mean"), _cells(free, "median")
    for pair in mean.index.get_level_values("pair").unique():
        page.table(_mean_and_median(mean.loc[pair], median.loc[pair]), f"{pair}, by cell: mean / median over cells")


def _show_calibrated(free: pd.DataFrame, page: Page) -> None:
    page.text(
        "CSS, MSE and JS depend on the level of a gene, which any method could calibrate on the measured genes. In the "
        "next table every method has got the same calibration: mean and standard deviation of a gene are regressed on "
        "those of its prediction and of its reference values, and one slope scales the shape, all fitted on the genes "
        "of the other folds. Correlations per gene hardly change. What is left between two rows is shape."
    )
    columns = ["css", "css_calibrated", "mse", "mse_calibrated", "r2", "r2_calibrated"]
    for pair, of_pair in means(free, columns).groupby(level="pair", sort=False):
        page.table(of_pair.droplevel("pair"), f"{pair}: as predicted, and with the same calibration for all")
    chosen = free[(free["axis"] == "cell") & (free["gene"] == "mean")]
    cells = wide(chosen.groupby(["method", "pair"], sort=False)["pcc_calibrated"].mean(), "pair")
    page.table(cells, "Mean PCC over cells, with the same calibration for all")


def _show_leak(results: pd.DataFrame, page: Page) -> None:
    both = results[results["axis"] == "gene"].groupby(["pair", "method", "totals"], sort=False)[["pcc", "css", "mse"]]
    table = both.mean().unstack("totals")
    if ("pcc", "all") not in table:
        return
    table = table.dropna()
    shown = pd.DataFrame(
        {
            f"{name}, {text}": table[(name, key)]
            for name in ("pcc", "css", "mse")
            for key, text in (("input", "leak-free"), ("all", "published"))
        }
    )
    shown["PCC: what the leak is worth"] = shown["pcc, published"] - shown["pcc, leak-free"]
    page.text(
        "The published protocol divides a cell by its total over ALL measured genes, so that the count of a held-out "
        "gene is in every input. The truth is scaled by the same totals, so that it differs, too."
    )
    page.table(shown, "Totals over the input genes, and over all measured genes as published")


def _draw_boxes(free: pd.DataFrame, page: Page) -> None:
    pairs = list(free["pair"].unique())
    methods = list(free["method"].unique())
    metrics = ("css", "mse", "pcc")
    for axis, title in (("gene", "gene"), ("cell", "cell")):
        figure, axes = plt.subplots(
            len(metrics), len(pairs), figsize=(3.4 * len(pairs), 7.5), squeeze=False, sharey="row"
        )
        for row, metric in zip(axes, metrics, strict=True):
            for ax, pair in zip(row, pairs, strict=True):
                of_pair = free[(free["pair"] == pair) & (free["axis"] == axis)]
                boxes = [_box(of_pair[of_pair["method"] == method], metric, axis) for method in methods]
                ax.bxp(boxes, showfliers=False, positions=range(len(methods)), widths=0.6)
                ax.set_xticks(range(len(methods)), methods if metric == metrics[-1] else [], rotation=90, fontsize=7)
                ax.set_title(pair if metric == metrics[0] else "", fontsize=9)
            row[0].set_ylabel(LABELS[metric])
        caption = f"By {title}: box = quarters, whiskers = 5 and 95 %; all seeds. CSS, MSE and PCC (Fig. 2, S2)."
        page.figure(figure, f"accuracy_{axis}", caption)
        plt.close(figure)


def _box(rows: pd.DataFrame, metric: str, axis: str) -> dict[str, float]:
    if axis == "gene":
        values = rows[metric].dropna()
        quantiles = np.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95]) if len(values) else np.full(5, np.nan)
        return dict(zip(BOX, quantiles, strict=True))
    by_row = rows.groupby("gene")[metric].mean()
    return {name: by_row.get(row, np.nan) for name, row in BOX.items()}


def _draw_front(free: pd.DataFrame, page: Page) -> None:
    """Draw the figure of the README: PCC per pair and method, and what can be reached as a line."""
    table = wide(means(free, ["pcc"])["pcc"], "method")
    shown = [name for name in ("kNN", "ridge + mean of the visible panel", *RECIPES) if name in table]
    figure, ax = plt.subplots(figsize=(7, 3))
    width = 0.8 / max(len(shown), 1)
    colors = dict(zip(shown, ("0.75", "0.55", "#7fb3d5", "#1f5f8b"), strict=False))
    for number, name in enumerate(shown):
        ax.bar(np.arange(len(table)) + number * width, table[name], width, label=name, color=colors[name])
    ceiling = "the gene itself, learned in other cells (oracle)"
    if ceiling in table:
        for index, value in enumerate(table[ceiling]):
            label = "learned from the gene itself" if index == 0 else None
            ax.hlines(value, index - width / 2, index + (len(shown) - 0.5) * width, color="k", label=label)
    ax.set_xticks(np.arange(len(table)) + width * (len(shown) - 1) / 2, table.index, fontsize=8)
    ax.set_ylabel("mean PCC of held-out genes")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    caption = "Mean PCC of held-out genes; the line is learned from the gene itself in other cells of the section."
    page.figure(figure, "front", caption)
    plt.close(figure)


def _judge(free: pd.DataFrame, page: Page) -> None:
    rivals = [name for name in RIVALS if name in set(free["method"])]
    for column in ("css", "mse", "pcc"):
        claim = f"The paper's method predicts genes better than other methods ({LABELS[column]}; here: plain rivals)"
        add_verdict(page, claim, "Fig. 2", paired(free, column, "paper", rivals))
    claim = "The CSS of the paper's method shows that genes are predicted (against one constant)"
    add_verdict(page, claim, "Fig. 2", paired(free, "css", "paper", ["constant"]))
    for column in ("pcc", "mse_calibrated"):
        tests = paired(free, column, "crossfit", [*rivals, "paper"])
        label = LABELS[column.removesuffix("_calibrated")] + (", all calibrated alike" if "_" in column else "")
        add_verdict(page, f"`crossfit` is better than plain rivals and than `paper` ({label})", "docs", tests)
        page.table(tests, f"`crossfit` compared with others, gene by gene: {label}", digits=4)

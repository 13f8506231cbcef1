"""Every system of the paper's comparison, and ours, on the same folds."""

from __future__ import annotations

import contextlib

import numpy as np
import pandas as pd
from _pairs import Pair
from benchmarks.paper._page import Page
from benchmarks.paper._study import REAL_PAIRS, Study
from matplotlib.figure import Figure
from peers import _measure
from scipy.stats import wilcoxon

ORDER = 20
CROSSFIT, PAPER = "stimpute, crossfit", "stimpute, paper"
OURS = (CROSSFIT, PAPER)
BASELINES = ("constant", "reference mean, calibrated", "kNN")
BY_GENE = ["pcc", "spearman", "css", "mse", "ssim", "rmse_z", "js"]
BY_CELL = ["cell_pcc", "cell_css"]
COST = ["cpu_seconds", "peak_gib"]
INTERVALS = ["coverage", "above_zero", "width"]
CALIBRATED = ["css", "mse", "ssim", "js"]

INPUTS = """Every system sees the counts of the training genes, the positions of the cells and the whole reference, in a
process of its own that never reads the truth. Each gets the kind of input and the settings that its documentation asks
for; `benchmarks/peers/` has one file per system that says which. Deviations: uniPort sees the 2000 most variable genes
of the reference, and was trained for 3000 and, where the table has it, for its default of 30000 iterations; SpaGE is
the code that `tissue-sc` brings; gimVI's frequencies are brought to log-normalized values, and TISSUE starts from them.
CPU seconds are for the five folds of one seed, with the processes that a system starts, without the time to import it;
memory is the peak of the process. The constant has no correlation."""


def measure(pair: Pair, seed: int, part: str) -> pd.DataFrame:
    """Measure the folds of a system that are not measured yet, each in a process of its own, and score it."""
    for folds in _measure.missing(part, pair.name, seed):
        with contextlib.suppress(RuntimeError):  # the error is kept, and shown in the table
            _measure.measure(part, pair.name, seed, folds)
    return _measure.scores(part, pair.name, seed)


def show(results: pd.DataFrame, page: Page) -> None:
    """Write the tables of accuracy, of calibrated levels, of intervals and of errors, and one figure."""
    failed = results[results["error"].notna()] if "error" in results else results[:0]
    results = results.drop(index=failed.index)
    whole, genes = results[results["gene"].isna()], results[results["gene"].notna()]
    page.text(INPUTS)
    for pair in results["pair"].unique():
        here, by_gene = whole[whole["pair"] == pair], genes[genes["pair"] == pair]
        seeds = here.groupby("method", sort=False)["seed"].nunique().rename("seeds")
        table = _means(by_gene, BY_GENE).join(_means(here, BY_CELL))
        table = table.join(_means(here[here["device"] == "cpu"], COST)).join(seeds)
        page.table(table.sort_values("pcc", ascending=False), f"{pair}: mean over genes or cells, and over seeds")
    page.text(
        "Levels. A line, fitted to the means of the training genes in both datasets, brings every system's values to "
        "the scale of the section, after each gene was brought to its mean in the reference. Correlations stay."
    )
    for pair in results["pair"].unique():
        columns = {f"{metric}_calibrated": metric for metric in CALIBRATED}
        table = _means(genes[genes["pair"] == pair], list(columns)).rename(columns=columns)
        page.table(table.sort_values("mse"), f"{pair}: every system with the same calibration of levels")
    intervals = whole[whole["coverage"].notna()].groupby(["pair", "method"], sort=False)[INTERVALS].mean()
    page.table(intervals, "Intervals of 90 %: share of all values and of values above zero that they cover, mean width")
    if len(failed):
        page.table(failed[["pair", "seed", "method", "error"]].set_index("pair"), "Not run")
    page.figure(_boxes(genes), "systems", "PCC per gene, mean over seeds, for each pair and system.")
    _claim(genes, page)


def _means(rows: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    return rows.groupby("method", sort=False)[columns].mean()


def _per_gene(genes: pd.DataFrame, pair: str, metric: str = "pcc") -> pd.DataFrame:
    """Mean over seeds, genes × systems."""
    here = genes[genes["pair"] == pair]
    return here.pivot_table(index="gene", columns="method", values=metric, sort=False)


def _boxes(genes: pd.DataFrame) -> Figure:
    compared = genes[~genes["method"].isin(BASELINES[:2])]
    pairs = list(compared["pair"].unique())
    figure = Figure(figsize=(3.2 * max(len(pairs), 1), 4.5), layout="constrained")
    for axis, pair in zip(figure.subplots(1, max(len(pairs), 1), squeeze=False)[0], pairs, strict=False):
        table = _per_gene(compared, pair)
        order = table.median().sort_values().index
        boxes = axis.boxplot([table[name].dropna() for name in order], vert=False, patch_artist=True, showfliers=False)
        for box, name in zip(boxes["boxes"], order, strict=True):
            box.set_facecolor("tab:blue" if name in OURS else "lightgray")
        axis.set_yticks(np.arange(1, len(order) + 1), order, fontsize=7)
        axis.set_title(pair, fontsize=9)
        axis.set_xlabel("PCC per gene")
        axis.axvline(0, color="black", linewidth=0.5)
    return figure


def _claim(genes: pd.DataFrame, page: Page) -> None:
    """The paper's method is ahead of all others; compare the means over genes of every peer with both recipes."""
    evidence = {name: [] for name in OURS}
    ahead = {name: [] for name in OURS}
    for pair in [pair for pair in REAL_PAIRS if pair in set(genes["pair"])]:
        table = _per_gene(genes, pair)
        peers = table.drop(columns=[*OURS, *BASELINES], errors="ignore").mean()
        if peers.empty:
            continue
        best = peers.idxmax()
        for name in OURS:
            if name not in table:
                continue
            difference = (table[name] - table[best]).dropna()
            p_value = wilcoxon(difference).pvalue
            ahead[name].append(difference.mean() > 0 and p_value < 0.05)
            means = f"{table[name].mean():.3f} against {peers[best]:.3f} of {best}"
            evidence[name].append(f"{pair}: {means} (Wilcoxon over genes p = {p_value:.2g})")
    claims = {
        PAPER: ("stImpute predicts more accurately than every other system that was measured", "Fig. 2"),
        CROSSFIT: ("crossfit predicts more accurately than every other system that was measured", "docs"),
    }
    for name, (claim, source) in claims.items():
        if evidence[name]:
            share = np.mean(ahead[name])
            verdict = "holds" if share == 1 else "holds in part" if share > 0 else "does not hold"
            page.verdict(claim, source, verdict, "; ".join(evidence[name]))


STUDY = Study(
    title="Every system of the paper's comparison",
    paper="Fig. 2, S1, S2",
    question="How accurate are the systems of the paper's comparison on genes that none of them has seen?",
    measure=measure,
    parts=_measure.USUAL,
    show=show,
    n_cells=_measure.N_CELLS,
    pairs=("OSMFISH", "OSMFISH_VISP", "MERFISH_HYPOTHALAMUS", "STARMAP_V1", "SYNTHETIC"),
)

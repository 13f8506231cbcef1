"""Genes that are said to be reliable, and noise (Fig. 2e, S7, Table S2)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from _methods import stimpute
from _pairs import Pair
from benchmarks.paper import _cache, accuracy, systems
from benchmarks.paper._accuracy_page import in_order
from benchmarks.paper._compare import ASKED_HERE, SIMULATED, add_verdict_without_test, wide
from benchmarks.paper._held_out import make_folds
from benchmarks.paper._page import Page
from benchmarks.paper._predictions import SYSTEMS
from benchmarks.paper._study import Study
from noise import SHARES, with_noisy_copies

from stimpute.tl.metrics import pcc

ORDER = 25
SCORES = {"own": "reliability", "post hoc": "post_hoc", "reference mean": "reference_mean"}
METHODS = ("crossfit", "paper", *SYSTEMS, "kNN", "ridge", "constant")


def measure(pair: Pair, seed: int, part: str) -> pd.DataFrame:
    """Exchange reference values of each held-out gene among a share of the cells, and predict its reliability."""
    method = stimpute(part, seed=seed)
    tables = []
    for plain in make_folds(pair, seed):
        fold = with_noisy_copies(plain, seed)
        prediction = method(fold)
        table = pd.DataFrame({"gene": np.tile(plain.targets, len(SHARES))})
        table["exchanged"] = np.repeat(SHARES, len(plain.targets))
        table["reliability"] = prediction.reliability
        table["pcc"] = pcc(fold.truth, prediction.expression)
        tables.append(table)
    return pd.concat(tables, ignore_index=True).assign(method=part)


def show(results: pd.DataFrame, page: Page) -> None:
    """Write the more reliable half of the genes against all, for every method and score; then noise."""
    genes = _cache.read("accuracy", accuracy.STUDY)
    if len(genes):
        genes = in_order(genes[(genes["axis"] == "gene") & (genes["totals"] == "input")])
        _show_halves(pd.concat([genes, _of_systems()]), page)
        _show_noise_of_predictions(genes, page)
    _show_exchanged(results, page)


def _of_systems() -> pd.DataFrame:
    """Read the genes of the systems whose reliability after the fact was computed."""
    table = _cache.read("systems", systems.STUDY)
    if "post_hoc" not in table:
        return table[:0]
    return table[table["method"].isin(list(SYSTEMS)) & table["post_hoc"].notna()]


def halves(genes: pd.DataFrame, score: str, metric: str) -> dict[str, float]:
    """Compare the half of the genes with the higher score with all genes, for one pair, method and seed."""
    values = genes[metric]
    top = genes[score].rank(method="first") > len(genes) / 2
    best = values.rank(method="first") > len(genes) / 2
    return {"all": values.mean(), "top half": values[top].mean(), "best half": values[best].mean()}


def _all_halves(genes: pd.DataFrame) -> pd.DataFrame:
    rows = []
    shown = genes[genes["method"].isin(METHODS)]
    for (pair, method, seed), group in shown.groupby(["pair", "method", "seed"], sort=False):
        for name, score in SCORES.items():
            if group[score].isna().all():
                continue
            for metric in ("css", "pcc"):
                found = halves(group, score, metric)
                rows.append({"pair": pair, "method": method, "seed": seed, "score": name, "metric": metric, **found})
    return pd.DataFrame(rows)


def _show_halves(genes: pd.DataFrame, page: Page) -> None:
    page.text(
        "The half of the genes with the higher score, against all genes, from the predictions of the section on "
        f"accuracy; those of {' and '.join(SYSTEMS)} are from the section on systems. `own`: the reliability that the "
        "recipe itself predicts (the CSS for `paper`, the PCC for `crossfit`). `post hoc`: a network from quantiles of "
        "the predicted profile to the CSS, out of fold (eq. 13), for any method. `reference mean`: the genes with the "
        "higher mean in the reference, which needs no method at all: a score is worth something if it does better. A "
        "network that reads quantiles cannot see which cells are high: predictions whose cells are permuted get the "
        "same score."
    )
    frame = _all_halves(genes)
    if frame.empty:
        return
    for metric in ("css", "pcc"):
        chosen = frame[frame["metric"] == metric]
        table = chosen.groupby(["pair", "method", "score"], sort=False)[["all", "top half", "best half"]].mean()
        text = table.apply(lambda row: f"{row['all']:.3f} → {row['top half']:.3f}", axis=1)
        page.table(wide(text, "pair").fillna(""), f"Mean {metric.upper()} of all genes → of the top half")
        best = table["best half"].groupby(level=["pair", "method"], sort=False).first()
        page.table(wide(best, "pair"), f"Mean {metric.upper()} of the best half: a perfect ranking", folded=True)
        _judge(chosen, metric, page)
    _judge_systems(frame[(frame["metric"] == "css") & (frame["score"] == "post hoc")], page)


def _judge_systems(frame: pd.DataFrame, page: Page) -> None:
    for name in SYSTEMS:
        means = frame[frame["method"] == name].groupby("pair", sort=False)[["all", "top half"]].mean()
        claim = f"The more reliable half of the genes of {name} has a higher CSS than all genes, too (`post hoc`)"
        if len(means):
            add_verdict_without_test(page, claim, "Table S2", means["top half"] - means["all"])
        else:
            page.verdict(claim, "Table S2", "not measured yet", "")


def _judge(frame: pd.DataFrame, metric: str, page: Page) -> None:
    for method, where in (("paper", "Fig. 2e"), ("crossfit", "docs")):
        of_method = frame[frame["method"] == method]
        table = of_method.pivot_table(index="pair", columns="score", values="top half", sort=False)
        everything = of_method.groupby("pair", sort=False)["all"].mean()
        if "own" not in table:
            continue
        half = f"The more reliable half of the genes of `{method}`"
        metric_name = metric.upper()
        gain = table["own"] - everything
        is_of_paper = method == "paper" and metric != "css"
        claim = f"{half} has a higher {metric_name} than all genes"
        add_verdict_without_test(page, claim, ASKED_HERE if is_of_paper else where, gain)
        lead = table["own"] - table["reference mean"]
        claim = f"{half} has a higher {metric_name} than the half with the higher reference mean"
        add_verdict_without_test(page, claim, ASKED_HERE if method == "paper" else where, lead)


def _show_noise_of_predictions(genes: pd.DataFrame, page: Page) -> None:
    page.text(
        "**Noise.** The paper adds random noise to predicted expression; its text names neither distribution nor size. "
        "Our choice: Gaussian, one standard deviation of all predictions of the method, cut off at 0. The post hoc "
        "network, fitted without noise, scores the noisy profiles. They are in part beyond the range of the "
        "profiles that it was fitted on, so that it extrapolates, and even the sign of the change can depend on the "
        "seed of the folds: the seeds are shown apart."
    )
    shown = genes[genes["method"].isin(METHODS)]
    table = shown.groupby(["pair", "seed", "method"], sort=False)[["post_hoc", "post_hoc_noisy"]].mean().dropna()
    change = table["post_hoc_noisy"] / table["post_hoc"] - 1
    text = table.apply(lambda row: f"{row['post_hoc']:.2f} → {row['post_hoc_noisy']:.2f}", axis=1)
    page.table(wide(text, "method").fillna(""), "Mean post hoc reliability → with noise on predictions, by seed")
    if "paper" in change.index.get_level_values("method"):
        fall = -change.xs("paper", level="method").drop(SIMULATED, errors="ignore")
        claim = "Noise on predictions lowers their reliability (`paper`, every seed; the paper: by 14.5 %)"
        unit = ", the least relative fall of all seeds"
        add_verdict_without_test(page, claim, "S7", fall.groupby("pair", sort=False).min(), unit)


def _show_exchanged(results: pd.DataFrame, page: Page) -> None:
    page.text(
        "A stronger check than noise on predictions: the reference values of a held-out gene are exchanged among a "
        "share of the reference cells, so that its prediction is wrong from the source."
    )
    table = results.groupby(["pair", "method", "exchanged"], sort=False)[["reliability", "pcc"]].mean()
    text = table.apply(lambda row: f"{row['reliability']:.3f} / {row['pcc']:.3f}", axis=1)
    shown = wide(text, "exchanged")
    shown.columns = [f"{share:.0%} exchanged" for share in shown.columns]
    page.table(shown, "Mean reliability / observed PCC, by the share of reference cells that are exchanged")
    reliability = wide(table["reliability"], "exchanged")
    for method in reliability.index.unique("method"):
        fall = reliability.xs(method, level="method")
        claim = f"The reliability of `{method}` falls when the reference values of a gene are exchanged (none to all)"
        add_verdict_without_test(page, claim, "docs", fall.iloc[:, 0] - fall.iloc[:, -1])


STUDY = Study(
    title="Reliability",
    paper="Fig. 2e, S7, Table S2",
    question="Are the genes that a method says it predicts well the ones that it predicts well?",
    measure=measure,
    show=show,
    seeds=(0,),
    all_cells=accuracy.STUDY.all_cells,
    parts=("crossfit",),
)

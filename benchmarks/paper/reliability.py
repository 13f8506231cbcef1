"""Genes that are said to be reliable, and noise (Fig. 2e, S7, Table S2)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from _methods import stimpute
from _pairs import Pair
from benchmarks.paper import _cache, accuracy
from benchmarks.paper._held_out import make_folds
from benchmarks.paper._page import Page
from benchmarks.paper._study import Study
from noise import SHARES, with_noisy_copies

from stimpute.tl.metrics import pcc

ORDER = 25


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
        genes = genes[(genes["axis"] == "gene") & (genes["totals"] == "input")]
        _show_halves(genes, page)
        _show_noise_of_predictions(genes, page)
    table = results.groupby(["pair", "method", "exchanged"], sort=False)[["reliability", "pcc"]].mean()
    page.text(
        "A stronger check than noise on predictions: the reference values of a held-out gene are exchanged among a "
        "share of the reference cells, so that its prediction is wrong from the source."
    )
    page.table(table, "Mean reliability and observed PCC by the share of reference cells that are exchanged")


def halves(genes: pd.DataFrame, score: str, metric: str) -> dict[str, float]:
    """Compare the half of the genes with the higher score with all genes, for one pair, method and seed."""
    values = genes[metric]
    top = genes[score].rank(method="first") > len(genes) / 2
    best = values.rank(method="first") > len(genes) / 2
    return {"all": values.mean(), "top half": values[top].mean(), "best half": values[best].mean()}


def _show_halves(genes: pd.DataFrame, page: Page) -> None:
    page.text(
        "The half of the genes with the higher score, against all genes. `own`: the reliability that the recipe itself "
        "predicts (the CSS for `paper`, the PCC for `crossfit`). `post hoc`: a network from quantiles of the predicted "
        "profile to the CSS, out of fold (eq. 13), for any method. `reference mean`: the genes with the higher mean in "
        "the reference, which needs no method at all: a score is worth something if it does better. `best half`: a "
        "perfect ranking. A network that reads quantiles cannot see which cells are high, so that predictions whose "
        "cells are permuted get the same score."
    )
    rows = []
    scores = {"own": "reliability", "post hoc": "post_hoc", "reference mean": "reference_mean"}
    shown = genes[genes["method"].isin(("paper", "crossfit", "kNN", "ridge", "constant"))]
    for (pair, method, seed), group in shown.groupby(["pair", "method", "seed"], sort=False):
        for name, score in scores.items():
            if group[score].isna().all():
                continue
            for metric in ("css", "pcc"):
                found = halves(group, score, metric)
                rows.append({"pair": pair, "method": method, "seed": seed, "score": name, "metric": metric, **found})
    frame = pd.DataFrame(rows)
    for metric in ("css", "pcc"):
        chosen = frame[frame["metric"] == metric]
        table = chosen.groupby(["pair", "method", "score"], sort=False)[["all", "top half", "best half"]].mean()
        page.table(table, f"Mean {metric.upper()} of all genes, of the top half, and of the best half")
        _judge(chosen, metric, page)


def _judge(frame: pd.DataFrame, metric: str, page: Page) -> None:
    for method, where in (("paper", "Fig. 2e"), ("crossfit", "docs")):
        table = frame[frame["method"] == method].pivot_table(index="pair", columns="score", values="top half")
        everything = frame[frame["method"] == method].groupby("pair")["all"].mean()
        if "own" not in table:
            continue
        gain, lead = table["own"] - everything, table["own"] - table["reference mean"]
        for claim, values in (("has a higher", gain), ("beats the genes with the higher reference mean in", lead)):
            verdict = "holds in part" if (values > 0).any() else "does not hold"
            if (values > 0).all():
                verdict = "holds"
            evidence = "; ".join(f"{pair}: {value:+.3f}" for pair, value in values.items())
            text = f"The more reliable half of `{method}` {claim} {metric.upper()} (mean over seeds, no test)"
            page.verdict(text, where, verdict, evidence)


def _show_noise_of_predictions(genes: pd.DataFrame, page: Page) -> None:
    page.text(
        "Noise as in the paper: Gaussian noise with the standard deviation of all predictions is added to predicted "
        "profiles, cut off at 0, and the post hoc network scores them again."
    )
    table = genes.groupby(["pair", "method"], sort=False)[["post_hoc", "post_hoc_noisy"]].mean()
    table["change"] = table["post_hoc_noisy"] / table["post_hoc"] - 1
    page.table(table, "Mean post hoc reliability of predictions, without and with noise (the paper: -14.5 %)")
    changes = table.xs("paper", level="method")["change"] if "paper" in table.index.get_level_values(1) else None
    if changes is not None:
        verdict = "holds" if (changes < 0).all() else "holds in part"
        if (changes >= 0).all():
            verdict = "does not hold"
        evidence = "; ".join(f"{pair}: {value:+.1%}" for pair, value in changes.items())
        page.verdict("Noise on predictions lowers their reliability (`paper`)", "S7", verdict, evidence)


STUDY = Study(
    title="Reliability",
    paper="Fig. 2e, S7, Table S2",
    question="Are the genes that a method says it predicts well the ones that it predicts well?",
    measure=measure,
    show=show,
    seeds=(0,),
    parts=("crossfit",),
)

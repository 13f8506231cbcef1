"""Sections on what was checked: accuracy, the graph control, reliability, intervals."""

from __future__ import annotations

import pandas as pd
from scipy.stats import spearmanr

from stimpute import pl
from stimpute.report._page import Picture, Section, Table, picture, pictures, separate
from stimpute.report._results import Results
from stimpute.tl._cross_validate import MODEL

SHOWN = ("pcc", "spearman", "css", "ssim", "rmse_z", "cell_pcc")
LEGEND = (
    "PCC and Spearman: correlation with the measured gene over cells. CSS: cosine similarity. SSIM: similarity of the "
    "maps. RMSE-z: error of standardised genes, lower is better. cell PCC: correlation of a cell over genes."
)
GOOD = 0.5
PLAIN = {
    "pcc": "PCC",
    "spearman": "Spearman",
    "css": "CSS",
    "ssim": "SSIM",
    "rmse_z": "RMSE-z",
    "cell_pcc": "cell PCC",
    "n_edges": "neighbour genes",
}


def accuracy(results: Results) -> Section | None:
    """Cross-validated accuracy beside the baselines."""
    if results.validation is None:
        return None
    genes, summary = results.validation.genes, results.validation.summary
    pcc = genes[genes["metric"] == "pcc"].pivot(index="gene", columns="method", values="value")
    others = [name for name in summary.index if name != MODEL]
    told = f"Each of {len(pcc)} measured genes was predicted by a model that never saw it: mean PCC "
    told += f"{summary.loc[MODEL, 'pcc']:.3f}."
    size = (4.2, 1.2 + 0.45 * len(summary))
    drawn = [
        picture(pl.accuracy(genes, "pcc", figsize=size, return_ax=True), "PCC of each gene (dots) and its mean (bar).")
    ]
    if others:
        best = str(summary.loc[others, "pcc"].idxmax())
        better = int((pcc[MODEL] > pcc[best]).sum())
        told += f" The best baseline, {best}, reaches {summary.loc[best, 'pcc']:.3f}; "
        told += f"stimpute is better on {better} of {len(pcc)} genes."
        pair = genes[genes["method"].isin([MODEL, best])]
        axes = pl.accuracy(pair, "pcc", baseline=best, figsize=(3.8, 2.2), return_ax=True)
        drawn.append(picture(axes, f"Difference from {best}, gene by gene; right of the line is better."))
    shown = summary[[name for name in SHOWN if name in summary]].rename(columns=_plain)
    table = Table.of(shown, "Mean over genes that no method was shown.", "method")
    return Section("Accuracy on hidden genes", [told], [table], drawn, LEGEND)


def control(results: Results) -> Section | None:
    """Whether a gene relation is worth more than a random one."""
    if results.control is None:
        return None
    relation, gain = results.control.relation, results.control.gain()
    ahead = gain["mean"] > 2 * gain["standard_error"]
    if ahead.all():
        verdict = f"What the relation {relation!r} says of genes helps here: it is ahead of none and of random ones."
    elif ahead["over none"]:
        verdict = f"The relation {relation!r} helps, but not clearly more than the same one with its genes permuted."
    else:
        verdict = f"On these data the relation {relation!r} does not clearly help; the differences are within noise."
    told = [f"{name} {row['mean']:+.4f} ± {row['standard_error']:.4f}" for name, row in gain.iterrows()]
    text = [verdict, f"Difference in PCC, mean over genes ± standard error: {'; '.join(told)}."]
    shown = results.control.summary
    shown = shown[[name for name in SHOWN if name in shown]].rename(columns=_plain)
    table = Table.of(shown, "The same folds and seeds; only the relation differs.", "relations")
    scores = results.control.genes
    drawn = pl.accuracy(scores, "pcc", baseline=results.control.without, return_ax=True)
    return Section("Is the gene graph worth it?", text, [table], [picture(drawn, "Difference in PCC, gene by gene.")])


def reliability(results: Results) -> Section | None:
    """Predicted accuracy: how it was borne out, and what it says of unmeasured genes."""
    checked, unmeasured, reached = results.held_out, results.unmeasured, results.reached
    if checked.empty and unmeasured.empty:
        return None
    text = [f"The reliability of a gene is the {PLAIN[reached]} that the model predicts for it, before any check."]
    drawn, tables = [], []
    if len(checked) > 2:
        rank = spearmanr(checked["reliability"], checked["pcc"]).statistic
        text.append(
            f"On {len(checked)} hidden genes, its rank correlation with the PCC that was reached is {rank:.2f}."
        )
        axes = separate(2, 4.6, 3.4)
        pl.reliability(checked, reached=reached, ax=axes)
        drawn += pictures(axes, ["Hidden genes, by predicted reliability.", "Hidden genes: predicted and reached."])
    if len(unmeasured):
        good = int((unmeasured["reliability"] >= GOOD).sum())
        text.append(f"Of {len(unmeasured):,} unmeasured genes, {good:,} have a reliability of at least {GOOD}.")
        axes = separate(1, 4.6, 3.4)
        pl.reliability(unmeasured.drop(columns="measured", errors="ignore"), reached=reached, ax=axes)
        drawn.append(picture(axes, "Genes that were not measured, by predicted reliability."))
        tables.append(_most_and_least(unmeasured))
    return Section("Which genes to trust", text, tables, drawn)


def intervals(results: Results) -> Section | None:
    """Coverage of the intervals on hidden genes."""
    if results.validation is None or "lower" not in results.validation.predicted.layers:
        return None
    predicted = results.validation.predicted
    truth, low, high = predicted.X, predicted.layers["lower"], predicted.layers["upper"]
    inside = float(((low <= truth) & (truth <= high)).mean())
    text = f"{inside:.1%} of the hidden values lie inside their interval; {results.interval:.0%} were asked for."
    axes = separate(2, 4.6, 3.4)
    pl.intervals(truth, low, high, level=results.interval, ax=axes)
    captions = ["Coverage, by how much a gene is expressed.", "Width, by how much a gene is expressed."]
    return Section("Intervals", [text], [], pictures(axes, captions))


def history(results: Results) -> Picture | None:
    """What was logged in training."""
    if results.model is None or not results.model.history:
        return None
    return picture(pl.history(results.model, ncols=2, return_ax=True), "Training, phase by phase.")


def _most_and_least(genes: pd.DataFrame, n: int = 5) -> Table:
    shown = genes[[name for name in ("reliability", "has_protein", "n_edges") if name in genes]]
    ends = shown if len(shown) <= 2 * n else pd.concat([shown.head(n), shown.tail(n)])
    return Table.of(ends.rename(columns=_plain), "The most and the least reliable unmeasured genes.", "gene")


def _plain(name: str) -> str:
    return PLAIN.get(name, name.replace("_", " "))

"""Sections on the accuracy of held-out genes and on the ablation of a gene relation."""

from __future__ import annotations

import pandas as pd

from stimpute import pl
from stimpute.report._page import Section, Table, make_figure
from stimpute.report._results import Results
from stimpute.tl import LOWER_IS_BETTER, MODEL_NAME

SHOWN = ("pcc", "spearman", "css", "ssim", "rmse_z", "cell_pcc")
LABELS = {
    "pcc": "PCC",
    "spearman": "Spearman",
    "css": "CSS",
    "ssim": "SSIM",
    "rmse_z": "RMSE-z",
    "cell_pcc": "cell PCC",
}
LEGEND = (
    "PCC and Spearman: correlation of imputed with measured values of a gene over cells. CSS: cosine similarity. "
    "SSIM: structural similarity of the maps. RMSE-z: root mean squared error of standardized genes. "
    "Cell PCC: correlation of a cell over genes. ↑ higher is better, ↓ lower is better."
)


def accuracy(results: Results) -> Section | None:
    """Show the cross-validated accuracy beside the baselines."""
    if results.validation is None:
        return None
    genes = results.validation.genes
    summary = results.validation.summary
    pcc = genes[genes["metric"] == "pcc"].pivot(index="gene", columns="method", values="value")
    text = (
        f"Each of {len(pcc)} measured genes was held out and predicted by a model that was trained without it. "
        f"The mean PCC is {summary.loc[MODEL_NAME, 'pcc']:.3f}."
    )
    size = (4.2, 1.2 + 0.45 * len(summary))
    axes = pl.accuracy(genes, "pcc", figsize=size, return_ax=True)
    figures = [make_figure(axes, "PCC of each gene (dots) and the mean (bar).")]
    best = results.validation.best_other
    if best is not None:
        n_better = int((pcc[MODEL_NAME] > pcc[best]).sum())
        text += (
            f" The best other method, {best}, has a mean PCC of {summary.loc[best, 'pcc']:.3f}; "
            f"{MODEL_NAME} is better on {n_better} of {len(pcc)} genes."
        )
        pair = genes[genes["method"].isin([MODEL_NAME, best])]
        axes = pl.accuracy(pair, "pcc", baseline=best, figsize=(3.8, 2.2), return_ax=True)
        figures.append(make_figure(axes, f"Difference in PCC from {best}, gene by gene; positive is better."))
    table = Table.from_frame(_labeled(summary), "Mean over held-out genes.", "method")
    return Section("Accuracy on held-out genes", [text], [table], figures, LEGEND)


def ablation(results: Results) -> Section | None:
    """Show whether a gene relation improves the prediction, and more than a permuted one."""
    if results.ablation is None:
        return None
    relation = results.ablation.relation
    gain = results.ablation.gain()
    # two standard errors: about a 95% confidence interval of the mean
    is_clear = gain["mean"] > 2 * gain["standard_error"]
    if is_clear.all():
        verdict = f"The relation {relation!r} improves the prediction on these data, and more than a permuted one."
    elif is_clear["over none"]:
        verdict = (
            f"The relation {relation!r} improves the prediction, but not clearly more than the same relation with "
            "its genes permuted."
        )
    else:
        verdict = (
            f"The relation {relation!r} does not clearly improve the prediction on these data: the difference is "
            "less than two standard errors."
        )
    parts = []
    for name, row in gain.iterrows():
        parts.append(f"{name} {row['mean']:+.4f} ± {row['standard_error']:.4f}")
    numbers = f"Difference in PCC, mean over genes ± standard error: {'; '.join(parts)}."
    summary = _labeled(results.ablation.summary)
    table = Table.from_frame(summary, "The same folds and seeds; only the relation differs.", "relation")
    axes = pl.accuracy(results.ablation.genes, "pcc", baseline=results.ablation.without, return_ax=True)
    caption = f"Difference in PCC from the model without {relation}, gene by gene."
    note = LEGEND if results.validation is None else ""  # the section on accuracy has it already
    return Section("Effect of the gene relation", [verdict, numbers], [table], [make_figure(axes, caption)], note)


def _labeled(summary: pd.DataFrame) -> pd.DataFrame:
    """Keep the metrics to show, with an arrow in the direction that is better."""
    shown = summary[[name for name in SHOWN if name in summary]]
    labels = {}
    for name in shown:
        arrow = "↓" if name in LOWER_IS_BETTER else "↑"
        labels[name] = f"{LABELS[name]} {arrow}"
    return shown.rename(columns=labels)

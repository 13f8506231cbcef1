"""Sections on the reliability of genes and on the coverage of intervals."""

from __future__ import annotations

import numpy as np
from scipy.stats import spearmanr

from stimpute import pl
from stimpute.pl._reliability import draw_comparison
from stimpute.report._page import WIDTH, Figure, Section, make_figure, make_figures, separate_axes
from stimpute.report._results import Results
from stimpute.tl._cross_validation import values_inside

HIGH = 0.5  # reliability from which a gene is counted; not a threshold that suits every question
MIN_GENES = 3  # of a rank correlation


def reliability(results: Results) -> Section | None:
    """Show the predicted accuracy of genes, and compare it with the observed one of held-out genes."""
    if results.held_out.empty and results.unmeasured.empty:
        return None
    metric = results.reliability_metric.upper()
    text = [f"The reliability of a gene is the {metric} that the model expects between imputed and measured values."]
    figures: list[Figure] = []
    if results.validation is not None:
        compared_text, compared_figures = _compare(results, results.validation.settings.reliability_metric)
        text += compared_text
        figures += compared_figures
    unmeasured = results.unmeasured
    if len(unmeasured):
        n_high = int((unmeasured["reliability"] >= HIGH).sum())
        text.append(f"Of {len(unmeasured):,} unmeasured genes, {n_high:,} have a reliability of at least {HIGH}.")
        axes = separate_axes(WIDTH)
        ranked = unmeasured.drop(columns="measured", errors="ignore")  # a legend with one entry says nothing
        pl.reliability(ranked, observed=results.reliability_metric, ax=axes)
        figures.append(make_figure(axes, "Unmeasured genes, ranked by reliability."))
    return Section("Reliability of genes", text, [], figures)


def _compare(results: Results, metric: str) -> tuple[list[str], list[Figure]]:
    """Compare the reliability of held-out genes with the accuracy that was observed."""
    genes = results.held_out.dropna(subset=["reliability", metric])
    if len(genes) < MIN_GENES:
        return [], []
    label = metric.upper()
    varies = np.ptp(genes["reliability"]) > 0 and np.ptp(genes[metric]) > 0
    rank = spearmanr(genes["reliability"], genes[metric]).statistic if varies else 0.0
    text = f"On {len(genes)} held-out genes, its rank correlation with the observed {label} is {rank:.2f}."
    axes = separate_axes(WIDTH)
    draw_comparison(genes, metric, f"reliability (predicted {label})", axes[0])
    return [text], make_figures(axes, [f"Held-out genes: reliability and observed {label}."])


def intervals(results: Results) -> Section | None:
    """Show how many held-out values lie inside their interval."""
    if results.validation is None:
        return None
    level = results.validation.settings.interval
    is_inside = values_inside(results.validation.predicted)
    if level is None or is_inside is None:
        return None
    text = f"{is_inside.mean():.1%} of the held-out values lie inside their interval; {level:.0%} were asked for."
    axes = separate_axes(WIDTH, WIDTH)
    pl.intervals(results.validation, ax=axes)
    captions = [
        "Share of values inside the interval, by mean expression of the gene.",
        "Width of the interval, by mean expression of the gene.",
    ]
    return Section("Intervals", [text], [], make_figures(axes, captions))

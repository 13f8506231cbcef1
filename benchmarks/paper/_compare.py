"""Compare methods gene by gene: paired tests over genes, with the correction of Holm."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import wilcoxon

from stimpute.tl import LOWER_IS_BETTER

ALPHA = 0.05


def by_gene(results: pd.DataFrame, column: str, method: str = "method") -> pd.DataFrame:
    """Average a column over seeds: one row per pair and gene, one column per method."""
    genes = results[results["axis"] == "gene"] if "axis" in results else results
    return genes.pivot_table(index=["pair", "gene"], columns=method, values=column, aggfunc="mean", sort=False)


def means(results: pd.DataFrame, columns: Sequence[str], by: Sequence[str] = ("pair", "method")) -> pd.DataFrame:
    """Average columns over genes and seeds."""
    genes = results[results["axis"] == "gene"] if "axis" in results else results
    return genes.groupby(list(by), sort=False)[list(columns)].mean()


def with_deviation(results: pd.DataFrame, column: str, by: Sequence[str] = ("method",)) -> pd.DataFrame:
    """Write mean ± standard deviation over seeds of the mean over genes: one column per pair."""
    genes = results[results["axis"] == "gene"] if "axis" in results else results
    of_seed = genes.groupby(["pair", *by, "seed"], sort=False)[column].mean()
    groups = of_seed.groupby(["pair", *by], sort=False)
    mean, deviation, count = groups.mean(), groups.std(), groups.count()
    text = [f"{m:.3f}" + (f" ± {d:.3f}" if n > 1 else "") for m, d, n in zip(mean, deviation, count, strict=True)]
    table = pd.Series(text, index=mean.index).unstack("pair", sort=False)
    return table.fillna("")


def paired(
    results: pd.DataFrame, column: str, first: str, others: Sequence[str] | None = None, method: str = "method"
) -> pd.DataFrame:
    """Test whether a method is better than others, over the genes of each pair.

    Values are means over seeds. The test is the signed-rank test of Wilcoxon; p is corrected by the method of Holm
    over all rows. A positive difference means that the first method is better, for every metric.

    Returns
    -------
    Rows pair and other method; columns `difference` (mean over genes), `better` (share of the genes), `p`, `n`.
    """
    table = by_gene(results, column, method)
    sign = -1 if column.removesuffix("_calibrated") in LOWER_IS_BETTER else 1
    rows = []
    for pair, genes in table.groupby(level="pair", sort=False):
        if first not in genes or genes[first].isna().all():
            continue
        for other in others or genes.columns.drop(first):
            if other not in genes or genes[other].isna().all():
                continue
            difference = (sign * (genes[first] - genes[other])).dropna().to_numpy()
            p = wilcoxon(difference).pvalue if np.any(difference != 0) else 1.0
            rows.append((pair, other, difference.mean(), (difference > 0).mean(), p, len(difference)))
    found = pd.DataFrame(rows, columns=["pair", "compared with", "difference", "better", "p", "n"])
    found["p"] = holm(found["p"].to_numpy())
    return found.set_index(["pair", "compared with"])


def holm(p: np.ndarray) -> np.ndarray:
    """Correct p values for their number by the method of Holm."""
    order = np.argsort(p)
    corrected = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    result = np.empty(len(p))
    result[order] = np.minimum(corrected, 1)
    return result


def judge(tests: pd.DataFrame) -> str:
    """Judge "the first method is better" from the rows of :func:`paired`, by one rule for all claims.

    "holds": the difference is positive and significant in every row. "holds in part": in some row. "does not hold": in
    none. "cannot be tested": there is no row.
    """
    if not len(tests):
        return "cannot be tested"
    yes = (tests["difference"] > 0) & (tests["p"] < ALPHA)
    if yes.all():
        return "holds"
    return "holds in part" if yes.any() else "does not hold"


def describe(tests: pd.DataFrame) -> str:
    """Write the rows of :func:`paired` as text: difference, p and the pair."""
    rows = []
    for (pair, other), row in tests.iterrows():
        p = "p < 0.001" if row["p"] < 0.001 else f"p = {row['p']:.2g}"
        rows.append(f"{pair}: {row['difference']:+.3f} against {other} ({p}, {int(row['n'])} genes)")
    return "; ".join(rows)

"""Compare methods gene by gene: paired tests over genes, with the correction of Holm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.stats import wilcoxon

if TYPE_CHECKING:
    from benchmarks.paper._page import Page
    from benchmarks.paper._study import Verdict

from stimpute.tl import LOWER_IS_BETTER

ALPHA = 0.05
MAX_DESCRIBED = 5  # rows of a test that are written out


def wide(values: pd.Series, column: str) -> pd.DataFrame:
    """Put one level of the index into columns, with rows and columns in the order in which they come.

    `unstack(sort=False)` of pandas puts values into wrong places where combinations are missing.
    """
    rows = values.reset_index(column).index.unique()
    columns = values.index.get_level_values(column).unique()
    return values.unstack(column).reindex(index=rows, columns=columns)


def by_gene(results: pd.DataFrame, column: str, method: str = "method") -> pd.DataFrame:
    """Average a column over seeds: one row per pair and gene, one column per method."""
    genes = results[results["axis"] == "gene"] if "axis" in results else results
    return wide(genes.groupby(["pair", "gene", method], sort=False)[column].mean(), method)


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
    return wide(pd.Series(text, index=mean.index), "pair").fillna("")


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


def judge(tests: pd.DataFrame) -> Verdict:
    """Judge "the first method is better" from the rows of :func:`paired`, by one rule for all claims.

    "holds": the difference is positive and significant in every row. "holds in part": in some row. "does not hold": in
    none.
    """
    yes = (tests["difference"] > 0) & (tests["p"] < ALPHA)
    if yes.all():
        return "holds"
    return "holds in part" if yes.any() else "does not hold"


def add_verdict(page: Page, claim: str, where: str, tests: pd.DataFrame) -> None:
    """Add a claim and its verdict to the page, if it was tested at all."""
    if len(tests):
        page.verdict(claim, where, judge(tests), describe(tests))


def describe(tests: pd.DataFrame) -> str:
    """Write the rows of :func:`paired` as text: difference, p and the pair; many rows are counted."""
    if len(tests) > MAX_DESCRIBED:
        return _count(tests)
    rows = []
    for (pair, other), row in tests.iterrows():
        p = "p < 0.001" if row["p"] < 0.001 else f"p = {row['p']:.2g}"
        rows.append(f"{pair}: {row['difference']:+.3f} against {other} ({p}, {int(row['n'])} genes)")
    return "; ".join(rows)


def _count(tests: pd.DataFrame) -> str:
    better = ((tests["difference"] > 0) & (tests["p"] < ALPHA)).sum()
    worse = ((tests["difference"] < 0) & (tests["p"] < ALPHA)).sum()
    pair, other = tests["difference"].idxmin()
    text = f"of {len(tests)} comparisons better in {better}, worse in {worse}, at p < {ALPHA} (Holm)"
    return text + f"; least: {tests['difference'].min():+.3f} on {pair} against {other}"

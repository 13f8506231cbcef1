"""Compare methods gene by gene: paired tests over genes, with the correction of Holm."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from benchmarks.paper._study import PAIRS, PAPER_PAIRS
from scipy.stats import rankdata, wilcoxon

if TYPE_CHECKING:
    from benchmarks.paper._page import Page
    from benchmarks.paper._study import Verdict

from stimpute.tl import LOWER_IS_BETTER

ALPHA = 0.05
MAX_DESCRIBED = 4  # rows of a test that are written out
MIN_SECTIONS = 2  # that a verdict needs
SIMULATED = "SYNTHETIC"  # shown in the tables, but no verdict rests on it
ALL_PAIRS = (*PAIRS, *PAPER_PAIRS)
ASKED_HERE = "asked here"  # where a claim is neither in the paper nor in the docs


def real(table: pd.DataFrame) -> pd.DataFrame:
    """Leave out the rows of the synthetic tissue, which no verdict rests on; `pair` is a column or in the index."""
    pairs = table["pair"] if "pair" in table else table.index.get_level_values("pair")
    return table[pairs != SIMULATED]


def is_too_few(pairs: Iterable[str]) -> bool:
    """Tell whether a claim rests on fewer than two real sections.

    Pairs whose names begin alike, such as OSMFISH and OSMFISH_VISP, are of one section or one study, and count once.
    """
    return len({pair.upper().split("_")[0] for pair in pairs if pair != SIMULATED}) < MIN_SECTIONS


def wide(values: pd.Series, column: str) -> pd.DataFrame:
    """Put one level of the index into columns, rows and columns as they come, pairs as in `ALL_PAIRS`.

    `unstack(sort=False)` of pandas puts values into wrong places where combinations are missing.
    """
    rows = values.reset_index(column).index.unique()
    columns = values.index.get_level_values(column).unique()
    if column == "pair":
        columns = sorted(columns, key=ALL_PAIRS.index)
    return values.unstack(column).reindex(index=rows, columns=columns)


def means(results: pd.DataFrame, columns: Sequence[str], by: Sequence[str] = ("pair", "method")) -> pd.DataFrame:
    """Average columns over genes and seeds."""
    genes = results[results["axis"] == "gene"] if "axis" in results else results
    return genes.groupby(list(by), sort=False)[list(columns)].mean()


def with_deviation(results: pd.DataFrame, column: str, by: Sequence[str] = ("method",)) -> pd.DataFrame:
    """Write mean ± standard deviation over seeds of the mean over genes: one column per pair."""
    genes = results[results["axis"] == "gene"] if "axis" in results else results
    of_seed = genes.groupby(["pair", *by, "seed"], sort=False)[column].mean().dropna()
    groups = of_seed.groupby(["pair", *by], sort=False)
    mean, deviation, count = groups.mean(), groups.std(), groups.count()
    text = [f"{m:.3f}" + (f" ± {d:.3f}" if n > 1 else "") for m, d, n in zip(mean, deviation, count, strict=True)]
    return wide(pd.Series(text, index=mean.index), "pair").fillna("")


def paired(
    results: pd.DataFrame, column: str, first: str, others: Sequence[str] | None = None, method: str = "method"
) -> pd.DataFrame:
    """Test whether a method is better than others, over the genes of each pair.

    Values are means over the seeds that both methods have. The test is the signed-rank test of Wilcoxon; p is corrected
    by the method of Holm over all rows. A positive difference means that the first method is better, for every metric.
    The synthetic tissue is left out.

    Returns
    -------
    Rows pair and other method; columns `difference` (mean over genes), `low` and `high` (its 95 % interval, from the
    deviation over genes), `better` (share of the genes), `ranks` (the sum of the signed ranks), `p`, `genes`, `seeds`,
    `agree` (whether the mean over genes has the same sign with every seed).
    """
    genes = results[results["axis"] == "gene"] if "axis" in results else results
    genes = real(genes)
    sign = -1 if column.removesuffix("_calibrated") in LOWER_IS_BETTER else 1
    rows = []
    for pair, of_pair in genes.groupby("pair", sort=False):
        values = sign * of_pair.pivot_table(index=["seed", "gene"], columns=method, values=column)
        for other in others or of_pair[method].unique():
            if other == first or not {first, other} <= set(values):
                continue
            difference = (values[first] - values[other]).dropna()
            if len(difference):
                by_gene = difference.groupby(level="gene").mean().to_numpy()
                by_seed = difference.groupby(level="seed").mean()
                agree = bool((by_seed > 0).all() or (by_seed < 0).all())
                rows.append((pair, other, *_test(by_gene), len(by_gene), len(by_seed), agree))
    columns = ["pair", "compared with", "difference", "low", "high", "better", "ranks", "p", "genes", "seeds", "agree"]
    found = pd.DataFrame(rows, columns=columns)
    found["p"] = holm(found["p"].to_numpy())
    return found.set_index(["pair", "compared with"])


def _test(difference: np.ndarray) -> tuple[float, ...]:
    """Compute the mean, its 95 % interval, the share above zero, and the signed ranks and p value of Wilcoxon."""
    mean = difference.mean()
    half = 1.96 * difference.std(ddof=1) / np.sqrt(len(difference)) if len(difference) > 1 else np.nan
    p = wilcoxon(difference).pvalue if np.any(difference != 0) else 1.0
    ranks = (rankdata(np.abs(difference)) * np.sign(difference)).sum()
    return mean, mean - half, mean + half, (difference > 0).mean(), ranks, p


def holm(p: np.ndarray) -> np.ndarray:
    """Correct p values for their number by the method of Holm."""
    order = np.argsort(p)
    corrected = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    result = np.empty(len(p))
    result[order] = np.minimum(corrected, 1)
    return result


def judge(yes: Sequence[bool], pairs: Sequence[str], no: Sequence[bool] | None = None) -> Verdict:
    """Judge a claim from whether each comparison supports it, by one rule for all claims.

    Parameters
    ----------
    yes
        Which comparisons support the claim.
    pairs
        Pair of each comparison.
    no
        Which comparisons support the opposite.

    Returns
    -------
    "holds": all comparisons support it. "holds in part": some do. "mixed": some do, and some support the opposite.
    "does not hold": none does. "too few data": see :func:`is_too_few`.
    """
    if is_too_few(pairs):
        return "too few data"
    is_real = np.array([pair != SIMULATED for pair in pairs])
    supported = np.asarray(yes, bool)[is_real]
    opposed = [] if no is None else np.asarray(no, bool)[is_real]
    if supported.all():
        return "holds"
    if not supported.any():
        return "does not hold"
    return "mixed" if any(opposed) else "holds in part"


def add_verdict(page: Page, claim: str, where: str, tests: pd.DataFrame) -> None:
    """Add "the first method is better", judged from the rows of :func:`paired`."""
    _add_judged(page, claim, where, tests, is_better(tests), is_worse(tests))


def add_verdict_of_no_gain(page: Page, claim: str, where: str, tests: pd.DataFrame) -> None:
    """Add "the first method is not significantly better", judged from the rows of :func:`paired`."""
    _add_judged(page, claim, where, tests, ~is_better(tests))


def add_verdict_of_no_change(page: Page, claim: str, where: str, tests: pd.DataFrame) -> None:
    """Add "the first method is neither significantly better nor worse", judged from the rows of :func:`paired`."""
    _add_judged(page, claim, where, tests, ~is_better(tests) & ~is_worse(tests))


def _add_judged(
    page: Page, claim: str, where: str, tests: pd.DataFrame, yes: pd.Series, no: pd.Series | None = None
) -> None:
    if len(tests):
        pairs = tests.index.get_level_values("pair")
        page.verdict(claim, where, judge(list(yes), pairs, None if no is None else list(no)), describe(tests))
        show_many(tests, claim, page)
    else:
        page.verdict(claim, where, "not measured yet", "")


def add_verdict_without_test(
    page: Page, claim: str, where: str, gains: pd.Series, unit: str = "", least: float = 0
) -> None:
    """Add a claim that holds where a number is above `least`; `gains` has one number per pair, means over seeds.

    A number below `-least` supports the opposite. A negative `least` is a loss that is allowed, and has no opposite.
    """
    gains = gains.drop(SIMULATED, errors="ignore").dropna()
    if len(gains):
        evidence = "; ".join(f"{pair}: {gain:+.3f}" for pair, gain in gains.items())
        is_so = gains > least
        text = f"{evidence}{unit} ({is_so.sum()} of {len(gains)}, no test)"
        is_opposite = list(gains < -least) if least >= 0 else None
        page.verdict(claim, where, judge(list(is_so), gains.index, is_opposite), text)


def is_better(tests: pd.DataFrame) -> pd.Series:
    """Tell in which rows of :func:`paired` the first method is significantly better, by ranks and with every seed.

    Genes of one seed share their fits, so that a test over genes alone takes a difference between trainings for one
    between methods.
    """
    return is_significant(tests) & (tests["difference"] > 0) & (tests["ranks"] > 0)


def is_worse(tests: pd.DataFrame) -> pd.Series:
    """Tell in which rows of :func:`paired` the first method is significantly worse, by ranks and with every seed."""
    return is_significant(tests) & (tests["difference"] < 0) & (tests["ranks"] < 0)


def is_significant(tests: pd.DataFrame) -> pd.Series:
    """Tell in which rows of :func:`paired` p is small, and the mean difference has one sign with every seed."""
    return (tests["p"] < ALPHA) & tests["agree"].astype(bool)


def show_many(tests: pd.DataFrame, claim: str, page: Page) -> None:
    """Write the comparisons of a claim that are too many for its evidence, folded."""
    if len(tests) > MAX_DESCRIBED:
        page.table(show_tests(tests), f"The comparisons of: {claim}", folded=True)


def show_tests(tests: pd.DataFrame, digits: int = 3) -> pd.DataFrame:
    """Write the rows of :func:`paired` for a table of the page."""
    shown = tests[["difference"]].map(lambda value: f"{value:+.{digits}f}")
    intervals = zip(tests["low"], tests["high"], strict=True)
    shown["95 % interval"] = [f"{low:+.{digits}f} to {high:+.{digits}f}" for low, high in intervals]
    shown["better"] = tests["better"].map("{:.0%} of genes".format)
    shown["p"] = tests["p"].map(_write_p)
    agree = ["" if agree else " (signs differ)" for agree in tests["agree"]]
    return shown.assign(genes=tests["genes"], seeds=tests["seeds"].astype(str) + agree)


def describe(tests: pd.DataFrame) -> str:
    """Write the rows of :func:`paired` as text: difference, interval and p; of many rows, the least one."""
    counts = f"{count(tests)} at p < {ALPHA}; {write_seeds(tests)}"
    if len(tests) > MAX_DESCRIBED:
        pair, other = tests["difference"].idxmin()
        pairs = ", ".join(tests.index.unique("pair"))
        return f"{pairs}: {counts}; least {tests['difference'].min():+.3f} on {pair} against {other}"
    others = tests.index.get_level_values("compared with").nunique()
    rows = []
    for (pair, other), row in tests.iterrows():
        against = f" against {other}" if others > 1 else ""
        rows.append(f"{pair}: {write_test(row, against)}")
    return "; ".join([*rows, counts])


def count(tests: pd.DataFrame) -> str:
    """Count the rows of :func:`paired` in which the first method is significantly better, and worse."""
    return f"+{is_better(tests).sum()}/-{is_worse(tests).sum()} of {len(tests)}"


def write_difference(row: pd.Series) -> str:
    """Write the difference of a row of :func:`paired` with its interval."""
    return f"{row['difference']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]"


def write_test(row: pd.Series, against: str = "") -> str:
    """Write a row of :func:`paired`: the difference with its interval, p, and whether the signs of the seeds differ."""
    signs = "" if row["agree"] else ", signs of seeds differ"
    return f"{write_difference(row)}{against}, p {_write_p(row['p'], '= ')}{signs}"


def _write_p(p: float, prefix: str = "") -> str:
    return "< 0.001" if p < 0.001 else f"{prefix}{p:.2g}"


def write_seeds(tests: pd.DataFrame) -> str:
    """Say on how many seeds comparisons rest."""
    fewest, most = tests["seeds"].min(), tests["seeds"].max()
    if fewest == most:
        return f"{fewest} seed{'s' if fewest > 1 else ''}"
    return f"{fewest} to {most} seeds"

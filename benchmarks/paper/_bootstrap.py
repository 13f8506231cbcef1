"""Draw genes anew, where what is compared is one number over all genes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from benchmarks.paper._compare import ALPHA, holm, is_significant, judge, real, write_seeds, write_test

if TYPE_CHECKING:
    from benchmarks.paper._page import Page

DRAWS = 4000
AT_ONCE = 200  # draws
RULE = (
    f"Verdicts with intervals rest on {DRAWS} draws of the genes with replacement, the same genes for all seeds. p is "
    "twice the share of the draws in which the mean over seeds has the other sign, corrected by the method of Holm "
    f"over the pairs of a claim; a difference counts if p < {ALPHA} and every seed has its sign."
)
Statistic = Callable[[np.ndarray], np.ndarray]


def drawn(genes: pd.DataFrame, columns: Sequence[str], statistic: Statistic) -> pd.DataFrame:
    """Compute a difference that rests on all genes of a pair, and its 95 % interval over draws of the genes.

    Parameters
    ----------
    genes
        One row per pair, seed and gene. The synthetic tissue is left out.
    columns
        What the statistic reads.
    statistic
        The differences of some draws of one seed, shape (n_draws,), from values of shape (n_draws, n_genes, n_columns).

    Returns
    -------
    Rows pair; columns `difference`, `low`, `high`, `p` (corrected over the pairs), `seeds`, and `agree` (whether every
    seed has the same sign).
    """
    tables = {pair: _by_seed(of_pair, columns) for pair, of_pair in real(genes).groupby("pair", sort=False)}
    tables = {pair: seeds for pair, seeds in tables.items() if seeds.shape[1] > 1}
    rows = []
    for pair, seeds in tables.items():
        n_genes = seeds.shape[1]
        found = np.concatenate([statistic(values[None]) for values in seeds])
        draws = np.random.default_rng(0).integers(n_genes, size=(DRAWS, n_genes))
        parts = np.array_split(draws, DRAWS // AT_ONCE)
        means = np.concatenate([np.mean([statistic(values[part]) for values in seeds], axis=0) for part in parts])
        low, high = np.quantile(means, (0.025, 0.975))
        rarer = min((means <= 0).sum(), (means >= 0).sum()) + 1
        p = min(2 * rarer / (DRAWS + 1), 1.0)
        agree = bool((found > 0).all() or (found < 0).all())
        rows.append((pair, found.mean(), low, high, p, len(seeds), agree))
    names = ["pair", "difference", "low", "high", "p", "seeds", "agree"]
    tests = pd.DataFrame(rows, columns=names).set_index("pair")
    return tests.assign(p=holm(tests["p"].to_numpy()))


def _by_seed(of_pair: pd.DataFrame, columns: Sequence[str]) -> np.ndarray:
    """Read columns for the genes that every seed has, shape (n_seeds, n_genes, n_columns)."""
    tables = [of_seed.set_index("gene")[list(columns)].dropna() for _, of_seed in of_pair.groupby("seed")]
    names = sorted(set.intersection(*(set(table.index) for table in tables)))
    return np.stack([table.loc[names].to_numpy(float) for table in tables])


def add_drawn_verdict(page: Page, claim: str, where: str, found: pd.DataFrame, note: str = "") -> None:
    """Add a claim that holds where the difference of :func:`drawn` is above zero, in all draws but few."""
    if not len(found):
        return
    is_so = is_significant(found) & (found["difference"] > 0)
    is_opposite = is_significant(found) & (found["difference"] < 0)
    text = "; ".join(f"{pair}: {write_test(row)}" for pair, row in found.iterrows())
    counts = f"+{is_so.sum()}/-{is_opposite.sum()} of {len(found)} by draws of the genes; {write_seeds(found)}"
    page.verdict(claim, where, judge(list(is_so), found.index, list(is_opposite)), f"{text}; {counts}{note}")

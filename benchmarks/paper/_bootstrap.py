"""Draw genes anew, where what is compared is one number over all genes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from benchmarks.paper._compare import judge, real, write_difference, write_seeds

if TYPE_CHECKING:
    from benchmarks.paper._page import Page

DRAWS = 300
RULE = (
    f"The verdicts rest on {DRAWS} draws of the genes with replacement, the same genes for all seeds: a difference "
    "counts if the 95 % interval of its mean over seeds excludes zero, and every seed has its sign."
)
Statistic = Callable[[np.ndarray], float]


def drawn(genes: pd.DataFrame, columns: Sequence[str], statistic: Statistic) -> pd.DataFrame:
    """Compute a difference that rests on all genes of a pair, and its 95 % interval over draws of the genes.

    Parameters
    ----------
    genes
        One row per pair, seed and gene. The synthetic tissue is left out.
    columns
        What the statistic reads, shape (n_genes, n_columns).
    statistic
        The difference, for one seed.

    Returns
    -------
    Rows pair; columns `difference`, `low`, `high`, `seeds`, and `agree` (whether every seed has the same sign).
    """
    rows = []
    for pair, of_pair in real(genes).groupby("pair", sort=False):
        tables = [of_seed.set_index("gene")[list(columns)] for _, of_seed in of_pair.groupby("seed")]
        names = sorted(set.intersection(*(set(table.dropna().index) for table in tables)))
        if len(names) < 2:
            continue
        seeds = [table.loc[names].to_numpy() for table in tables]
        found = np.array([statistic(values) for values in seeds])
        draws = np.random.default_rng(0).integers(len(names), size=(DRAWS, len(names)))
        means = [np.mean([statistic(values[chosen]) for values in seeds]) for chosen in draws]
        low, high = np.nanquantile(means, (0.025, 0.975))
        agree = bool((found > 0).all() or (found < 0).all())
        rows.append((pair, found.mean(), low, high, len(seeds), agree))
    return pd.DataFrame(rows, columns=["pair", "difference", "low", "high", "seeds", "agree"]).set_index("pair")


def add_drawn_verdict(page: Page, claim: str, where: str, found: pd.DataFrame, note: str = "") -> None:
    """Add a claim that holds where the difference of :func:`drawn` is above zero, in all draws but few."""
    if not len(found):
        return
    is_so = (found["low"] > 0) & found["agree"]
    is_opposite = (found["high"] < 0) & found["agree"]
    text = "; ".join(
        f"{pair}: {write_difference(row)}{'' if row['agree'] else ', signs of seeds differ'}"
        for pair, row in found.iterrows()
    )
    counts = f"+{is_so.sum()}/-{is_opposite.sum()} of {len(found)} by draws of the genes; {write_seeds(found)}"
    page.verdict(claim, where, judge(list(is_so), found.index, list(is_opposite)), f"{text}; {counts}{note}")

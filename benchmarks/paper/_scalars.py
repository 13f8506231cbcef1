"""Compare methods by one number per pair and seed, where there are no genes to test over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd
from benchmarks.paper._compare import ASKED_HERE as ASKED_HERE
from benchmarks.paper._compare import MAX_DESCRIBED, judge, real, wide, write_seeds
from benchmarks.paper._predictions import PEERS

if TYPE_CHECKING:
    from benchmarks.paper._page import Page

MARGIN = 0.02
RULE = (
    "There is one number per pair and seed here, so that no test over genes is possible. The rule of the verdicts: a "
    f"method is better on a pair if it is ahead by more than {MARGIN} with every seed, a margin that is ours. A claim "
    "holds if that is so in every comparison, it holds in part if it is so in some, it is mixed if the method is also "
    f"behind by more than {MARGIN} with every seed in some, and it does not hold if it is ahead in none."
)


def peers_of(results: pd.DataFrame) -> list[str]:
    """Return the peers that were measured."""
    measured = set(results["method"])
    return [name for name in PEERS if name in measured]


def seeds_of(results: pd.DataFrame) -> str:
    """Say on how many seeds the numbers of a section rest, and which peer was not measured."""
    missing = [name for name in PEERS if name not in set(results.get("method", PEERS))]
    return count_seeds(results) + (f" Not measured: {', '.join(missing)}." if missing else "")


def count_seeds(results: pd.DataFrame) -> str:
    """Say on how many seeds the numbers of a section rest."""
    n_seeds = results.groupby("pair", sort=False)["seed"].nunique()
    if n_seeds.max() == 1:
        return "Measured with one seed: there is no spread to show, and small differences may be chance."
    counts = ", ".join(f"{pair} {n}" for pair, n in n_seeds.items())
    return f"Number of seeds: {counts}. Where there are several, numbers are means over them."


def differences(
    results: pd.DataFrame, column: str, first: str, others: Sequence[str], margin: float = MARGIN
) -> pd.DataFrame:
    """Compare a method with others on each real pair; what was not measured is left out.

    Returns
    -------
    Rows pair and other method; columns `first`, `other` (means over seeds), `difference`, `better`, `worse`, `seeds`.
    """
    of_seed = wide(real(results).groupby(["pair", "seed", "method"], sort=False)[column].mean(), "method")
    rows = []
    for pair, seeds in of_seed.groupby(level="pair", sort=False):
        for other in others:
            if not {first, other} <= set(seeds):
                continue
            both = seeds[[first, other]].dropna()
            if len(both):
                difference = both[first] - both[other]
                found = (both[first].mean(), both[other].mean(), difference.mean())
                outcome = (bool((difference > margin).all()), bool((difference < -margin).all()))
                rows.append((pair, other, *found, *outcome, len(both)))
    columns = ["pair", "compared with", "first", "other", "difference", "better", "worse", "seeds"]
    return pd.DataFrame(rows, columns=columns).set_index(["pair", "compared with"])


def add_verdict(page: Page, claim: str, where: str, found: pd.DataFrame) -> None:
    """Add a claim and its verdict to the page, if anything was compared."""
    if len(found):
        pairs = found.index.get_level_values("pair")
        page.verdict(claim, where, judge(list(found["better"]), pairs, list(found["worse"])), describe(found))


def describe(found: pd.DataFrame) -> str:
    """Write the rows of :func:`differences` as text; of many rows, the least one."""
    counts = f"+{found['better'].sum()}/-{found['worse'].sum()} of {len(found)}; {write_seeds(found)}"
    if len(found) > MAX_DESCRIBED:
        pair, other = found["difference"].idxmin()
        least = f"least {found['difference'].min():+.3f} on {pair} against {other}"
        return f"{', '.join(found.index.unique('pair'))}: {counts}; {least}"
    rows = [
        f"{pair}: {row['first']:.3f} against {row['other']:.3f} of {other}" for (pair, other), row in found.iterrows()
    ]
    return "; ".join([*rows, counts])

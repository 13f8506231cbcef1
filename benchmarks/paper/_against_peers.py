"""Judge claims of the paper against its rivals, on the pairs where these were measured."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd
from benchmarks.paper._compare import SIMULATED, judge
from benchmarks.paper._predictions import PEERS
from benchmarks.paper._scalars import describe, differences

if TYPE_CHECKING:
    from benchmarks.paper._page import Page
    from benchmarks.paper._study import Verdict


def listed(peers: Sequence[str]) -> str:
    """Write names as in a sentence."""
    return ", ".join(peers[:-1]) + f" and {peers[-1]}"


def add_verdict_against_peers(
    page: Page, claim: str, where: str, results: pd.DataFrame, column: str, peers: Sequence[str] = PEERS
) -> None:
    """Add "`paper` is better than each of `peers`"; a pair on which one of them is missing is shown, and not judged."""
    results = results[results["pair"] != SIMULATED]
    found = differences(results, column, "paper", peers)
    if len(found):
        verdict, missing = judge_complete(found["better"], results, found["worse"], peers)
        page.verdict(f"{claim} than those of {listed(peers)}", where, verdict, describe(found) + missing)


def judge_complete(
    is_so: pd.Series, results: pd.DataFrame, is_opposite: pd.Series | None = None, peers: Sequence[str] = PEERS
) -> tuple[Verdict, str]:
    """Judge the pairs on which all peers were measured, and name the peers that are missing on the others.

    `is_so` and `is_opposite`, which comparisons support the opposite, have the level `pair` in their index.
    """
    pairs_without = defaultdict(list)
    for pair, methods in results.groupby("pair", sort=False)["method"].unique().items():
        pairs_without[", ".join(peer for peer in peers if peer not in methods)].append(pair)
    is_complete = is_so.index.get_level_values("pair").isin(pairs_without.pop("", []))
    rows = is_so[is_complete]
    opposite = None if is_opposite is None else list(is_opposite[is_complete])
    texts = [f"without {missing} on {', '.join(pairs)}" for missing, pairs in pairs_without.items()]
    text = f"; too few rivals, not judged: {'; '.join(texts)}" if texts else ""
    return judge(list(rows), rows.index.get_level_values("pair"), opposite), text

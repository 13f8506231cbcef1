"""Judge claims of the paper against its rivals, on the pairs where these were measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
from benchmarks.paper._compare import judge
from benchmarks.paper._predictions import PEERS
from benchmarks.paper._scalars import describe, differences

if TYPE_CHECKING:
    from benchmarks.paper._page import Page
    from benchmarks.paper._study import Verdict

RIVALS = ", ".join(PEERS[:-1]) + f" and {PEERS[-1]}"


def add_verdict_against_peers(page: Page, claim: str, where: str, results: pd.DataFrame, column: str) -> None:
    """Add "`paper` is better than each of `PEERS`"; a pair on which one of them is missing is shown, and not judged."""
    found = differences(results, column, "paper", PEERS)
    if len(found):
        verdict, missing = judge_complete(found["better"], results)
        page.verdict(f"{claim} than those of {RIVALS}", where, verdict, describe(found) + missing)


def judge_complete(is_so: pd.Series, results: pd.DataFrame) -> tuple[Verdict, str]:
    """Judge the pairs on which all peers were measured, and name the peers that are missing on the others.

    `is_so` has the level `pair` in its index.
    """
    measured = {pair: set(of_pair["method"]) for pair, of_pair in results.groupby("pair", sort=False)}
    missing = {pair: [peer for peer in PEERS if peer not in found] for pair, found in measured.items()}
    complete = [pair for pair, peers in missing.items() if not peers]
    rows = is_so[is_so.index.get_level_values("pair").isin(complete)]
    texts = [f"{', '.join(peers)} on {pair}" for pair, peers in missing.items() if peers]
    text = f"; too few rivals, not judged: without {'; without '.join(texts)}" if texts else ""
    return judge(list(rows), rows.index.get_level_values("pair")), text

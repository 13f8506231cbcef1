"""Put what the paper reports beside what is found here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd
from benchmarks.paper._compare import real, wide

if TYPE_CHECKING:
    from benchmarks.paper._page import Page


def mean_of(table: pd.DataFrame, column: str, method: str) -> str:
    """Average a column over genes and seeds, then over the real pairs."""
    means = real(table[table["method"] == method]).groupby("pair")[column].mean().dropna()
    return f"{means.mean():.2f} ({_count(means)})" if len(means) else ""


def gain_over(table: pd.DataFrame, column: str, method: str, other: str) -> str:
    """Compare the means of two methods over the real pairs that both have, as a relative difference."""
    both = _of_both(table, column, method, other)
    return f"{both[method].mean() / both[other].mean() - 1:+.1%} ({_count(both)})" if len(both) else ""


def less_than(table: pd.DataFrame, column: str, method: str, other: str) -> str:
    """Write by how much the mean of a method is below that of another, over the real pairs that both have."""
    both = _of_both(table, column, method, other)
    return f"{both[other].mean() - both[method].mean():.2f} ({_count(both)})" if len(both) else ""


def _of_both(table: pd.DataFrame, column: str, method: str, other: str) -> pd.DataFrame:
    """Average a column of two methods on the real pairs that both have, one row each."""
    chosen = real(table[table["method"].isin([method, other])])
    means = wide(chosen.groupby(["pair", "method"], sort=False)[column].mean(), "method")
    return means.dropna() if {method, other} <= set(means) else pd.DataFrame()


def _count(pairs: pd.Series | pd.DataFrame) -> str:
    return f"{len(pairs)} pair{'s' if len(pairs) > 1 else ''}"


def show_beside(page: Page, rows: Sequence[tuple[str, str, str]]) -> None:
    """Write what the paper reports beside the same here; rows have a text, the number of the paper and ours."""
    table = pd.DataFrame([row for row in rows if row[-1]], columns=["`paper`", "in the paper", "here"])
    caption = (
        "What the paper reports, and the same here: means over its pairs and over ours, which are others. Differences "
        "are relative here; the paper does not say of its own"
    )
    if len(table):
        page.table(table, caption)

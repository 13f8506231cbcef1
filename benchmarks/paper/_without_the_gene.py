"""Say where a score is reached without what the reference knows of the genes."""

from __future__ import annotations

import pandas as pd
from benchmarks.paper._predictions import CONTROL, MEASURED, RECIPES
from benchmarks.paper._scalars import MARGIN


def without_the_gene(results: pd.DataFrame, columns: dict[str, str]) -> str:
    """Name the pairs on which a permuted reference scores as the measured genes do, or higher; empty if there is none.

    Parameters
    ----------
    results
        Rows with the columns `pair`, `method` and those of `columns`.
    columns
        Scores and how they are called; higher is better.
    """
    controls = [f"{name}{CONTROL}" for name in RECIPES]
    means = results.groupby(["pair", "method"], sort=False)[list(columns)].mean()
    found = []
    for column, name in columns.items():
        rows = []
        for pair, of_pair in means[column].dropna().groupby(level="pair", sort=False):
            values = of_pair.droplevel("pair")
            permuted = values.reindex(controls).dropna()
            if MEASURED in values and len(permuted) and permuted.max() >= values[MEASURED] - MARGIN:
                rows.append(f"{pair} ({permuted.max():.3f} of {permuted.idxmax()}, {values[MEASURED]:.3f} measured)")
        if rows:
            found.append(f"{name} on {', '.join(rows)}")
    if not found:
        return ""
    return (
        f"Predictions from a permuted reference reach what the measured genes reach, or at most {MARGIN} less: "
        f"{'; '.join(found)}. On these pairs the score needs nothing of what the reference knows of a gene, and a high "
        "one does not show that genes were predicted."
    )

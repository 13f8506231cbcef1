"""Write the verdicts: a table of all, and the evidence of each on the page of its study."""

from __future__ import annotations

import re

import pandas as pd
from benchmarks.paper._compare import ASKED_HERE

ORDER = ("holds", "holds in part", "mixed", "does not hold", "too few data", "cannot be tested", "not measured yet")
OWN = "docs"
OF_PAPER = "Claims of the paper"


def count(verdicts: list[dict[str, str]]) -> str:
    """Count the verdicts on the claims of the paper and of the docs, one sentence each."""
    sentences = []
    for title, rows in _by_source(verdicts).items():
        judged = rows[rows["verdict"] != ORDER[-1]]
        numbers = judged["verdict"].value_counts().reindex(ORDER).dropna().astype(int)
        counted = ", ".join(f"{number} {verdict}" for verdict, number in numbers.items())
        sentences.append(f"**{title}**: {len(judged)} rows, {counted}.")
    return " ".join(sentences)


def tables(verdicts: list[dict[str, str]]) -> list[str]:
    """Write one table for each source of claims; a verdict is linked to the page with its evidence."""
    parts = ["## Verdicts\n", "Each verdict is linked to its evidence.\n"]
    for title, rows in _by_source(verdicts).items():
        judged = rows[rows["verdict"] != ORDER[-1]]
        links = [
            f"[{verdict}](paper/{study}.md#verdicts)"
            for verdict, study in zip(judged["verdict"], judged["study"], strict=True)
        ]
        shown = judged[["claim", "where"] if title == OF_PAPER else ["claim"]].assign(verdict=links)
        parts += [f"### {title}\n", to_markdown(shown), ""]
        if missing := list(rows.loc[rows["verdict"] == ORDER[-1], "claim"]):
            parts.append(f"Not measured yet: {'; '.join(missing)}.\n")
    return parts


def evidence(verdicts: list[dict[str, str]], study: str) -> list[str]:
    """Write the verdicts of one study with their evidence."""
    rows = [row for row in verdicts if row["study"] == study and row["verdict"] != ORDER[-1]]
    texts = [f"- {row['claim']} ({row['where']}): **{row['verdict']}**. {_sentence(row['evidence'])}" for row in rows]
    return ["## Verdicts\n", *texts, ""] if texts else []


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def _by_source(verdicts: list[dict[str, str]]) -> dict[str, pd.DataFrame]:
    """Split claims by who makes them; those of the paper are in the order of its figures."""
    table = pd.DataFrame(verdicts, columns=["claim", "where", "verdict", "evidence", "study"])
    of_paper = table[~table["where"].isin([OWN, ASKED_HERE])]
    of_paper = of_paper.iloc[sorted(range(len(of_paper)), key=lambda row: _place(of_paper["where"].iloc[row]))]
    own, asked = (table[table["where"] == source] for source in (OWN, ASKED_HERE))
    return {OF_PAPER: of_paper, "Claims of these docs": own, "Questions asked here": asked}


def _place(where: str) -> tuple[bool, int, str]:
    """Return the key that sorts "Fig. 2b" before "Fig. 5a", and both before "S3"."""
    found = re.search(r"(S?)(\d+)(\w?)", where)
    return (bool(found[1]), int(found[2]), found[3]) if found else (False, 0, "")


def to_markdown(table: pd.DataFrame, digits: int = 3) -> str:
    """Write a table without its index: as many decimals in every row, and nothing where there is no value."""
    shown = table.astype(object)
    for position in range(table.shape[1]):
        column = table.iloc[:, position]
        if pd.api.types.is_float_dtype(column):
            decimals = 0 if (column.dropna() % 1 == 0).all() else digits
            texts = [f"{value:.{decimals}f}" for value in column]
            shown.isetitem(position, texts)
    shown = shown.where(table.notna().to_numpy(), "")
    return shown.to_markdown(index=False, disable_numparse=True)

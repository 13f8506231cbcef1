"""Section on the accuracy within groups of cells."""

from __future__ import annotations

from stimpute.report._page import Section, Table
from stimpute.report._results import Results
from stimpute.tl import MODEL_NAME

MAX_ROWS = 40  # a longer table scrolls in the page
MEANING = (
    "Most of the correlation over all cells usually comes from differences between groups, such as cell types: it says "
    "that a gene was put into the right groups. What is left within groups says whether cells of one group are told "
    "apart. Read a map of imputed values inside of one group with the lower number in mind."
)


def groups(results: Results) -> Section | None:
    """Compare the accuracy over all cells with that within groups."""
    validation = results.validation
    if validation is None or validation.groups is None:
        return None
    table = validation.by_group()
    overall, within = table[MODEL_NAME].iloc[:2]
    text = (
        f"The mean PCC is {overall:.3f} over all cells, and {within:.3f} within the groups of "
        f"{validation.settings.groupby!r}."
    )
    caption = "Mean PCC over held-out genes. “Within groups” is the mean of the groups, weighted by their cells."
    if "coverage" in table:
        level = validation.settings.interval
        caption += f" Coverage: share of measured values inside their interval; {level:.0%} were asked for."
    shown = table.loc[:, (table != 0).any()].rename(columns={"n_cells": "cells"})  # a constant has no correlation
    scrolls = len(shown) > MAX_ROWS
    tables = [Table.from_frame(shown, caption, "group", scrolls=scrolls)]
    return Section("Accuracy within groups", [text, MEANING], tables)

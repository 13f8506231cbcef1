"""Check gene names before they are matched."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd
from anndata import AnnData

from stimpute._messages import missing_key, name_list, warn


def check_gene_names(names: Iterable[Any], where: str) -> pd.Index:
    """Return gene names as text; raise ValueError if any is NaN, None or empty.

    As text, missing names would match each other. `where` names their place in the message.
    """
    values = pd.Series(list(names), dtype=object)
    text = values.astype(str)
    is_missing = values.isna() | (text.str.strip() == "")
    if is_missing.any():
        raise ValueError(
            f"{is_missing.sum()} of {len(values)} gene names in {where} are missing (NaN or empty); expected a name "
            "for every gene. Fill in the names, or drop these genes."
        )
    return pd.Index(text)


def reference_gene_names(reference: AnnData, gene_symbols: str | None) -> pd.Index:
    """Read the gene names of a reference, which may repeat, from `var_names` or a column of `var`."""
    if gene_symbols is None:
        return check_gene_names(reference.var_names, "`reference.var_names`")
    if gene_symbols not in reference.var:
        advice = "Pass one of these as `gene_symbols=`, or None for `var_names`."
        raise missing_key(gene_symbols, "reference.var", reference.var.columns, advice)
    return check_gene_names(reference.var[gene_symbols], f"`reference.var[{gene_symbols!r}]`")


def warn_of_other_case(reference_names: pd.Index, other_names: Iterable[str]) -> None:
    """Warn of names that would match names of the reference if upper and lower case were the same."""
    by_lower = {name.lower(): name for name in other_names}
    pairs = []
    for name in reference_names:
        other = by_lower.get(name.lower())
        if other is not None and other != name:
            pairs.append(f"{other} for {name}")
    if pairs:
        warn(
            f"{len(pairs)} gene names differ from those of the reference only in upper and lower case, and are not "
            f"used: {name_list(pairs)}. Rename them to match.",
        )

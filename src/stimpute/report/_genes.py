"""Section with a table of all genes, which can be searched and sorted in the page."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd

from stimpute.report._page import Section, Table
from stimpute.report._results import Results

N_STATIC = 25  # genes that are in the page without its script
MAX_SPARSE = 0.5  # share of genes with a value up to which only these values are stored


@dataclass(frozen=True)
class GeneTable:
    """A table of all genes, and the script that searches and sorts it.

    Attributes
    ----------
    first
        The first genes, which the page shows without its script too.
    data
        All genes as JSON that is safe inside of HTML.
    script
        The script.
    """

    first: Table
    data: str
    script: str

    @property
    def script_hash(self) -> str:
        """Digest by which the page allows this script and no other one."""
        digest = hashlib.sha256(self.script.encode()).digest()
        return f"sha256-{base64.b64encode(digest).decode()}"


def all_genes(results: Results) -> Section | None:
    """List every gene with its reliability and, where it was held out, its observed accuracy."""
    genes = _columns(results)
    if genes.empty:
        return None
    about = "Search for parts of names, several ones with spaces between them. Click on a column to sort by it."
    n_measured = int(genes["measured"].sum()) if "measured" in genes else 0
    text = f"{len(genes):,} genes, of which {n_measured:,} were measured. {about}"
    return Section("All genes", [text], genes=make_gene_table(genes))


def _columns(results: Results) -> pd.DataFrame:
    """Collect what is known of every gene, the most reliable one first; columns are named as in the page."""
    genes = results.genes
    metric = results.reliability_metric.upper()
    shown = pd.DataFrame(index=genes.index)
    for name, label in (
        ("reliability", "reliability"),
        ("observed", f"observed {metric}"),
        ("within_groups", f"{metric} within groups"),
        ("expected_mean", "expected mean"),
        ("n_edges", "neighbor genes"),
        ("measured", "measured"),
        ("has_protein", "has protein"),
    ):
        if name in genes and genes[name].notna().any():
            shown[label] = genes[name].astype("Int64") if name == "n_edges" else genes[name]
    if "has protein" in shown and not shown["has protein"].eq(True).any():
        shown = shown.drop(columns="has protein")  # there is no protein relation
    return shown


def make_gene_table(genes: pd.DataFrame) -> GeneTable:
    """Make the table of a DataFrame with genes in rows and columns of numbers, integers or flags."""
    first = Table.from_frame(genes.head(N_STATIC), "All genes.", "gene")
    columns = [{"kind": _kind(genes[name]), "values": _values(genes[name])} for name in genes]
    data = json.dumps({"names": list(map(str, genes.index)), "columns": columns}, separators=(",", ":"))
    script = files("stimpute.report").joinpath("genes.js").read_text(encoding="utf-8")
    return GeneTable(first, data.replace("<", "\\u003c"), script)


def _kind(values: pd.Series) -> str:
    present = values.dropna()
    if present.map(lambda value: isinstance(value, (bool, np.bool_))).all():
        return "flag"
    return "integer" if (present.astype(float) % 1 == 0).all() else "number"


def _values(values: pd.Series) -> Any:
    """Convert values to integers: thousandths of numbers; only those that are present, by row, if they are few."""
    factor = 1000 if _kind(values) == "number" else 1
    has_value = values.notna().to_numpy()
    integers = np.rint(values[has_value].astype(float).to_numpy() * factor).astype(int).tolist()
    if has_value.mean() <= MAX_SPARSE:
        return dict(zip(map(str, np.flatnonzero(has_value)), integers, strict=True))
    complete = np.full(len(values), None, dtype=object)
    complete[has_value] = integers
    return complete.tolist()

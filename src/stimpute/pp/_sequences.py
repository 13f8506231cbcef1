"""Read and clean the protein sequences that are embedded."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import pandas as pd

from stimpute._messages import missing_key, name_list, warn
from stimpute.pp._embedding_files import UNKNOWN
from stimpute.pp._esm import clean_residues
from stimpute.pp._fasta import read_fasta
from stimpute.pp._gene_names import check_gene_names
from stimpute.pp._windows import WindowRule


def sequence_table(sequences: Any) -> pd.DataFrame:
    """Make a table of the genes with a sequence, with columns `sequence`, `accession` and `release`."""
    if isinstance(sequences, str | os.PathLike):
        sequences = read_fasta(sequences)
    if isinstance(sequences, Mapping):
        sequences = pd.DataFrame({"sequence": dict(sequences)})
    if not isinstance(sequences, pd.DataFrame):
        raise TypeError(
            f"`sequences` is a {type(sequences).__name__}; expected a table indexed by gene, a mapping from gene to "
            "sequence, or the path of a FASTA file. Get a table by `stimpute.pp.fetch_proteins(genes)`."
        )
    if "sequence" not in sequences:
        raise missing_key("sequence", "sequences", sequences.columns, "Name the column of sequences so.")
    texts = sequences["sequence"].fillna("").astype(str)
    table = sequences.assign(sequence=texts)[texts.str.strip() != ""]
    if table.empty:
        raise ValueError(
            f"None of {len(texts)} genes has a sequence; see the column 'status' in the table of `fetch_proteins`."
        )
    table.index = check_gene_names(table.index, "`sequences`")
    repeated = table.index[table.index.duplicated()].unique()
    if len(repeated):
        raise ValueError(
            f"{len(repeated)} genes have several sequences ({name_list(repeated)}); expected one. Keep one of each."
        )
    for column, default in (("accession", ""), ("release", UNKNOWN)):
        if column not in table:
            table[column] = default
    return table


def clean(sequences: pd.Series) -> pd.Series:
    """Replace non-residue characters, and list the genes that have any."""
    pairs = [clean_residues(sequence) for sequence in sequences]
    table = pd.DataFrame(pairs, index=sequences.index, columns=["residues", "n_replaced"])
    empty = table.index[table["residues"] == ""]
    if len(empty):
        raise ValueError(f"{len(empty)} sequences have no residues ({name_list(empty)}); drop these genes.")
    changed = table.index[table["n_replaced"] > 0]
    if len(changed):
        warn(
            f"{table['n_replaced'].sum()} characters of {len(changed)} proteins are not residues and were replaced by "
            f"X: {name_list(changed)}.",
        )
    return table["residues"]


def warn_of_long(residues: pd.Series, rule: WindowRule) -> None:
    """List the proteins that are cut."""
    is_long = residues.str.len() > rule.window
    if rule.long_proteins == "whole" or not is_long.any():
        return
    action = "cut into overlapping windows" if rule.long_proteins == "windows" else "truncated"
    warn(
        f"{is_long.sum()} proteins are longer than {rule.window} residues and are {action}: "
        f"{name_list(residues.index[is_long])}.",
    )

"""Add relations between genes to the reference: protein vectors or the edges of a network."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import ArrayLike
from scipy.sparse import csr_matrix

from stimpute._arguments import check_arguments
from stimpute._messages import name_list, warn
from stimpute.data._expression import read_gene_names
from stimpute.data._relation_store import POOLING, PROTEIN, StoredRelation, write_relation
from stimpute.pp._embeddings import ProteinEmbeddings, as_embeddings
from stimpute.pp._gene_names import check_gene_names, reference_gene_names, warn_of_other_case

MIN_VECTORS = 3  # two vectors minus their mean always point in opposite directions


def add_protein_embeddings(
    reference: AnnData,
    embeddings: str | os.PathLike[str] | ProteinEmbeddings | AnnData | Mapping[str, ArrayLike],
    *,
    key_added: str = PROTEIN,
    gene_symbols: str | None = None,
) -> None:
    """Add a protein vector for each gene of the reference.

    The model compares genes by the cosine of their vectors; nothing is compared here. Genes are matched by exact name.

    Parameters
    ----------
    reference
        Reference AnnData. It is annotated in place, see below; its expression does not change.
    embeddings
        Path of a `.npz` or `.h5ad` file (see :meth:`ProteinEmbeddings.read`), :class:`ProteinEmbeddings`, an AnnData
        with one gene per row, or a mapping from gene to vector.
    key_added
        Name of the relation. A relation of the same name is replaced.
    gene_symbols
        Column of `reference.var` with the names to match; `var_names` if None.

    Returns
    -------
    Nothing. Sets these fields of the reference:

    - `varm[key_added]`: vectors as given, float32, shape (n_genes, n_dimensions), 0 for genes without a vector;
    - `var["has_<key_added>"]`: whether a gene has a vector. The model uses co-expression for the others;
    - `uns["stimpute"]["relations"][key_added]`: origin and coverage (the share of genes with a vector).

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    KeyError
        If `reference.var` has no column `gene_symbols`.
    TypeError
        If `embeddings` is none of the four.
    ValueError
        If fewer than three genes have a vector, a gene name is missing, or the embeddings are malformed.

    Warns
    -----
    UserWarning
        If names differ only in upper and lower case. They are listed, and do not match.

    Examples
    --------
    >>> vectors = {"Gad1": [0.1, 0.9], "Slc32a1": [0.2, 0.8], "Rorb": [0.7, 0.3]}
    >>> stimpute.pp.add_protein_embeddings(reference, vectors)
    """
    check_arguments(add_protein_embeddings, locals())
    proteins = as_embeddings(embeddings)
    names = reference_gene_names(reference, gene_symbols)
    rows = pd.Index(proteins.genes).get_indexer(names)
    is_listed = rows >= 0
    vectors = np.zeros((len(names), proteins.embedding.shape[1]), dtype=np.float32)
    vectors[is_listed] = proteins.embedding[rows[is_listed]]
    # A vector of zeros has no direction: it counts as none.
    has_vector = np.any(vectors != 0, axis=1)
    n_found = int(has_vector.sum())
    warn_of_other_case(names[~has_vector], proteins.genes)
    if n_found < MIN_VECTORS:
        raise ValueError(
            f"{n_found} of {len(names)} genes of the reference have a vector; expected at least {MIN_VECTORS}. The "
            f"reference has {name_list(names)}; the embeddings have {name_list(proteins.genes)}. Name the column of "
            "var with the symbols by `gene_symbols=`, or embed these genes by `stimpute.pp.embed_proteins`."
        )
    details = {
        "source": Path(embeddings).name if isinstance(embeddings, str | os.PathLike) else "memory",
        "model": proteins.model,
        POOLING: proteins.pooling,
        "release": proteins.release,
        "n_found": n_found,
        "coverage": float(has_vector.mean()),
    }
    write_relation(reference, StoredRelation(key_added, "vectors", vectors, has_vector, details))


def add_gene_network(
    reference: AnnData,
    edges: pd.DataFrame,
    name: str,
    *,
    directed: bool = False,
    gene_symbols: str | None = None,
) -> None:
    """Add a network of genes from a table of edges: STRING, pathways, regulons or any other.

    Parameters
    ----------
    reference
        Reference AnnData. It is annotated in place, see below; its expression does not change.
    edges
        One edge per row: gene, gene and, optionally, a weight in a column `weight` or in the third column. Weights are
        1 if there are none. The model divides weights by the largest one if that is above 1, as scores of STRING up
        to 1000 are. An edge that is listed twice gets its larger weight. Edges from a gene to itself and edges
        of weight 0 are dropped.
    name
        Name of the relation. A relation of the same name is replaced.
    directed
        If true, only the second gene of an edge receives messages from the first, as a target from its regulator. If
        false, both receive messages from each other.
    gene_symbols
        Column of `reference.var` with the names to match; `var_names` if None.

    Returns
    -------
    Nothing. Sets these fields of the reference:

    - `varp[name]`: weights, CSR, float32, shape (n_genes, n_genes). The gene of a row receives messages from the genes
      of the columns;
    - `var["has_<name>"]`: whether a gene receives any message. The model uses co-expression for the others;
    - `uns["stimpute"]["relations"][name]`: direction, coverage (the share of genes with an edge), number of edges,
      number of unknown genes.

    Raises
    ------
    KeyError
        If `reference.var` has no column `gene_symbols`.
    TypeError
        If `edges` is not a DataFrame.
    ValueError
        If the table lacks columns or rows, a gene name is missing, a weight is negative or not finite, gene names of
        the reference repeat, or no edge joins two genes of the reference.

    Warns
    -----
    UserWarning
        If genes of the table are not in the reference. They are listed, and their edges are dropped.

    Examples
    --------
    >>> edges = pandas.DataFrame({"gene": ["Gad1", "Rorb"], "other": ["Slc32a1", "Gad1"], "weight": [0.9, 0.4]})
    >>> stimpute.pp.add_gene_network(reference, edges, "string")
    """
    check_arguments(add_gene_network, locals())
    first, second, weights = _read_edges(edges)
    genes = reference_gene_names(reference, gene_symbols)
    read_gene_names(reference, gene_symbols)  # raises an error for repeated names
    edge_genes = first.append(second).unique()
    unknown = edge_genes[~edge_genes.isin(genes)]
    if len(unknown):
        warn(
            f"{len(unknown)} of {len(edge_genes)} genes of {name!r} are not in the reference. Their edges are dropped: "
            f"{name_list(unknown)}.",
        )
        warn_of_other_case(genes, unknown)
    sources = genes.get_indexer(first)
    targets = genes.get_indexer(second)
    is_kept = (sources >= 0) & (targets >= 0) & (sources != targets) & (weights > 0)
    if not is_kept.any():
        raise ValueError(
            f"No edge of {name!r} joins two genes of the reference. The reference has {name_list(genes)}; the edges "
            f"have {name_list(edge_genes)}. Name the column of var with the symbols by `gene_symbols=`."
        )
    graph = _edge_matrix(targets[is_kept], sources[is_kept], weights[is_kept], len(genes), directed=directed)
    has_edge = np.diff(graph.indptr) > 0
    details = {
        "directed": directed,
        "coverage": float(has_edge.mean()),
        "n_edges": int(graph.nnz),
        "n_unknown": len(unknown),
    }
    write_relation(reference, StoredRelation(name, "edges", graph, has_edge, details))


def _read_edges(edges: pd.DataFrame) -> tuple[pd.Index, pd.Index, np.ndarray]:
    """Split a table of edges into first genes, second genes and weights, and check them."""
    if not isinstance(edges, pd.DataFrame):
        raise TypeError(f"`edges` is a {type(edges).__name__}; expected a DataFrame with one edge per row.")
    if edges.shape[1] < 2 or edges.empty:
        raise ValueError(
            f"`edges` has columns {list(edges.columns)} and {len(edges)} rows; expected the columns gene, gene and, if "
            "edges have weights, weight."
        )
    first = check_gene_names(edges.iloc[:, 0], "the first column of `edges`")
    second = check_gene_names(edges.iloc[:, 1], "the second column of `edges`")
    if "weight" in edges:
        column = edges["weight"]
    elif edges.shape[1] > 2:
        column = edges.iloc[:, 2]
    else:
        return first, second, np.ones(len(edges), dtype=np.float32)
    weights = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float32)
    is_bad = ~np.isfinite(weights) | (weights < 0)
    if is_bad.any():
        example = edges.iloc[int(np.argmax(is_bad))].tolist()
        raise ValueError(
            f"{is_bad.sum()} edges have a negative, missing or infinite weight, the first is {example}; expected "
            "finite weights of at least 0. Drop these rows, or rescale the weights."
        )
    return first, second, weights


def _edge_matrix(
    rows: np.ndarray, columns: np.ndarray, weights: np.ndarray, n_genes: int, *, directed: bool
) -> csr_matrix:
    """Build the matrix of edge weights; of equal edges the largest weight counts."""
    table = pd.DataFrame({"row": rows, "column": columns, "weight": weights})
    if not directed:
        reverse = table.rename(columns={"row": "column", "column": "row"})
        table = pd.concat([table, reverse])
    largest = table.groupby(["row", "column"])["weight"].max().reset_index()
    positions = (largest["row"].to_numpy(), largest["column"].to_numpy())
    return csr_matrix((largest["weight"].to_numpy(), positions), shape=(n_genes, n_genes))

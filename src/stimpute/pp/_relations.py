"""What a reference knows of how its genes relate: each relation in `varp`, its record in `uns`."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from scipy.sparse import csr_matrix

from ._embeddings import read_embeddings, shorten
from ._graph import similarity_graph, spread, unit_rows


def protein_graph(
    reference: AnnData,
    embeddings: Any,
    *,
    n_neighbors: int = 15,
    key_added: str = "protein",
    gene_symbols: str | None = None,
) -> None:
    r"""Relate genes by their proteins.

    The weight between genes :math:`g` and :math:`h` with vectors :math:`v` is :math:`\cos(v_g - \bar v, v_h - \bar
    v)`, where :math:`\bar v` is the mean over the genes that have a protein. Without the mean, vectors of a protein
    language model all point one way, and every gene resembles every other. Each gene keeps its `n_neighbors`
    largest weights above zero. Genes match by exact name.

    Parameters
    ----------
    reference
        Reference cells x genes. Annotated in place, see below; expression is not touched.
    embeddings
        Whatever :func:`read_embeddings` takes.
    n_neighbors
        Most neighbours of a gene.
    key_added
        Name of the relation.
    gene_symbols
        Column of `reference.var` with the names to match; default `var_names`.

    Returns
    -------
    Nothing; writes

    - `varm[key_added]`: the vectors as given, float32 [genes, d], zero where a gene has none;
    - `varp[key_added]`: the graph, CSR float32 [genes, genes], rows listen to columns;
    - `var["has_protein"]` (`"has_" + key_added`): False where a gene falls back to expression;
    - `uns["stimpute"]["relations"][key_added]`: parameters, coverage and origin.

    Raises
    ------
    ValueError
        If fewer than three genes match, or the embeddings are malformed.

    Warns
    -----
    UserWarning
        If names differ only in case: these are listed, and not used.
    """
    vectors = read_embeddings(embeddings)
    names = gene_names(reference, gene_symbols)
    rows = pd.Index(vectors.genes).get_indexer(names)
    has_vector: np.ndarray = np.any(vectors.embedding, axis=1)
    found = (rows >= 0) & has_vector[rows]
    _suggest_case(names[~found], pd.Index(vectors.genes))
    if found.sum() < 3:
        raise ValueError(
            f"{found.sum()} of {len(names)} reference genes have a vector, expected at least 3. The reference has "
            f"{shorten(names, 4)}; the embeddings have {shorten(vectors.genes, 4)}. Pass gene_symbols= if symbols are "
            "a column of var, or embed these genes with stimpute.pp.embed_proteins."
        )
    index = np.flatnonzero(found)
    raw = np.zeros((len(names), vectors.embedding.shape[1]), dtype=np.float32)
    raw[index] = vectors.embedding[rows[index]]
    mean = torch.from_numpy((raw.sum(axis=0, dtype=np.float64) / len(index)).astype(np.float32))
    block = lambda start, stop: unit_rows(torch.from_numpy(raw[index[start:stop]]), mean)
    graph = similarity_graph(block, len(index), raw.shape[1], n_neighbors)

    reference.varm[key_added] = raw
    reference.varp[key_added] = spread(graph, index, len(names))
    reference.var[f"has_{key_added}"] = found
    record(
        reference,
        key_added,
        kind="vectors",
        varm=key_added,
        known=f"has_{key_added}",
        n_neighbors=n_neighbors,
        centred=True,
        coverage=float(found.mean()),
        n_found=int(found.sum()),
        source=Path(embeddings).name if isinstance(embeddings, str | os.PathLike) else "memory",
        model=vectors.model,
        pooling=vectors.pooling,
        release=vectors.release,
    )


def add_relation(
    reference: AnnData,
    edges: pd.DataFrame,
    name: str,
    *,
    directed: bool = False,
    gene_symbols: str | None = None,
) -> None:
    """Relate genes by a table of edges: STRING, pathways, regulons, or anything else.

    Parameters
    ----------
    reference
        Reference cells x genes. Annotated in place, see below.
    edges
        One edge a row: gene, gene, and optionally a weight in a column `weight` or in the third column; default 1.
        Of equal edges the largest weight counts; a gene's edge to itself and edges of weight zero are dropped.
    name
        Name of the relation.
    directed
        If true, the second gene listens to the first, as a target to its regulator; otherwise each to the other.
    gene_symbols
        Column of `reference.var` with the names to match; default `var_names`.

    Returns
    -------
    Nothing; writes

    - `varp[name]`: the graph, CSR float32 [genes, genes], rows listen to columns;
    - `var["fallback_" + name]`: True where a gene has no neighbour and falls back to expression;
    - `uns["stimpute"]["relations"][name]`: coverage, number of edges, number of unknown genes.

    Raises
    ------
    ValueError
        If the table lacks columns, a weight is negative or not finite, or no edge joins two reference genes.

    Warns
    -----
    UserWarning
        If genes of the table are not in the reference: they are counted and listed, and their edges dropped.
    """
    names = gene_names(reference, gene_symbols)
    if not names.is_unique:
        raise ValueError(
            f"Gene names occur more than once ({shorten(names[names.duplicated()])}); make them unique first."
        )
    source, target, weight = _edge_columns(edges)
    ends = pd.Index(pd.unique(np.concatenate([source, target])))
    unknown = ends[~ends.isin(names)]
    if len(unknown):
        text = f"{len(unknown)} of {len(ends)} genes of {name!r} are not in the reference, dropped: {shorten(unknown)}."
        warnings.warn(text, UserWarning, stacklevel=2)
        _suggest_case(names, unknown)
    first, second = names.get_indexer(source), names.get_indexer(target)
    kept = (first >= 0) & (second >= 0) & (first != second) & (weight > 0)
    if not kept.any():
        raise ValueError(
            f"No edge of {name!r} joins two reference genes. The reference has {shorten(names, 4)}; the edges have "
            f"{shorten(ends, 4)}. Pass gene_symbols= if symbols are a column of var."
        )
    graph = _listen(second[kept], first[kept], weight[kept], len(names), both=not directed)
    alone = np.diff(graph.indptr) == 0
    reference.varp[name] = graph
    reference.var[f"fallback_{name}"] = alone
    record(
        reference,
        name,
        kind="edges",
        directed=directed,
        coverage=float(1 - alone.mean()),
        n_edges=int(graph.nnz),
        n_unknown=len(unknown),
    )


def gene_names(reference: AnnData, gene_symbols: str | None) -> pd.Index:
    """Names of the reference's genes, from `var_names` or a column of `var`."""
    if gene_symbols is None:
        return reference.var_names
    if gene_symbols not in reference.var:
        columns = shorten(reference.var.columns) or "no columns"
        raise ValueError(
            f"reference.var has no column {gene_symbols!r} (it has {columns}); pass one of these as gene_symbols=."
        )
    return pd.Index(reference.var[gene_symbols].astype(str))


def record(reference: AnnData, name: str, **entry: Any) -> None:
    """Write what is known of a relation to `uns["stimpute"]["relations"]`."""
    relations = reference.uns.setdefault("stimpute", {}).setdefault("relations", {})
    relations[name] = {**entry, "varp": name}


def _suggest_case(wanted: pd.Index, offered: pd.Index) -> None:
    """List names that differ in case only."""
    by_lower = {str(name).lower(): name for name in offered}
    pairs = [(by_lower.get(str(name).lower()), name) for name in wanted]
    near = [f"{other} for {name}" for other, name in pairs if other not in (None, name)]
    if near:
        text = f"{len(near)} names differ from the reference's in case only and are not used: {shorten(near)}."
        warnings.warn(f"{text} Rename them to match.", UserWarning, stacklevel=3)


def _edge_columns(edges: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split a table of edges into source, target and weight."""
    if not isinstance(edges, pd.DataFrame) or edges.shape[1] < 2 or edges.empty:
        found = (
            f"columns {list(edges.columns)}, {len(edges)} rows"
            if isinstance(edges, pd.DataFrame)
            else type(edges).__name__
        )
        raise ValueError(
            f"Found {found}, expected a DataFrame with columns gene, gene and, if edges have weights, weight."
        )
    source, target = (edges.iloc[:, i].astype(str).to_numpy() for i in (0, 1))
    if "weight" not in edges and edges.shape[1] == 2:
        return source, target, np.ones(len(edges), dtype=np.float32)
    column: Iterable[Any] = edges["weight"] if "weight" in edges else edges.iloc[:, 2]
    weight = pd.to_numeric(pd.Series(column), errors="coerce").to_numpy(dtype=np.float32)
    bad = ~np.isfinite(weight) | (weight < 0)
    if bad.any():
        row = edges.iloc[int(np.flatnonzero(bad)[0])].tolist()
        raise ValueError(
            f"{bad.sum()} edges have a negative, missing or infinite weight, first {row}; expected finite weights "
            "of at least 0. Drop these rows, or rescale the weights."
        )
    return source, target, weight


def _listen(rows: np.ndarray, columns: np.ndarray, weight: np.ndarray, n: int, *, both: bool) -> csr_matrix:
    """Build the graph in which rows listen to columns; of equal edges the largest counts."""
    table = pd.DataFrame({"row": rows, "column": columns, "weight": weight})
    if both:
        table = pd.concat([table, table.rename(columns={"row": "column", "column": "row"})])
    table = table.groupby(["row", "column"], as_index=False)["weight"].max()
    values = table["weight"].to_numpy(dtype=np.float32)
    return csr_matrix((values, (table["row"].to_numpy(), table["column"].to_numpy())), shape=(n, n))

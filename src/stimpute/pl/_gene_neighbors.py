"""Plot the genes that are most related to one gene."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import anndata as ad
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy import sparse

from stimpute._messages import check_count, name_list
from stimpute.data._expression import Expression, read_expression, read_gene_names
from stimpute.data._normalize import EPSILON
from stimpute.data._relation_store import COEXPRESSION, StoredRelation, read_relation, relation_names
from stimpute.model import StImputeModel
from stimpute.pl._figure import COLORS, LIGHT_GREY, FigureOptions, axes_for, hide_spines, literal, plot

WEIGHT_LABELS = {"vectors": "cosine of centered vectors", "edges": "edge weight"}


@plot
def gene_neighbors(
    reference: StImputeModel | ad.AnnData,
    gene: str,
    relations: str | Sequence[str] | None = None,
    *,
    measured: Sequence[str] | None = None,
    n_neighbors: int = 12,
    layer: str | None = None,
    expression: Expression | None = None,
    gene_symbols: str | None = None,
    **figure: Unpack[FigureOptions],
) -> list[Axes]:
    """Plot the genes that are most related to one gene: one panel per relation, the strongest on top.

    The weights are computed from the data that the model reads: `"coexpression"` is the correlation of log-normalized
    expression over the reference cells; relations from vectors use the cosine after the mean vector of all genes is
    subtracted; relations from edges use the edge weights. Only positive weights are shown. A gene without a vector or
    an edge has an empty panel; the model uses co-expression for it. The names of genes that appear in several panels
    are bold.

    Parameters
    ----------
    reference
        A model, of which only the genes and relations that contribute to its predictions are shown; or a reference with
        the relations that :mod:`stimpute.pp` added.
    gene
        Gene whose neighbors are shown.
    relations
        One or more relations; if None, those of the model, or co-expression and all relations in the reference.
    measured
        Genes to show. Only measured genes contribute to a prediction. If None, those of the model; without a model, all
        genes of the reference, also those that cannot contribute.
    n_neighbors
        Maximum number of genes per relation.
    layer, expression, gene_symbols
        Without a model: layer with the expression, which co-expression reads, `X` if None; whether it is `"counts"`,
        which None stands for, or `"normalized"`; and the column of `reference.var` with the gene names, `var_names` if
        None.

    Raises
    ------
    KeyError
        If the gene, a relation, the layer or the column is missing.
    TypeError
        If a model is combined with `layer`, `expression` or `gene_symbols`, which it knows.
    ValueError
        If no relation is named, the model has no reference, or `n_neighbors` is below 1.

    Examples
    --------
    >>> stimpute.pl.gene_neighbors(model, "Rorb")
    """
    check_count(1, n_neighbors=n_neighbors)
    setup: dict[str, Any] = {"layer": layer, "expression": expression, "gene_symbols": gene_symbols}
    if isinstance(reference, StImputeModel):
        if any(value is not None for value in setup.values()):
            raise TypeError("A model knows `layer`, `expression` and `gene_symbols`; leave these arguments out.")
        measured = reference.shared_genes if measured is None else measured
        relations = reference.relations if relations is None else relations
        setup = {name: reference.reference_setup.get(name) for name in setup}
        reference = _reference_of(reference)
    genes = read_gene_names(reference, setup["gene_symbols"])
    position = _locate(gene, genes)
    is_source = np.ones(len(genes), bool) if measured is None else genes.isin(list(measured))
    is_source[position] = False
    if relations is None:
        relations = relation_names(reference)
    names = [relations] if isinstance(relations, str) else list(relations)
    if not names:
        raise ValueError(f"`relations` is empty; the reference has {relation_names(reference)}.")

    neighbors = {}
    labels = {}
    for name in names:
        weights, labels[name] = _weights(reference, name, position, setup)
        related = pd.Series(weights, index=genes)[is_source & (weights > 0)]
        neighbors[name] = related.nlargest(n_neighbors)

    n_rows = max(len(related) for related in neighbors.values())
    axes = axes_for(len(names), figure, size=(3.6 * len(names), 1.2 + 0.22 * max(n_rows, 4)))
    n_panels = Counter(name for related in neighbors.values() for name in related.index)
    for i, (ax, name) in enumerate(zip(axes, names, strict=True)):
        _draw(neighbors[name], n_panels, COLORS[i % len(COLORS)], ax)
        ax.set_title(literal(f"{gene}: {name}"), fontsize="medium")
        ax.set_xlabel(labels[name])
    return axes


def _reference_of(model: StImputeModel) -> ad.AnnData:
    if model.reference is None:
        raise ValueError("The model has no reference. Pass it: `StImputeModel.load(path, reference=reference)`.")
    return model.reference


def _locate(gene: str, genes: pd.Index) -> int:
    if gene not in genes:
        raise KeyError(
            f"`gene`: {gene!r} is not among the {len(genes)} genes of the reference, for example "
            f"{name_list(genes, 3)}. Check the spelling, or name the column of gene names by `gene_symbols=`."
        )
    return int(genes.get_loc(gene))


def _weights(reference: ad.AnnData, relation: str, position: int, setup: Mapping[str, Any]) -> tuple[np.ndarray, str]:
    """Compute the weights of one gene to every gene by one relation, shape (n_genes,); and say what they are."""
    if relation == COEXPRESSION:
        matrix = read_expression(
            reference,
            layer=setup["layer"],
            expression=setup["expression"] or "counts",
            gene_symbols=setup["gene_symbols"],
        )
        return _correlation(matrix.log_normalized(), position), "correlation of expression"
    stored = read_relation(reference, relation)
    return _stored_weights(stored, position), WEIGHT_LABELS[stored.kind]


def _correlation(expression: sparse.csr_matrix, position: int) -> np.ndarray:
    """Correlate one gene with every gene over the cells, shape (n_genes,); 0 for constant genes."""
    n_cells = expression.shape[0]
    profile = expression[:, [position]].toarray().ravel().astype(np.float64)
    profile -= profile.mean()
    # One profile is centered, so the product does not change if the others are centered too. They stay sparse.
    covariance = np.asarray(expression.T @ profile).ravel() / n_cells
    mean = np.asarray(expression.mean(axis=0, dtype=np.float64)).ravel()
    mean_square = np.asarray(expression.multiply(expression).mean(axis=0, dtype=np.float64)).ravel()
    std = np.sqrt(np.maximum(mean_square - mean**2, 0))
    is_constant = (std < EPSILON) | (std[position] < EPSILON)
    return np.where(is_constant, 0, covariance / np.where(is_constant, 1, std * std[position]))


def _stored_weights(relation: StoredRelation, position: int) -> np.ndarray:
    """Compute the weights of one gene to every gene, shape (n_genes,); 0 where there is no vector or edge."""
    if not isinstance(relation.values, np.ndarray):
        return relation.values[[position]].toarray().ravel()
    if not relation.has_values[position]:
        return np.zeros(len(relation.values))
    centered = relation.values - relation.values[relation.has_values].mean(axis=0, dtype=np.float64)
    norms = np.linalg.norm(centered, axis=1)
    cosines = centered @ centered[position] / np.maximum(norms * norms[position], EPSILON)
    return np.where(relation.has_values, cosines, 0)


def _draw(related: pd.Series, n_panels: Counter, color: str, ax: Axes) -> None:
    rows = np.arange(len(related))[::-1]
    ax.hlines(rows, 0, related, color=LIGHT_GREY, linewidth=1)
    ax.plot(related, rows, "o", color=color, markersize=5)
    ax.set_yticks(rows, [literal(name) for name in related.index], fontsize="small")
    for label, name in zip(ax.get_yticklabels(), related.index, strict=True):
        label.set_fontweight("bold" if n_panels[name] > 1 else "normal")
    if related.empty:
        ax.set_xticks([])
        ax.text(0.5, 0.5, "no related genes", ha="center", va="center", color="grey", transform=ax.transAxes)
    ax.set_xlim(left=0)
    ax.set_ylim(-0.7, max(len(related), 1) - 0.3)
    hide_spines(ax)

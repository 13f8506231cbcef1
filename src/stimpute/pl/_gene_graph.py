from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ._canvas import COLOURS, QUIET, axes_for, finish


def gene_graph(
    reference: ad.AnnData,
    gene: str,
    relations: str | Sequence[str] | None = None,
    *,
    measured: Sequence[str] | None = None,
    n_neighbors: int = 12,
    figsize: tuple[float, float] | None = None,
    ax: Axes | None = None,
    save: str | Path | None = None,
    return_ax: bool = False,
) -> Axes | list[Axes] | None:
    """Draw the genes that a gene listens to, by relation.

    Parameters
    ----------
    reference
        The reference, with the relations that ``stimpute.pp`` wrote to ``varp`` and ``uns``.
    gene
        The gene in the middle.
    relations
        Which relations; all by default.
    measured
        Genes that the spatial data have; the others are drawn pale, because messages start at measured genes.
    n_neighbors
        Strongest neighbours of each relation to draw.
    figsize
        Size of a new figure, in inches.
    ax
        Axes to draw on.
    save
        File to save the figure to.
    return_ax
        Return the axes.

    Returns
    -------
    The axes, if ``return_ax``. The thickness of an edge is its weight, relative to the strongest of its relation.

    Raises
    ------
    KeyError
        If the gene or a relation is missing.
    """
    if gene not in reference.var_names:
        raise KeyError(f"gene={gene!r} is not in reference.var_names, e.g. {list(reference.var_names[:3])}.")
    edges = _edges(reference, gene, _known(reference, relations), n_neighbors)
    axes = axes_for(1, ax, figsize or (6, 5))
    _draw(gene, edges, None if measured is None else set(measured), axes[0])
    return finish(axes, save, return_ax)


def _known(reference: ad.AnnData, relations: str | Sequence[str] | None) -> dict[str, str]:
    """Key in ``varp`` of every relation that is asked for."""
    record: Mapping[str, Mapping[str, str]] = reference.uns.get("stimpute", {}).get("relations", {})
    asked = list(record) if relations is None else [relations] if isinstance(relations, str) else list(relations)
    missing = [name for name in asked if name not in record]
    if missing or not asked:
        raise KeyError(
            f"relations={missing or relations}: found {list(record)} in reference.uns['stimpute']['relations']; "
            "write one with stimpute.pp.protein_graph or stimpute.pp.coexpression_graph first."
        )
    return {name: record[name].get("varp", name) for name in asked}


def _edges(reference: ad.AnnData, gene: str, keys: dict[str, str], n_neighbors: int) -> pd.DataFrame:
    """Columns relation, neighbour, weight and share of the strongest weight."""
    place = reference.var_names.get_loc(gene)
    found = []
    for name, key in keys.items():
        row = reference.varp[key][[place]].tocoo()
        others = row.col != place
        table = pd.DataFrame({"neighbour": reference.var_names[row.col[others]], "weight": row.data[others]})
        table = table.nlargest(n_neighbors, "weight").assign(relation=name)
        found.append(table.assign(share=table["weight"] / table["weight"].max()))
    return pd.concat(found, ignore_index=True)


def _draw(gene: str, edges: pd.DataFrame, measured: set[str] | None, ax: Axes) -> None:
    relations = list(dict.fromkeys(edges["relation"]))
    colour = dict(zip(relations, COLOURS * (1 + len(relations) // len(COLOURS)), strict=False))
    heard = edges.groupby("neighbour", sort=False)["relation"].agg(" + ".join)
    names = list(heard.sort_values(kind="stable").index)  # neighbours of one relation side by side
    angle = dict(zip(names, np.pi / 2 - 2 * np.pi * np.arange(len(names)) / max(len(names), 1), strict=True))
    nth = edges.groupby("neighbour").cumcount()
    for edge, turn in zip(edges.itertuples(), nth, strict=True):
        way = np.array([np.cos(angle[edge.neighbour]), np.sin(angle[edge.neighbour])])
        aside = 0.02 * turn * np.array([-way[1], way[0]])
        start, stop = aside, 0.9 * way + aside
        ax.plot(*zip(start, stop, strict=True), color=colour[edge.relation], lw=0.6 + 3 * edge.share, alpha=0.8)
    for name in names:
        x, y = np.cos(angle[name]), np.sin(angle[name])
        pale = measured is not None and name not in measured
        ax.plot(0.95 * x, 0.95 * y, "o", color="white" if pale else "black", markeredgecolor=QUIET if pale else "black")
        side = "left" if x > 0.1 else "right" if x < -0.1 else "center"
        ax.text(1.05 * x, 1.05 * y, name, ha=side, va="center", color="grey" if pale else "black", fontsize="small")
    ax.text(
        0, 0, gene, ha="center", va="center", weight="bold", bbox={"boxstyle": "round", "fc": "white", "ec": "black"}
    )
    handles = [Line2D([], [], color=colour[r], lw=3, label=r) for r in relations]
    if measured is not None:
        handles += [Line2D([], [], marker="o", ls="", color="black", label="measured")]
        handles += [Line2D([], [], marker="o", ls="", mfc="white", mec=QUIET, label="not measured")]
    ax.legend(handles=handles, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1))
    ax.set(xlim=(-1.35, 1.35), ylim=(-1.25, 1.25), aspect="equal", title=f"Genes that {gene} listens to")
    ax.set_axis_off()

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ._canvas import COLOURS, QUIET, axes_for, finish

LEGEND_ROWS = 16
MOST_LABELS = 31  # the most common ones; a longer legend could not be read
OTHER = "other"


def embedding(
    latent_spatial: np.ndarray,
    latent_reference: np.ndarray,
    labels_spatial: Sequence[Any] | None = None,
    labels_reference: Sequence[Any] | None = None,
    *,
    n_neighbors: int = 15,
    max_cells: int = 5000,
    seed: int = 0,
    size: float | None = None,
    figsize: tuple[float, float] | None = None,
    ax: Axes | Sequence[Axes] | None = None,
    save: str | Path | None = None,
    return_ax: bool = False,
) -> list[Axes] | Axes | None:
    """Draw one UMAP of spatial and reference cells: by dataset, and by the labels of each.

    Parameters
    ----------
    latent_spatial, latent_reference
        Latent representations [cells, dimensions], as ``model.get_latent_representation`` returns them.
    labels_spatial, labels_reference
        Labels of the cells, such as cell types; each adds a panel. Equal names have equal colours, cells without a
        label are grey, and of very many labels the rare ones become "other".
    n_neighbors
        Neighbours of a cell in the graph that is laid out.
    max_cells
        Draw at most this many cells of each dataset, chosen at random.
    seed
        Seed of that choice and of UMAP.
    size
        Size of a cell, in square points.
    figsize
        Size of a new figure, in inches.
    ax
        One axes, and one for each set of labels.
    save
        File to save the figure to.
    return_ax
        Return the axes.

    Returns
    -------
    The axes, if ``return_ax``.

    Raises
    ------
    ValueError
        If the representations or labels do not fit together.
    """
    latents = {"spatial": np.asarray(latent_spatial), "reference": np.asarray(latent_reference)}
    labels = {"spatial": labels_spatial, "reference": labels_reference}
    if latents["spatial"].shape[1:] != latents["reference"].shape[1:] or latents["spatial"].ndim != 2:
        shapes = [x.shape for x in latents.values()]
        raise ValueError(f"Shapes {shapes}: expected two [cells, dimensions] with as many dimensions.")
    for name, values in labels.items():
        if values is not None and len(values) != len(latents[name]):
            raise ValueError(f"labels_{name} has {len(values)} values: expected {len(latents[name])}, one a cell.")
    rng = np.random.default_rng(seed)
    kept = {n: np.sort(rng.permutation(len(x))[:max_cells]) for n, x in latents.items()}
    coords = _umap(np.concatenate([latents[n][kept[n]] for n in latents]), n_neighbors, seed)
    dataset = np.repeat(list(kept), [len(k) for k in kept.values()])
    shown = {n: _common(np.asarray(v, dtype=object)[kept[n]]) for n, v in labels.items() if v is not None}

    axes = axes_for(1 + len(shown), ax, figsize or (4.2 + 5.4 * len(shown), 4.0))
    size = size or float(np.clip(20_000 / len(coords), 1, 20))
    _scatter(coords, dataset, dict(zip(latents, COLOURS, strict=False)), size, axes[0])
    axes[0].set_title("dataset")
    names = sorted({name for values in shown.values() for name in values.dropna()} - {OTHER})
    palette = dict(zip(names, _colours(len(names)), strict=True)) | {OTHER: "dimgrey"}
    for axis, (name, named) in zip(axes[1:], shown.items(), strict=True):
        own = np.zeros(len(coords), bool)
        own[dataset == name] = named.notna()
        axis.scatter(coords[~own, 0], coords[~own, 1], s=size, color=QUIET, alpha=0.3, linewidths=0, rasterized=True)
        _scatter(coords[own], named.dropna().to_numpy(), palette, size, axis)
        axis.set_title(f"labels, {name}")
    return finish(axes, save, return_ax)


def _common(labels: np.ndarray) -> pd.Series:
    """Labels as text, missing and empty ones as NaN, rare ones as "other" where there are too many."""
    values = pd.Series(labels, dtype=object)
    values = values.astype(str).where(values.notna() & (values != ""))
    counts = values.value_counts()
    return (
        values if len(counts) <= MOST_LABELS else values.replace(dict.fromkeys(counts.index[MOST_LABELS - 1 :], OTHER))
    )


def _umap(latent: np.ndarray, n_neighbors: int, seed: int) -> np.ndarray:
    import scanpy as sc

    joint = ad.AnnData(latent.astype(np.float32))
    sc.pp.neighbors(joint, n_neighbors=n_neighbors, use_rep="X", random_state=seed)
    sc.tl.umap(joint, random_state=seed)
    return joint.obsm["X_umap"]


def _colours(n: int) -> list[Any]:
    """Colours of ``n`` labels: Okabe and Ito's where they suffice, then scanpy's long palettes."""
    from scanpy.plotting import palettes

    if n <= len(COLOURS):
        return list(COLOURS[:n])
    longer = palettes.default_28 if n <= 28 else palettes.default_102[1:]  # whose first is a pale yellow
    return [longer[i % len(longer)] for i in range(n)]


def _scatter(coords: np.ndarray, values: np.ndarray, palette: dict[str, Any], size: float, ax: Axes) -> None:
    """Points in random order, so that no group hides another, and a legend."""
    order = np.random.default_rng(0).permutation(len(coords))
    colours = [palette[v] for v in values[order]]
    ax.scatter(coords[order, 0], coords[order, 1], s=size, c=colours, linewidths=0, rasterized=True)
    present = [name for name in palette if (values == name).any()]
    for name in present:
        ax.scatter([], [], s=25, color=palette[name], label=name)
    columns = -(-len(present) // LEGEND_ROWS)
    small = "small" if columns == 1 else "xx-small"
    ax.legend(
        frameon=False, loc="center left", bbox_to_anchor=(1, 0.5), ncols=columns, fontsize=small, handletextpad=0.1
    )
    ax.set(xticks=[], yticks=[], xlabel="UMAP 1", ylabel="UMAP 2")
    ax.spines[:].set_visible(False)

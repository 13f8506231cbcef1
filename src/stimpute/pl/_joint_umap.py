"""Plot spatial and reference cells in one UMAP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import anndata as ad
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from stimpute._messages import check_count
from stimpute.pl._figure import COLORS, LIGHT_GREY, FigureOptions, axes_for, literal, plot

LEGEND_ROWS = 16
MAX_LABELS = 31  # a longer legend would be too small to read
OTHER = "other"


@plot
def joint_umap(
    latent_spatial: np.ndarray,
    latent_reference: np.ndarray,
    labels_spatial: Sequence[Any] | None = None,
    labels_reference: Sequence[Any] | None = None,
    *,
    n_neighbors: int = 15,
    max_cells: int = 5000,
    seed: int = 0,
    size: float | None = None,
    **figure: Unpack[FigureOptions],
) -> list[Axes]:
    """Plot one UMAP of spatial and reference cells, colored by dataset and by the labels of each dataset.

    Parameters
    ----------
    latent_spatial, latent_reference
        Latent representations from `model.get_latent_representation`, shape (n_cells, n_dimensions).
    labels_spatial, labels_reference
        Labels of the cells, such as cell types. Each adds a panel. Equal labels have equal colors and cells without a
        label are gray. If there are more than 31 labels, the rare ones are shown as "other".
    n_neighbors
        Number of neighbors of each cell in the graph from which UMAP is computed.
    max_cells
        Maximum number of cells of each dataset, chosen at random.
    seed
        Seed of this choice and of UMAP.
    size
        Size of a cell in square points; by default, more cells are smaller.

    Raises
    ------
    ValueError
        If the representations or labels do not match in size.

    Examples
    --------
    >>> spatial_cells = model.get_latent_representation()
    >>> reference_cells = model.get_latent_representation(reference, dataset="reference")
    >>> stimpute.pl.joint_umap(spatial_cells, reference_cells, spatial.obs["cell_type"], reference.obs["cell_type"])
    """
    check_count(1, max_cells=max_cells)
    latents = {"spatial": np.asarray(latent_spatial), "reference": np.asarray(latent_reference)}
    labels = {"spatial": labels_spatial, "reference": labels_reference}
    _check_sizes(latents, labels)
    rng = np.random.default_rng(seed)
    kept = {name: np.sort(rng.permutation(len(x))[:max_cells]) for name, x in latents.items()}
    coords = _umap(np.concatenate([latents[name][rows] for name, rows in kept.items()]), n_neighbors, seed)
    dataset = np.repeat(list(kept), [len(rows) for rows in kept.values()])
    shown = {}
    for name, values in labels.items():
        if values is not None:
            shown[name] = _clean_labels(np.asarray(values, dtype=object)[kept[name]])

    axes = axes_for(1 + len(shown), figure, size=(4.2 + 5.4 * len(shown), 4.0))
    size = size or float(np.clip(20_000 / len(coords), 1, 20))
    _scatter(coords, dataset, dict(zip(latents, COLORS, strict=False)), size, axes[0])
    axes[0].set_title("dataset")
    palette = _palette(shown)
    for ax, (name, values) in zip(axes[1:], shown.items(), strict=True):
        is_labeled = np.zeros(len(coords), bool)
        is_labeled[dataset == name] = values.notna()
        others = coords[~is_labeled]
        ax.scatter(others[:, 0], others[:, 1], s=size, color=LIGHT_GREY, alpha=0.3, linewidths=0, rasterized=True)
        _scatter(coords[is_labeled], values.dropna().to_numpy(), palette, size, ax)
        ax.set_title(f"labels, {name}")
    return axes


def _check_sizes(latents: dict[str, np.ndarray], labels: dict[str, Sequence[Any] | None]) -> None:
    shapes = [x.shape for x in latents.values()]
    if any(len(shape) != 2 for shape in shapes) or shapes[0][1] != shapes[1][1]:
        raise ValueError(
            f"`latent_spatial` and `latent_reference` have shapes {shapes[0]} and {shapes[1]}; expected two matrices "
            "(n_cells, n_dimensions) with the same number of dimensions."
        )
    for name, values in labels.items():
        if values is not None and len(values) != len(latents[name]):
            raise ValueError(f"`labels_{name}` has {len(values)} values; expected {len(latents[name])}, one per cell.")


def _clean_labels(labels: np.ndarray) -> pd.Series:
    """Return labels as text, NaN where missing or empty, and "other" for the rare ones if there are too many."""
    values = pd.Series(labels, dtype=object)
    values = values.astype(str).where(values.notna() & (values != ""))
    by_frequency = values.value_counts().index
    if len(by_frequency) <= MAX_LABELS:
        return values
    return values.replace(dict.fromkeys(by_frequency[MAX_LABELS - 1 :], OTHER))


def _umap(latent: np.ndarray, n_neighbors: int, seed: int) -> np.ndarray:
    import scanpy as sc

    joint = ad.AnnData(latent.astype(np.float32))
    # By default scanpy asks pynndescent for large data, and cannot read what versions from 0.6 return.
    sc.pp.neighbors(joint, n_neighbors=n_neighbors, use_rep="X", transformer="sklearn", random_state=seed)
    sc.tl.umap(joint, random_state=seed)
    return joint.obsm["X_umap"]


def _palette(labels: dict[str, pd.Series]) -> dict[str, Any]:
    """Assign a color to every label of both datasets: from the short palette if possible, else from scanpy's."""
    from scanpy.plotting import palettes

    present = {label for values in labels.values() for label in values.dropna()}
    names = sorted(present - {OTHER})
    colors: Sequence[str] = COLORS
    if len(names) > len(COLORS):
        # The first of scanpy's 102 colors is a pale yellow.
        colors = palettes.default_28 if len(names) <= 28 else palettes.default_102[1:]
    palette = {name: colors[i % len(colors)] for i, name in enumerate(names)}
    return {**palette, OTHER: "dimgrey"}


def _scatter(coords: np.ndarray, groups: np.ndarray, palette: dict[str, Any], size: float, ax: Axes) -> None:
    """Draw cells in random order, so that no group hides another, and a legend."""
    order = np.random.default_rng(0).permutation(len(coords))
    colors = [palette[group] for group in groups[order]]
    ax.scatter(coords[order, 0], coords[order, 1], s=size, c=colors, linewidths=0, rasterized=True)
    present = [name for name in palette if (groups == name).any()]
    for name in present:
        ax.scatter([], [], s=25, color=palette[name], label=literal(name))
    n_columns = -(-len(present) // LEGEND_ROWS)
    ax.legend(
        frameon=False,
        loc="center left",
        bbox_to_anchor=(1, 0.5),
        ncols=n_columns,
        fontsize="small" if n_columns == 1 else "xx-small",
        handletextpad=0.1,
    )
    ax.set(xticks=[], yticks=[], xlabel="UMAP 1", ylabel="UMAP 2")
    ax.spines[:].set_visible(False)

"""Plot how well the reference explains the cells."""

from __future__ import annotations

from typing import Unpack

import numpy as np
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm

from stimpute._messages import check_type, missing_key
from stimpute.data._annotations import read_column
from stimpute.pl._figure import LIGHT_GREY, FigureOptions, axes_for, hide_spines, literal, plot

END = 1.0  # of the color scale
N_BINS = 40
SIDE = 3.6  # inches of the map


@plot
def explained(
    adata: AnnData,
    key: str = "explained",
    *,
    spatial_key: str = "spatial",
    size: float | None = None,
    **figure: Unpack[FigureOptions],
) -> list[Axes]:
    """Map how well the reference explains each cell, beside a histogram.

    Cells at 0 or below, in red, are not explained: their type may be missing in the reference.

    Parameters
    ----------
    adata
        Cells with :meth:`stimpute.StImputeModel.get_explained` in `obs`.
    key
        Column of `obs` that holds it.
    spatial_key
        Key of `obsm` that holds the positions.
    size
        Size of a cell in square points; by default, more cells are smaller.

    Raises
    ------
    TypeError
        If something else than an AnnData is passed.
    KeyError
        If `obs` or `obsm` has no such key.
    ValueError
        If no cell has a value.

    Examples
    --------
    >>> spatial.obs["explained"] = model.get_explained()
    >>> stimpute.pl.explained(spatial)
    """
    check_type(AnnData, "Pass the cells, with `adata.obs['explained'] = model.get_explained()`.", adata=adata)
    if key not in adata.obs:
        raise missing_key(key, "adata.obs", adata.obs.columns, "`model.get_explained()` computes it.")
    if spatial_key not in adata.obsm:
        raise missing_key(spatial_key, "adata.obsm", adata.obsm.keys())
    values = read_column(adata.obs, key).to_numpy(dtype=float)
    if not np.isfinite(values).any():
        raise ValueError(f"`adata.obs[{key!r}]` has no value. A section needs at least 50 cells for it.")
    coords = np.asarray(adata.obsm[spatial_key])[:, :2]
    known = values[np.isfinite(values)]
    axes = axes_for(2, figure, size=(2.4 * SIDE, SIDE), width_ratios=[1.4, 1])
    _map(coords, values, size or float(np.clip(20_000 / len(values), 0.5, 20)), axes[0])
    axes[0].set_title(literal(key))
    axes[1].hist(known, bins=N_BINS, color=LIGHT_GREY)
    axes[1].axvline(0, color="black", linewidth=1, linestyle=":")
    axes[1].set_xlabel(literal(key))
    axes[1].set_ylabel("cells")
    axes[1].set_title(f"{(known <= 0).mean():.0%} of the cells at 0 or below")
    hide_spines(axes[1])
    return axes


def _map(coords: np.ndarray, values: np.ndarray, size: float, ax: Axes) -> None:
    """Draw the cells; those that are explained least lie on top."""
    order = np.argsort(-np.nan_to_num(values, nan=np.inf))
    points = ax.scatter(
        coords[order, 0],
        coords[order, 1],
        c=values[order],
        s=size,
        cmap="RdBu",
        norm=TwoSlopeNorm(0, -END, END),
        plotnonfinite=True,
        edgecolors=LIGHT_GREY,  # cells at 0 are white
        linewidths=0.2,
        rasterized=True,
    )
    ax.set_aspect("equal")
    ax.invert_yaxis()  # as in `stimpute.pl.imputed`
    ax.set_axis_off()
    figure = ax.get_figure()
    if figure is not None:
        figure.colorbar(points, ax=ax, shrink=0.7, extend="min")

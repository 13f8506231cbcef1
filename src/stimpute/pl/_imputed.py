"""Measured beside imputed expression on the tissue."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from stimpute.tl._measured import Expression, measured_expression

from ._canvas import finish

BRIGHTEST = 0.995  # quantile of the values that gets the brightest colour
WIDTH = "interval width"


@dataclass(frozen=True)
class _Row:
    """One gene in one section."""

    title: str
    coords: np.ndarray  # [cells, 2]
    panels: dict[str, np.ndarray | None]  # values [cells] by panel; None where a gene was not measured
    reliability: float | None
    level: float | None  # share of the cells that the interval should cover


def imputed(
    spatial: ad.AnnData,
    imputed: ad.AnnData,
    genes: str | Sequence[str],
    *,
    layer: str | None = None,
    expression: Expression = "counts",
    interval: bool = False,
    spatial_key: str = "spatial",
    library_key: str | None = None,
    cmap: str = "viridis",
    size: float | None = None,
    figsize: tuple[float, float] | None = None,
    ax: Axes | Sequence[Axes] | None = None,
    save: str | Path | None = None,
    return_ax: bool = False,
    **kwargs: Any,
) -> list[Axes] | Axes | None:
    """Draw measured beside imputed expression, a row for each gene (and section), on one colour scale a row.

    Measured counts are log-normalised over the measured genes, the scale of the imputed values.

    Parameters
    ----------
    spatial
        Spatial data [cells, measured genes] with ``obsm[spatial_key]``.
    imputed
        What ``model.impute`` returns for the same cells.
    genes
        Genes of ``imputed``; one that ``spatial`` did not measure shows the imputed panel alone.
    layer, expression
        Where the measured values are and what they are: see ``StImputeModel.setup_anndata``.
    interval
        Add a panel with the width of the interval, ``upper - lower``.
    spatial_key
        Where the coordinates are; the first two columns are drawn.
    library_key
        Column of ``spatial.obs`` with the section of a cell; each section gets its own row.
    cmap
        Colours of expression.
    size
        Size of a cell, in square points; by default it shrinks with the number of cells.
    figsize
        Size of a new figure, in inches.
    ax
        Axes to draw on, as many as there are panels, row after row.
    save
        File to save the figure to.
    return_ax
        Return the axes.
    **kwargs
        For :func:`squidpy.pl.spatial_scatter`.

    Returns
    -------
    The axes, row after row, if ``return_ax``.

    Raises
    ------
    KeyError
        If genes, coordinates, sections or interval layers are missing.
    ValueError
        If the two have different cells.
    """
    genes = [genes] if isinstance(genes, str) else list(genes)
    _check(spatial, imputed, genes, interval, spatial_key, library_key)
    seen = measured_expression(spatial, layer=layer, expression=expression)
    rows = list(_rows(seen, imputed, genes, interval, spatial_key, library_key))
    columns = [c for c in rows[0].panels if any(row.panels[c] is not None for row in rows)]
    axes = _axes(rows, len(columns), figsize, ax)
    for row, row_axes in zip(rows, axes, strict=True):
        _draw(row, dict(zip(columns, row_axes, strict=True)), cmap, size, kwargs)
    return finish(list(axes.ravel()), save, return_ax)


def _check(
    spatial: ad.AnnData,
    imputed: ad.AnnData,
    genes: list[str],
    interval: bool,
    spatial_key: str,
    library_key: str | None,
) -> None:
    missing = [g for g in genes if g not in imputed.var_names]
    if missing or not genes:
        raise KeyError(f"genes: {missing[:5]} are not in imputed; ask model.impute(genes=...) for them first.")
    if not spatial.obs_names.equals(imputed.obs_names):
        raise ValueError("spatial and imputed have different cells: pass imputed[spatial.obs_names].")
    if spatial_key not in spatial.obsm:
        raise KeyError(f"spatial_key={spatial_key!r} is not in spatial.obsm, found {list(spatial.obsm)}.")
    if library_key is not None and library_key not in spatial.obs:
        raise KeyError(f"library_key={library_key!r} is not in spatial.obs, found {list(spatial.obs)}.")
    if interval and not {"lower", "upper"} <= set(imputed.layers):
        raise KeyError("interval=True needs imputed.layers['lower'] and ['upper']; call model.impute(interval=0.9).")


def _rows(
    seen: ad.AnnData, imputed: ad.AnnData, genes: list[str], interval: bool, spatial_key: str, library_key: str | None
) -> Iterator[_Row]:
    coords = np.asarray(seen.obsm[spatial_key])[:, :2]
    section = pd.Series("", seen.obs_names) if library_key is None else seen.obs[library_key].astype(str)
    for gene in genes:
        one = imputed[:, [gene]]
        values = {"measured": _column(seen, gene) if gene in seen.var_names else None, "imputed": _values(one.X)}
        if interval:
            values[WIDTH] = _values(one.layers["upper"]) - _values(one.layers["lower"])
        reliability = float(one.var["reliability"].iloc[0]) if "reliability" in one.var else None
        level = imputed.uns.get("stimpute", {}).get("interval")
        for name in section.unique():
            cells = (section == name).to_numpy()
            panels = {panel: None if v is None else v[cells] for panel, v in values.items()}
            yield _Row(f"{gene}, {name}" if name else gene, coords[cells], panels, reliability, level)


def _column(adata: ad.AnnData, gene: str) -> np.ndarray:
    return _values(adata[:, [gene]].X)


def _values(x: Any) -> np.ndarray:
    return np.asarray(x.toarray() if hasattr(x, "toarray") else x, dtype=float).ravel()


def _axes(
    rows: list[_Row], n_columns: int, figsize: tuple[float, float] | None, ax: Axes | Sequence[Axes] | None
) -> np.ndarray:
    """[rows, columns] of axes; new ones have the shape of the tissue."""
    if ax is not None:
        given = np.ravel(np.asarray(ax, dtype=object))
        if len(given) != len(rows) * n_columns:
            raise ValueError(f"ax holds {len(given)} axes: expected {len(rows)} rows of {n_columns}.")
        return given.reshape(len(rows), n_columns)
    width, height = np.max([np.ptp(row.coords, axis=0) for row in rows], axis=0)
    aspect = float(np.clip(height / width if width > 0 else 1, 0.4, 1.8))
    panel = 3.2 / np.sqrt(aspect)
    figsize = figsize or (n_columns * panel + 1.0, len(rows) * (panel * aspect + 0.6))
    _, axes = plt.subplots(len(rows), n_columns, figsize=figsize, layout="constrained", squeeze=False)
    return axes


def _draw(row: _Row, axes: dict[str, Axes], cmap: str, size: float | None, kwargs: dict[str, Any]) -> None:
    values = {name: v for name, v in row.panels.items() if v is not None}
    brightest = max(np.quantile(v, BRIGHTEST) for name, v in values.items() if name != WIDTH)
    shared = Normalize(0, max(brightest, 1e-3))
    for name, ax in axes.items():
        if name not in values:
            ax.set_axis_off()
            ax.text(0.5, 0.5, f"{row.title}\nnot measured", ha="center", color="grey", transform=ax.transAxes)
            continue
        norm = Normalize(0, max(np.quantile(values[name], BRIGHTEST), 1e-3)) if name == WIDTH else shared
        _scatter(row.coords, values[name], ax, "magma" if name == WIDTH else cmap, norm, size, kwargs)
        ax.set_title(_title(row, name), fontsize="medium")
    figure = next(iter(axes.values())).get_figure()
    widths = [ax for name, ax in axes.items() if name == WIDTH]
    for group, colours in (([ax for ax in axes.values() if ax not in widths], cmap), (widths, "magma")):
        if group and figure is not None:
            scale = ScalarMappable(group[-1].collections[0].norm, colours)
            figure.colorbar(scale, ax=group, shrink=0.7, aspect=18, pad=0.02)


def _title(row: _Row, panel: str) -> str:
    if panel == "imputed" and row.reliability is not None:
        return f"{row.title}\nimputed, reliability {row.reliability:.2f}"
    if panel == WIDTH and row.level is not None:
        return f"{row.title}\nwidth of the {row.level:.0%} interval"
    return f"{row.title}\n{panel}"


def _scatter(
    coords: np.ndarray,
    values: np.ndarray,
    ax: Axes,
    cmap: str,
    norm: Normalize,
    size: float | None,
    kwargs: dict[str, Any],
) -> None:
    """One panel, high values on top."""
    import squidpy as sq

    order = np.argsort(values, kind="stable")
    obs = pd.DataFrame({"value": values[order]}, index=order.astype(str))
    panel = ad.AnnData(obs=obs, obsm={"spatial": coords[order]})
    size = 120_000 / len(panel) if size is None else size
    quiet = {"shape": None, "library_id": "tissue", "colorbar": False, "title": "", "axis_label": ["", ""]}
    options: dict[str, Any] = quiet | {"frameon": False} | kwargs
    sq.pl.spatial_scatter(panel, color="value", cmap=cmap, norm=norm, size=size, ax=ax, **options)

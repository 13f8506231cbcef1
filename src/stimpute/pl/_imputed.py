"""Plot measured beside imputed expression on the tissue."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, ListedColormap, LogNorm, Normalize, PowerNorm

from stimpute._messages import check_count, missing_key
from stimpute.data._expression import Expression
from stimpute.data._result import check_imputed_genes, check_same_cells, position_keys, recorded_label
from stimpute.pl._figure import LIGHT_GREY, FigureOptions, axes_for, plot, wrapped
from stimpute.pl._gene_maps import IMPUTED, MEASURED, WIDTH, GeneMaps, find_sections, place_maps, read_gene_maps

BRIGHTEST_QUANTILE = 0.995  # a few very large values should not leave the rest of the map dark
MIN_RANGE = 1e-3  # a gene that is 0 everywhere needs a color scale too
WIDTH_COLORS = "copper_r"  # no color of this map is close to white
MAP_AREA = 120_000  # square points that the cells of a map share
POINTS_PER_CHARACTER = 4.3  # of a small label, about


@plot
def imputed(
    spatial: ad.AnnData,
    imputed: ad.AnnData,
    genes: str | Sequence[str],
    *,
    layer: str | None = None,
    expression: Expression | None = None,
    interval: bool = False,
    spatial_key: str | None = None,
    library_key: str | None = None,
    ncols: int | None = None,
    cmap: str = "viridis",
    vmin: float = 0.0,
    vmax: float | None = None,
    size: float | None = None,
    **kwargs: Any,
) -> list[Axes]:
    """Plot measured beside imputed expression on the tissue, with one color scale per gene.

    Measured counts are log-normalized over the measured genes, which is the scale of the imputed values. Panels are
    ordered by gene, then by section; each section has a row of its own, and all share the color scale of the gene. The
    color scale of a gene that was not measured ends where measured values are expected to end: an even map means that
    the model finds little difference between the cells.

    Parameters
    ----------
    spatial
        Spatial data, shape (n_cells, n_measured_genes), with positions in `obsm[spatial_key]`.
    imputed
        Result of `model.impute` for the same cells.
    genes
        One or more genes of `imputed`. Genes that `spatial` did not measure show imputed values only.
    layer, expression
        Layer with the measured expression, and whether it is `"counts"` or `"normalized"`. If both are None, as the
        model was set up, which the result records.
    interval
        Whether to add a panel with the width of the prediction interval, `upper - lower`.
    spatial_key
        Key of the positions, of which the first two columns are drawn; if None, as the model was set up.
    library_key
        Column of `spatial.obs` with the section of each cell; if None, the `batch_key` that the model was set up with.
    ncols
        Number of genes per row; by default, the number that makes the figure about square, or fills `figsize`.
    cmap
        Color map of expression.
    vmin, vmax
        Limits of the color scale of expression; by default, `vmax` is the 99.5% quantile of the gene, and for a gene
        that was not measured at least the expected mean plus 2.3 expected standard deviations.
    size
        Size of a cell in square points; by default, more cells are smaller.
    **kwargs
        Further arguments of :func:`squidpy.pl.spatial_scatter`, such as `alpha` or `norm`.

    Raises
    ------
    KeyError
        If genes, positions, sections or interval layers are missing.
    ValueError
        If no gene is named, or the two AnnData have different cells.

    Examples
    --------
    >>> imputed = model.impute(genes=["Gad1", "Rorb"], interval=0.9)
    >>> stimpute.pl.imputed(spatial, imputed, ["Gad1", "Rorb"], interval=True)
    """
    gene_names = [genes] if isinstance(genes, str) else list(genes)
    check_count(1, ncols=ncols)
    _check(spatial, imputed, gene_names, interval)
    spatial_key, library_key = position_keys(spatial, imputed, spatial_key, library_key)
    maps = read_gene_maps(spatial, imputed, gene_names, layer, expression, interval)
    panels = [name for name in (MEASURED, IMPUTED, WIDTH) if any(name in gene.values for gene in maps)]
    coords = np.asarray(spatial.obsm[spatial_key])[:, :2].astype(float)
    sections = find_sections(spatial, library_key)

    figure = FigureOptions(ax=kwargs.pop("ax", None), figsize=kwargs.pop("figsize", None))
    norm = kwargs.pop("norm", None)
    width, height = figure["figsize"] or (1, 1)
    cells_of_sections = [cells for _, cells in sections]
    positions, figure_size = place_maps(coords, cells_of_sections, len(maps), panels, ncols, width / height)
    axes = axes_for(positions, figure, figure_size)
    grid = np.array(axes, dtype=object).reshape(len(maps), len(sections), len(panels))
    for gene, gene_axes in zip(maps, grid, strict=True):
        scales = _color_scales(gene, cmap, norm, vmin, vmax)
        for (row, column), ax in np.ndenumerate(gene_axes):
            section, cells = sections[row]
            panel = panels[column]
            ax.set_axis_off()
            # The cells of a panel without values are drawn too, in gray, so that the tissue can be compared.
            values = gene.values[panel][cells] if panel in gene.values else None
            _draw_map(coords[cells], values, scales[panel], size, kwargs, ax)
            title = f"{gene.name}, {section}" if section else gene.name
            ax.set_title(f"{wrapped(title)}\n{gene.titles[panel]}", fontsize="medium")
        _add_color_bars(gene_axes, panels, scales, recorded_label(imputed))
    return axes


def _check(spatial: ad.AnnData, imputed: ad.AnnData, genes: list[str], interval: bool) -> None:
    if not genes:
        raise ValueError("`genes` is empty; name one or more genes of `imputed`.")
    check_imputed_genes(imputed, genes)
    check_same_cells(spatial, imputed)
    for name in ("lower", "upper"):
        if interval and name not in imputed.layers:
            raise missing_key(name, "imputed.layers", imputed.layers.keys(), "Call `model.impute(interval=0.9)`.")


def _color_scales(
    gene: GeneMaps, cmap: str, norm: Normalize | None, vmin: float, vmax: float | None
) -> dict[str, tuple[Normalize, str]]:
    """Choose norm and color map of each panel; measured and imputed expression share one scale.

    Limits that the given norm lacks are those of the gene; a logarithmic one begins at its smallest positive value.
    """
    expression = [gene.values[panel] for panel in (MEASURED, IMPUTED) if panel in gene.values]
    norm = Normalize() if norm is None else copy.deepcopy(norm)
    if type(norm) not in (Normalize, LogNorm, PowerNorm):  # has limits of its own kind, for example around a center
        norm.autoscale_None(np.concatenate(expression))
    if norm.vmin is None:
        positive = np.concatenate(expression)
        positive = positive[positive > 0]
        norm.vmin = positive.min(initial=1.0) if isinstance(norm, LogNorm) and vmin <= 0 else vmin
    if norm.vmax is None:
        end = max(*map(_brightest, expression), gene.expected_end, norm.vmin + MIN_RANGE)
        norm.vmax = end if vmax is None else vmax
    scales = {MEASURED: (norm, cmap), IMPUTED: (norm, cmap)}
    if WIDTH in gene.values:
        width_norm = Normalize(0, max(_brightest(gene.values[WIDTH]), MIN_RANGE))
        scales[WIDTH] = (width_norm, WIDTH_COLORS)
    return scales


def _brightest(values: np.ndarray) -> float:
    return float(np.quantile(values, BRIGHTEST_QUANTILE))


def _draw_map(
    coords: np.ndarray,
    values: np.ndarray | None,
    scale: tuple[Normalize, str | Colormap],
    size: float | None,
    options: Mapping[str, Any],
    ax: Axes,
) -> None:
    """Draw the cells of one section, high values on top; without values, all in light gray."""
    import squidpy as sq  # takes seconds to import

    if values is None:
        values = np.zeros(len(coords))
        scale = (Normalize(0, 1), ListedColormap([LIGHT_GREY]))
    order = np.argsort(values, kind="stable")
    obs = pd.DataFrame({"value": values[order]}, index=order.astype(str))
    cells = ad.AnnData(obs=obs, obsm={"spatial": coords[order]})
    norm, cmap = scale
    size = MAP_AREA / len(values) if size is None else size
    without_frame = {"frameon": False, "colorbar": False, "title": "", "axis_label": ["", ""]}
    without_image = {"shape": None, "library_id": "tissue"}
    drawn: dict[str, Any] = {**without_frame, **without_image, **options}
    sq.pl.spatial_scatter(cells, color="value", cmap=cmap, norm=norm, size=size, ax=ax, **drawn)


def _add_color_bars(
    axes: np.ndarray, panels: Sequence[str], scales: Mapping[str, tuple[Normalize, str]], label: str
) -> None:
    """Draw the color bars of one gene beside its maps in all sections; `axes` has shape (n_sections, n_panels)."""
    is_width = np.array(panels) == WIDTH
    for panel, beside in ((IMPUTED, axes[:, ~is_width]), (WIDTH, axes[:, is_width])):
        if beside.size:
            aspect = 18 * len(axes)  # equally wide for any number of sections
            figure = beside[0, 0].get_figure()
            scale = ScalarMappable(*scales[panel])
            bar = figure.colorbar(scale, ax=list(beside.flat), shrink=0.7, aspect=aspect, pad=0.02)
            length = bar.ax.get_window_extent().height / figure.dpi * 72
            is_long = len(label) * POINTS_PER_CHARACTER > length
            bar.set_label(label.replace(" ", "\n") if is_long else label, fontsize="small")

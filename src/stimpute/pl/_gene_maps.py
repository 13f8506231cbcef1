"""Read the values that :func:`stimpute.pl.imputed` draws, and place the maps in a grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import anndata as ad
import numpy as np

from stimpute.data._expression import Expression
from stimpute.pp import measured_expression

# Panels of a gene.
MEASURED = "measured"
IMPUTED = "imputed"
WIDTH = "interval width"

MAP_SIDE = 3.2  # inches; maps that are not square have the same area
TITLE_HEIGHT = 0.6  # inches above each map
COLOR_BAR_WIDTH = 0.6  # inches
MIN_ASPECT = 0.4  # longer or wider tissues do not fill their map
MAX_ASPECT = 1.8


@dataclass(frozen=True)
class GeneMaps:
    """Values of one gene in all cells, shape (n_cells,), and titles, both by panel.

    A gene that was not measured has no values for the panel `measured`.
    """

    name: str
    values: dict[str, np.ndarray]
    titles: dict[str, str]


def read_gene_maps(
    spatial: ad.AnnData,
    imputed: ad.AnnData,
    genes: list[str],
    layer: str | None,
    expression: Expression,
    interval: bool,
) -> list[GeneMaps]:
    """Read measured and imputed values of every gene, and the width of its intervals."""
    chosen = imputed[:, genes]
    columns = {IMPUTED: _dense(chosen.X)}
    if interval:
        columns[WIDTH] = _dense(chosen.layers["upper"]) - _dense(chosen.layers["lower"])
    measured = None
    if spatial.var_names.isin(genes).any():
        measured = measured_expression(spatial, layer=layer, expression=expression)
    level = imputed.uns.get("stimpute", {}).get("interval")
    maps = []
    for i, gene in enumerate(genes):
        values = {panel: matrix[:, i] for panel, matrix in columns.items()}
        titles = {MEASURED: MEASURED, IMPUTED: IMPUTED, WIDTH: WIDTH}
        if measured is not None and gene in measured.var_names:
            values[MEASURED] = _dense(measured[:, [gene]].X)[:, 0]
        if "reliability" in chosen.var:
            titles[IMPUTED] = f"imputed, reliability {chosen.var['reliability'].iloc[i]:.2f}"
        if level is not None:
            titles[WIDTH] = f"width of the {level:.0%} interval"
        maps.append(GeneMaps(gene, values, titles))
    return maps


def find_sections(spatial: ad.AnnData, library_key: str | None) -> list[tuple[str, np.ndarray]]:
    """List name and cells of each section; without a key, all cells are one section without a name."""
    if library_key is None:
        return [("", np.arange(spatial.n_obs))]
    section = spatial.obs[library_key].astype(str)
    return [(name, np.flatnonzero(section == name)) for name in section.unique()]


def place_maps(
    coords: np.ndarray, sections: Sequence[np.ndarray], n_genes: int, panels: Sequence[str], ncols: int | None
) -> tuple[list[tuple[int, int]], tuple[float, float]]:
    """Place the maps of all genes in a grid.

    Parameters
    ----------
    coords
        Coordinates of the cells, shape (n_cells, 2).
    sections
        Positions of the cells of each section.
    n_genes
        Number of genes.
    panels
        Panels of each gene, which stand side by side.
    ncols
        Number of genes per row; if None, as many as keep the figure at least as high as wide.

    Returns
    -------
    Row and column of each map, by gene, section and panel; and width and height of the figure in inches.
    """
    width, height = np.max([np.ptp(coords[cells], axis=0) for cells in sections], axis=0)
    aspect = float(np.clip(height / width if width > 0 else 1, MIN_ASPECT, MAX_ASPECT))
    map_width = MAP_SIDE / np.sqrt(aspect)
    n_color_bars = 2 if WIDTH in panels else 1
    gene_width = len(panels) * map_width + n_color_bars * COLOR_BAR_WIDTH
    gene_height = len(sections) * (map_width * aspect + TITLE_HEIGHT)
    if ncols is None:
        ncols = int(np.sqrt(n_genes * gene_height / gene_width))
    ncols = min(max(ncols, 1), n_genes)
    positions = []
    for gene, section, panel in np.ndindex(n_genes, len(sections), len(panels)):
        row, column = divmod(gene, ncols)
        positions.append((row * len(sections) + section, column * len(panels) + panel))
    n_rows = -(-n_genes // ncols)
    return positions, (ncols * gene_width, n_rows * gene_height)


def _dense(matrix: Any) -> np.ndarray:
    return np.asarray(matrix.toarray() if hasattr(matrix, "toarray") else matrix, dtype=float)

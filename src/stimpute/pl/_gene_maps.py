"""Read the values that :func:`stimpute.pl.imputed` draws, and place the maps in a grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import anndata as ad
import numpy as np

from stimpute.data._annotations import in_memory, read_column
from stimpute.data._expression import Expression
from stimpute.tl._measured import measured_names, read_measured

# Panels of a gene.
MEASURED = "measured"
IMPUTED = "imputed"
WIDTH = "interval width"
NOT_MEASURED = "not measured"

# A color scale that ends here shows nearly every measured value: 99% of a normal distribution.
N_STANDARD_DEVIATIONS = 2.3

MAP_SIDE = 3.2  # inches; maps that are not square have the same area
TITLE_HEIGHT = 0.6  # inches above each map
COLOR_BAR_WIDTH = 0.8  # inches
MIN_ASPECT = 0.4  # longer or wider tissues do not fill their map
MAX_ASPECT = 1.8


@dataclass(frozen=True)
class GeneMaps:
    """Values of one gene in all cells, and titles, both by panel.

    Attributes
    ----------
    name
        Name of the gene.
    values
        Shape (n_cells,); a gene that was not measured has none for the panel `measured`.
    titles
        Second line of the title.
    expected_end
        Where measured values are expected to end, if the model predicts it for a gene that was not measured; else 0.
    """

    name: str
    values: dict[str, np.ndarray]
    titles: dict[str, str]
    expected_end: float = 0.0


def read_gene_maps(
    spatial: ad.AnnData,
    imputed: ad.AnnData,
    genes: list[str],
    layer: str | None,
    expression: Expression | None,
    interval: bool,
) -> list[GeneMaps]:
    """Read measured and imputed values of every gene, and the width of its intervals.

    Parameters
    ----------
    spatial, imputed, genes, interval
        See :func:`stimpute.pl.imputed`.
    layer, expression
        See :func:`stimpute.tl._measured.read_measured`.
    """
    chosen = imputed[:, genes]
    table = in_memory(chosen.var)
    columns = {IMPUTED: _dense(chosen.X)}
    if interval:
        columns[WIDTH] = _dense(chosen.layers["upper"]) - _dense(chosen.layers["lower"])
    measured = None
    if measured_names(spatial, imputed).isin(genes).any():
        measured = read_measured(spatial, imputed, layer, expression)
    level = imputed.uns.get("stimpute", {}).get("interval")
    maps = []
    for i, gene in enumerate(genes):
        values = {panel: matrix[:, i] for panel, matrix in columns.items()}
        titles = {MEASURED: NOT_MEASURED, IMPUTED: IMPUTED, WIDTH: WIDTH}
        expected_end = 0.0
        if measured is not None and gene in measured.var_names:
            values[MEASURED] = _dense(measured[:, [gene]].X)[:, 0]
            titles[MEASURED] = MEASURED
        elif {"expected_mean", "expected_std"} <= set(table):
            row = table.iloc[i]
            expected_end = float(row["expected_mean"] + N_STANDARD_DEVIATIONS * row["expected_std"])
        if "reliability" in table:
            titles[IMPUTED] = f"imputed, reliability {table['reliability'].iloc[i]:.2f}"
        if level is not None:
            titles[WIDTH] = f"width of the {level:.0%} interval"
        maps.append(GeneMaps(gene, values, titles, expected_end))
    return maps


def find_sections(spatial: ad.AnnData, library_key: str | None) -> list[tuple[str, np.ndarray]]:
    """List name and cells of each section; without a key, all cells are one section without a name."""
    if library_key is None:
        return [("", np.arange(spatial.n_obs))]
    section = read_column(spatial.obs, library_key).astype(str)
    return [(name, np.flatnonzero(section == name)) for name in section.unique()]


def place_maps(
    coords: np.ndarray,
    sections: Sequence[np.ndarray],
    n_genes: int,
    panels: Sequence[str],
    ncols: int | None,
    aspect: float = 1.0,
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
        Number of genes per row; if None, so many that the figure comes closest to the wanted aspect.
    aspect
        Wanted width of the figure, divided by its height.

    Returns
    -------
    Row and column of each map, by gene, section and panel; and width and height of the figure in inches.
    """
    width, height = np.max([np.ptp(coords[cells], axis=0) for cells in sections], axis=0)
    map_aspect = float(np.clip(height / width if width > 0 else 1, MIN_ASPECT, MAX_ASPECT))
    map_width = MAP_SIDE / np.sqrt(map_aspect)
    n_color_bars = 2 if WIDTH in panels else 1
    gene_width = len(panels) * map_width + n_color_bars * COLOR_BAR_WIDTH
    gene_height = len(sections) * (map_width * map_aspect + TITLE_HEIGHT)
    if ncols is None:
        possible = np.arange(1, n_genes + 1)
        n_rows = -(-n_genes // possible)
        aspects = possible * gene_width / (n_rows * gene_height)
        ncols = int(possible[np.abs(np.log(aspects / aspect)).argmin()])
    ncols = min(ncols, n_genes)
    positions = []
    for gene, section, panel in np.ndindex(n_genes, len(sections), len(panels)):
        row, column = divmod(gene, ncols)
        positions.append((row * len(sections) + section, column * len(panels) + panel))
    return positions, (ncols * gene_width, -(-n_genes // ncols) * gene_height)


def _dense(matrix: Any) -> np.ndarray:
    return np.asarray(matrix.toarray() if hasattr(matrix, "toarray") else matrix, dtype=float)

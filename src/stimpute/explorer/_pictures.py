"""Choose what is drawn: values and colors of each map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import pandas as pd

from stimpute.explorer._colors import Blend, Colors, Gradient, Palette, category_colors
from stimpute.explorer._genes import GeneProfiles, GeneTable
from stimpute.explorer._tissue import Tissue
from stimpute.explorer._values import GeneValues

if TYPE_CHECKING:
    from stimpute.model import StImputeModel

EXPRESSION = "viridis"
WIDTH = "copper_r"  # no color of it is close to white
NUMBER = "cividis"
BRIGHTEST = 0.995  # quantile; a few very large values should not leave the rest dark
MIN_RANGE = 1e-3  # of a color scale


@dataclass(frozen=True)
class Explorer:
    """Everything that the page shows, without the page.

    Attributes
    ----------
    tissue
        The cells.
    values
        Imputed values.
    genes
        The genes by reliability.
    profiles
        Predicted profiles of all genes in a sample of cells.
    """

    tissue: Tissue
    values: GeneValues
    genes: GeneTable
    profiles: GeneProfiles

    @classmethod
    def from_model(cls, model: StImputeModel, *, interval: float | None = 0.9, progress: bool = True) -> Self:
        """Describe all genes and encode all cells of a trained model; see :class:`GeneValues`."""
        tissue = Tissue.from_model(model)
        values = GeneValues(model, interval=interval, progress=progress)
        profiles = GeneProfiles(values.all_genes(values.sampled_cells()), values.table.index)
        return cls(tissue, values, GeneTable(values.table, values.metric), profiles)

    def agreement(self, gene: str) -> float | None:
        """Correlate measured and imputed values of a gene; None if it was not measured, or one of them is constant."""
        measured = self.tissue.measured_values(gene)
        if measured is None:
            return None
        imputed = self.values.gene(gene)["X"]
        if np.ptp(measured) == 0 or np.ptp(imputed) == 0:
            return None
        return float(np.corrcoef(measured, imputed)[0, 1])


@dataclass(frozen=True)
class View:
    """What a user chose to see.

    Attributes
    ----------
    gene
        The gene.
    second
        A second gene to draw with it, or None.
    label
        Column of `obs` to draw beside them, or None.
    one_scale
        Whether measured and imputed values share a color scale.
    """

    gene: str
    second: str | None = None
    label: str | None = None
    one_scale: bool = True

    @property
    def genes(self) -> list[str]:
        """The one or two genes."""
        return [self.gene] if self.second is None else [self.gene, self.second]


@dataclass(frozen=True)
class Picture:
    """One map: values of all cells, shape (n_cells, n_channels), and how to color them."""

    title: str
    values: np.ndarray
    colors: Colors


def pictures(explorer: Explorer, view: View) -> list[Picture]:
    """List the maps of a view: measured, imputed and interval width of one gene, or two genes and both together."""
    maps = _one_gene(explorer, view) if view.second is None else _two_genes(explorer, view.gene, view.second)
    if view.label is not None:
        maps.append(_label(explorer.tissue, view.label))
    return maps


def _one_gene(explorer: Explorer, view: View) -> list[Picture]:
    predicted = explorer.values.gene(view.gene)
    shown = {"measured": explorer.tissue.measured_values(view.gene), "imputed": predicted["X"]}
    columns = {title: values for title, values in shown.items() if values is not None}
    highs = {title: _brightest(values) for title, values in columns.items()}
    if view.one_scale:
        highs = dict.fromkeys(columns, max(highs.values()))
    unit = explorer.tissue.unit
    maps = [_gradient(title, values, EXPRESSION, highs[title], unit) for title, values in columns.items()]
    if explorer.values.interval is not None:
        width = predicted["upper"] - predicted["lower"]
        title = f"width of the {explorer.values.interval:.0%} interval"
        maps.append(_gradient(title, width, WIDTH, _brightest(width), unit))
    return maps


def _two_genes(explorer: Explorer, first: str, second: str) -> list[Picture]:
    columns = {gene: explorer.values.gene(gene)["X"] for gene in (first, second)}
    highs = {gene: _brightest(values) for gene, values in columns.items()}
    unit = explorer.tissue.unit
    maps = [_gradient(f"{gene}, imputed", columns[gene], EXPRESSION, highs[gene], unit) for gene in columns]
    both = np.column_stack(list(columns.values()))
    blend = Blend((first, second), (highs[first], highs[second]))
    return [*maps, Picture("both, imputed", both, blend)]


def _label(tissue: Tissue, name: str) -> Picture:
    column = tissue.labels[name]
    if isinstance(column.dtype, pd.CategoricalDtype):
        categories = [str(category) for category in column.cat.categories]
        colors = category_colors(len(categories), tissue.palettes.get(name, ()))
        return Picture(name, column.cat.codes.to_numpy()[:, None], Palette(categories, colors))
    values = column.to_numpy(float)
    values = np.where(np.isfinite(values), values, np.nan)
    low, high = np.nanquantile(values, [1 - BRIGHTEST, BRIGHTEST]) if np.isfinite(values).any() else (0, 1)
    return Picture(name, values[:, None], Gradient(NUMBER, float(low), max(float(high), float(low) + MIN_RANGE)))


def _gradient(title: str, values: np.ndarray, cmap: str, high: float, unit: str) -> Picture:
    return Picture(title, values[:, None], Gradient(cmap, 0.0, high, unit))


def _brightest(values: np.ndarray) -> float:
    return max(float(np.quantile(values, BRIGHTEST)), MIN_RANGE)


def describe_cell(explorer: Explorer, view: View, cell: int) -> str:
    """Say in one line what is known of a cell: its name, its values, and its label."""
    parts = [str(explorer.tissue.names[cell])]
    for gene in view.genes:
        predicted = {layer: values[cell] for layer, values in explorer.values.gene(gene).items()}
        text = f"{gene} imputed {predicted['X']:.2f}"
        if "lower" in predicted:
            text += f" ({explorer.values.interval:.0%}: {predicted['lower']:.2f} to {predicted['upper']:.2f})"
        measured = explorer.tissue.measured_values(gene)
        if measured is not None:
            text += f", measured {measured[cell]:.2f}"
        parts.append(text)
    if view.label is not None:
        parts.append(f"{view.label}: {explorer.tissue.labels[view.label].iloc[cell]}")
    return " · ".join(parts)

"""Cells on the tissue: sections, positions, labels and measured values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.colors import is_color_like
from scipy import sparse
from scipy.spatial import cKDTree

from stimpute._messages import missing_key
from stimpute.data._annotations import in_memory, read_column
from stimpute.data._expression import read_expression
from stimpute.data._result import axis_label

if TYPE_CHECKING:
    from anndata import AnnData

    from stimpute.model import StImputeModel

MAX_LABELS = 200  # a column with more of them holds names, not labels
EXPLAINED = "explained"  # column of obs that is offered first
ADVICE = "The explorer draws cells at their positions: add them, or name their key by `setup_anndata(spatial_key=...)`."


@dataclass(frozen=True)
class Section:
    """Cells of one section.

    Attributes
    ----------
    name
        Name; empty if all cells are one section.
    cells
        Positions of the cells in the dataset, shape (n_cells,).
    coords
        Their coordinates on the screen, shape (n_cells, 2): y grows upwards, so that it is the negative of the data's,
        as in :func:`stimpute.pl.imputed`.
    """

    name: str
    cells: np.ndarray
    coords: np.ndarray

    @cached_property
    def spacing(self) -> float:
        """Median distance of a cell to the nearest other cell."""
        if len(self.coords) < 2:
            return 1.0
        distances, _ = self._tree.query(self.coords[:: max(1, len(self.coords) // 2000)], k=2)
        return float(np.median(distances[:, 1])) or 1.0

    def nearest(self, x: float, y: float) -> int:
        """Return the position in the dataset of the cell nearest to a point."""
        return int(self.cells[self._tree.query((x, y))[1]])

    @cached_property
    def _tree(self) -> cKDTree:
        return cKDTree(self.coords)


@dataclass(frozen=True)
class Tissue:
    """The cells of a spatial dataset.

    Attributes
    ----------
    names
        Names of the cells, shape (n_cells,).
    coords
        Positions as in the data, shape (n_cells, 2).
    section_of_cell
        Name of the section of each cell, shape (n_cells,).
    measured
        Measured log-normalized expression, CSC, shape (n_cells, n_measured_genes).
    measured_genes
        Names of these genes.
    unit
        What the values of genes are, in words.
    labels
        Columns of `obs` that can be drawn, by name.
    palettes
        Colors of the categories of a label, by name of the label.
    """

    names: pd.Index
    coords: np.ndarray
    section_of_cell: np.ndarray
    measured: sparse.csc_matrix
    measured_genes: pd.Index
    unit: str
    labels: dict[str, pd.Series] = field(default_factory=dict)
    palettes: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def from_model(cls, model: StImputeModel) -> Tissue:
        """Read the spatial data of a model.

        Raises
        ------
        KeyError
            If the cells have no positions.
        ValueError
            If a position is not finite.
        """
        adata = model.data.section(None)
        setup = model.spatial_setup
        key = setup["spatial_key"] or "spatial"
        if key not in adata.obsm:
            raise missing_key(key, "adata.obsm", adata.obsm.keys(), ADVICE)
        coords = np.asarray(in_memory(adata.obsm[key]), dtype=np.float64)[:, :2]
        n_bad = int((~np.isfinite(coords)).any(1).sum())
        if n_bad:
            raise ValueError(f"`adata.obsm[{key!r}]` has {n_bad} cell(s) without a finite position. {ADVICE}")
        batch = setup["batch_key"]
        arguments = {name: setup[name] for name in ("layer", "expression", "gene_symbols")}
        measured = read_expression(adata, **arguments)
        target_sum = (model.training_record or {}).get("target_sum")
        labels = drawable_labels(adata)
        return cls(
            names=adata.obs_names,
            coords=coords,
            section_of_cell=np.full(adata.n_obs, "") if batch is None else adata.obs[batch].astype(str).to_numpy(),
            measured=measured.log_normalized(target_sum, model.input_genes).tocsc(),
            measured_genes=measured.genes,
            unit=axis_label(counts=measured.is_counts),
            labels=labels,
            palettes={name: _palette(adata, name, column) for name, column in labels.items()},
        )

    @cached_property
    def sections(self) -> list[Section]:
        """The sections, in the order in which they first appear."""
        on_screen = self.coords * [1, -1]
        sections = []
        for name in pd.unique(self.section_of_cell):
            cells = np.flatnonzero(self.section_of_cell == name)
            sections.append(Section(str(name), cells, on_screen[cells]))
        return sections

    def measured_values(self, gene: str) -> np.ndarray | None:
        """Return the measured values of a gene, shape (n_cells,), or None if it was not measured."""
        if gene not in self.measured_genes:
            return None
        return self.measured[:, [self.measured_genes.get_loc(gene)]].toarray().ravel()


def drawable_labels(adata: AnnData) -> dict[str, pd.Series]:
    """Find the columns of `obs` that hold numbers or not too many labels; `explained` first."""
    found = {}
    for name, column in in_memory(adata.obs).items():
        if str(name).startswith("_scvi"):
            continue
        is_number = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
        if is_number:
            found[str(name)] = column if column.dtype.kind in "iu" and column.notna().all() else column.astype(float)
        elif 1 < column.nunique() <= MAX_LABELS:
            found[str(name)] = column.astype("category").cat.remove_unused_categories()
    return dict(sorted(found.items(), key=lambda item: item[0] != EXPLAINED))


def _palette(adata: AnnData, name: str, column: pd.Series) -> list[str]:
    """Find the colors of the categories that are drawn, in the colors of all; empty if they are not given."""
    known = read_column(adata.obs, name)
    if not isinstance(known.dtype, pd.CategoricalDtype) or not isinstance(column.dtype, pd.CategoricalDtype):
        return []
    given = in_memory(adata.uns.get(f"{name}_colors", []))
    if isinstance(given, Mapping):
        given = [given.get(category, given.get(str(category))) for category in known.cat.categories]
    given = np.atleast_1d(np.asarray(given, dtype=object)).tolist()
    if len(given) != len(known.cat.categories) or not all(is_color_like(color) for color in given):
        return []
    codes = known.cat.categories.get_indexer(column.cat.categories)
    return [str(given[code]) for code in codes]

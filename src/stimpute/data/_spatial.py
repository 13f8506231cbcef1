"""The spatial cells, as every later step sees them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy import sparse

from stimpute.data._hiding import Hiding
from stimpute.data._normalize import cell_totals, log_normalise, typical_total
from stimpute.data._space import nearest_around


@dataclass(frozen=True)
class SpatialCells:
    """Expression over the panel, and where the cells are.

    Attributes
    ----------
    panel
        Counts, or normalised values, of the genes shared with the reference, CSR, shape (n_cells, n_panel).
    total
        Total count over every measured gene, shape (n_cells,); None when values came normalised.
    coords
        Positions, shape (n_cells, 2 or 3), or None.
    batch
        Section of every cell, shape (n_cells,).
    """

    panel: sparse.csr_matrix
    total: np.ndarray | None
    coords: np.ndarray | None
    batch: np.ndarray
    _around: dict[int, np.ndarray] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_matrix(
        cls,
        x: sparse.csr_matrix,
        columns: np.ndarray,
        *,
        counts: bool,
        coords: np.ndarray | None = None,
        batch: np.ndarray | None = None,
    ) -> SpatialCells:
        """Take the panel's columns of a whole measured matrix.

        Parameters
        ----------
        x
            All measured genes, shape (n_cells, n_measured).
        columns
            Where the panel's genes stand in `x`, shape (n_panel,).
        counts
            Whether `x` are counts, to be normalised.
        coords, batch
            See the attributes.
        """
        x = sparse.csr_matrix(x)
        return cls(
            panel=x[:, columns].astype(np.float32),
            total=cell_totals(x) if counts else None,
            coords=None if coords is None else np.asarray(coords, dtype=np.float64),
            batch=np.zeros(x.shape[0], dtype=int) if batch is None else np.asarray(batch).ravel(),
        )

    @classmethod
    def from_panel(cls, panel: np.ndarray, total: np.ndarray | None) -> SpatialCells:
        """Cells without a place, from values over the panel, shape (n_cells, n_panel)."""
        return cls(sparse.csr_matrix(panel), total, None, np.zeros(len(panel), dtype=int))

    def __len__(self) -> int:
        return self.panel.shape[0]

    def __getitem__(self, rows: np.ndarray) -> SpatialCells:
        return SpatialCells(
            self.panel[rows],
            None if self.total is None else self.total[rows],
            None if self.coords is None else self.coords[rows],
            self.batch[rows],
        )

    def around(self, k: int) -> np.ndarray:
        """The k nearest cells of the same section, shape (n_cells, k); found once.

        Raises
        ------
        ValueError
            If the cells have no positions.
        """
        if self.coords is None:
            raise ValueError(
                "The model hears the cells around a cell, and these cells have no positions: put them where the "
                '`spatial_key` of `setup_anndata` says (`obsm["spatial"]`), or train a model on data without positions.'
            )
        if k not in self._around:
            self._around[k] = nearest_around(self.coords, self.batch, k)
        return self._around[k]

    def visible_total(self, hiding: Hiding) -> np.ndarray | None:
        """Total count over the measured genes that are not hidden, shape (n_cells,)."""
        if self.total is None or not len(hiding.hidden):
            return self.total
        return self.total - cell_totals(self.panel[:, hiding.hidden])

    def typical_total(self, hiding: Hiding) -> float:
        """Median of :meth:`visible_total`, the total that cells are scaled to; 1 for normalised values."""
        total = self.visible_total(hiding)
        return 1.0 if total is None else typical_total(total)

    def normalised(self, hiding: Hiding, target: float) -> np.ndarray:
        """Log-normalised panel, hidden genes included, from totals over the visible genes alone.

        Parameters
        ----------
        hiding
            Which genes are hidden. Their own values are scaled by the totals of the others: they are the truth to
            predict, and must be masked before anything reads them as input.
        target
            Total that every cell is scaled to, see :meth:`typical_total`.

        Returns
        -------
        float32, shape (n_cells, n_panel).
        """
        dense = self.panel.toarray()
        total = self.visible_total(hiding)
        return dense if total is None else log_normalise(dense, total, target)

"""A batch of cells from which some genes are hidden, down to the totals."""

from __future__ import annotations

import numpy as np
import torch
from scvi import REGISTRY_KEYS
from torch import Tensor

from stimpute.data._spatial import SpatialCells
from stimpute.module._attention import MASK_KEY
from stimpute.module._hidden_genes import AROUND_KEY, HIDDEN_KEY, TRUTH_KEY

MAX_TARGETS = 64  # hidden genes that a step learns from
MIN_HIDDEN = 2


class HiddenGeneBatches:
    """Turns rows into a batch: other genes are hidden every time, and totals are over the visible ones.

    Parameters
    ----------
    cells
        Training cells.
    state
        Statistics of the panel, and whether cells have a place.
    n_around
        Cells around each cell.
    hidden_share
        Least and largest share of the panel to hide.
    seed
        Seed of what is hidden.
    hide
        Whether to hide at all.
    """

    def __init__(
        self,
        cells: SpatialCells,
        state: dict[str, np.ndarray],
        n_around: int,
        hidden_share: tuple[float, float],
        seed: int,
        *,
        hide: bool = True,
    ) -> None:
        self.values = torch.from_numpy(cells.panel.toarray())
        self.total = None if cells.total is None else torch.from_numpy(cells.total.astype(np.float32))
        std = np.where(state["std"] > 0, state["std"], 1)
        self.mean, self.std = (torch.from_numpy(v.astype(np.float32)) for v in (state["mean"], std))
        self.around = None
        if state["placed"]:
            self.around = torch.from_numpy(cells.around(n_around)).long()
        self.share, self.hide = hidden_share, hide
        self.generator = torch.Generator().manual_seed(seed)

    def _draw(self) -> Tensor:
        """Genes to hide."""
        n_genes, (low, high) = self.values.shape[1], self.share
        share = low + (high - low) * torch.rand(1, generator=self.generator).item()
        n_hidden = min(max(MIN_HIDDEN, int(share * n_genes)), n_genes - 1)
        return torch.randperm(n_genes, generator=self.generator)[:n_hidden]

    def _standardised(self, cells: Tensor, hidden: Tensor) -> Tensor:
        """Panel of some cells, scaled by totals over the visible genes."""
        values = self.values[cells]
        if self.total is not None:
            total = self.total[cells] - (values[:, hidden].sum(1) if self.hide else 0)
            target = total[total > 0].median() if (total > 0).any() else torch.tensor(1.0)
            values = torch.log1p(values * (target / total.clamp(min=1))[:, None])
        return (values - self.mean) / self.std

    def __call__(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """See the class."""
        rows, hidden = batch["rows"], self._draw()
        mask = torch.ones(self.values.shape[1])
        if self.hide:
            mask[hidden] = 0
        cells = rows if self.around is None else torch.cat([rows, self.around[rows].flatten()])
        panel = self._standardised(cells, hidden)
        own, targets = panel[: len(rows)], hidden[:MAX_TARGETS]
        result = {REGISTRY_KEYS.X_KEY: own, MASK_KEY: mask, HIDDEN_KEY: targets, TRUTH_KEY: own[:, targets]}
        if self.around is not None:
            result[AROUND_KEY] = panel[len(rows) :].view(len(rows), -1, panel.shape[1]).mean(1)
        return result

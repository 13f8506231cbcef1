"""What a trained model knows of cells: where they lie, whom they resemble, what they may be called."""

from __future__ import annotations

import numpy as np
import pandas as pd
from anndata import AnnData

from stimpute.model._datasets import TwoDatasets

NOTHING_HIDDEN = -1
UNTRAINED = "The model is not trained. Call `model.train()` first."


class CellsMixin(TwoDatasets):
    """Latent representation, neighbours and labels of cells."""

    def get_latent_representation(self, adata: AnnData | None = None) -> np.ndarray:
        """Latent representation of spatial cells.

        Parameters
        ----------
        adata
            A slice of the same panel; the training data if None. Pass the reference itself to embed the reference.

        Returns
        -------
        float32, shape (n_cells, n_latent).
        """
        self._check_if_trained(warn=False, message=UNTRAINED)
        if adata is not None and self._reference_manager is not None and adata is self._reference_manager.adata:
            return self._predictor(NOTHING_HIDDEN).reference_latent()
        return self._predictor(NOTHING_HIDDEN).latent(self._cells(adata))

    def get_neighbors(
        self, adata: AnnData | None = None, n_neighbors: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Nearest reference cells of spatial cells in the latent space.

        Parameters
        ----------
        adata
            A slice of the same panel; the training data if None.
        n_neighbors
            How many; the recipe's number if None.

        Returns
        -------
        Positions in the reference and cosine similarities, each of shape (n_cells, n_neighbors), nearest first.

        Raises
        ------
        ValueError
            If the reference has fewer cells.
        """
        n_cells = self._need_reference().bank.n_cells
        self._check_if_trained(warn=False, message=UNTRAINED)
        if n_neighbors is not None and not 1 <= n_neighbors <= n_cells:
            raise ValueError(f"`n_neighbors` is {n_neighbors}; expected 1 to {n_cells}, the cells of the reference.")
        return self._predictor(NOTHING_HIDDEN).neighbours(self._cells(adata), n_neighbors)

    def transfer_labels(self, key: str, adata: AnnData | None = None, n_neighbors: int | None = None) -> pd.DataFrame:
        """Vote of the nearest reference cells on a label of theirs.

        Parameters
        ----------
        key
            Column of the reference's `obs`.
        adata, n_neighbors
            See :meth:`get_neighbors`.

        Returns
        -------
        One row per cell: `label`, missing where no neighbour has one, and `confidence`, the share of the similarity
        that voted for it.

        Raises
        ------
        KeyError
            If the reference has no such column.
        """
        obs = self._reference_data().obs
        if key not in obs:
            raise KeyError(f"{key!r} is not in the reference's `obs`, which has {sorted(obs.columns)}.")
        index, cosine = self.get_neighbors(adata, n_neighbors)
        names = (self.adata if adata is None else adata).obs_names
        return _vote(obs[key].astype("category"), index, cosine, names)


def _vote(labels: pd.Series, index: np.ndarray, weights: np.ndarray, cells: pd.Index) -> pd.DataFrame:
    """Weighted vote of neighbours; `index` and `weights` have shape (n_cells, k)."""
    codes = labels.cat.codes.to_numpy()[index]
    votes = np.zeros((len(index), len(labels.cat.categories)))
    rows = np.repeat(np.arange(len(index))[:, None], index.shape[1], axis=1)
    np.add.at(votes, (rows[codes >= 0], codes[codes >= 0]), np.maximum(weights, 1e-6)[codes >= 0])
    share = votes.max(1) / np.maximum(np.maximum(weights, 1e-6).sum(1), 1e-12)
    winner = np.where(votes.any(1), votes.argmax(1), -1)  # no label where no neighbour has one
    label = pd.Categorical.from_codes(winner, dtype=labels.dtype)
    return pd.DataFrame({"label": label, "confidence": share}, index=cells)

"""Predict genes with a trained `paper`."""

from __future__ import annotations

import numpy as np
import pandas as pd

from stimpute.data._reference import Reference
from stimpute.data._spatial import SpatialCells
from stimpute.module._module import StImputeModule
from stimpute.recipes._paper_fit import PaperFit
from stimpute.recipes._paper_reliability import profile_quantiles, score_profiles
from stimpute.recipes._paper_scale import rescale
from stimpute.recipes._paper_view import PaperCellEncoder, PaperGeneBlock, PaperView, embed
from stimpute.recipes._predictor import Predictor


class PaperPredictor(Predictor):
    """Trained networks of the paper; see :class:`~stimpute.recipes.Predictor`."""

    def __init__(self, fit: PaperFit, reference: Reference | None, module: StImputeModule, n_neighbors: int) -> None:
        self.fit = fit
        self.module = module
        self.n_neighbors = n_neighbors
        self.folds = fit.preparation.folds
        if reference is not None:
            self.reference = reference
            self._view = self._view_of(None)  # of unmeasured genes, for which nothing is held out

    def _view_of(self, fold: int | None) -> PaperView:
        return PaperView(self.fit.preparation, self.reference, self.module, self.n_neighbors, fold)

    def cell_encoder(self, fold: int | None) -> PaperCellEncoder:
        """See :class:`~stimpute.recipes.Predictor`."""
        view = self._view if fold is None else self._view_of(fold)
        return view.cell_encoder()

    def gene_block(self, targets: np.ndarray, fold: int | None) -> PaperGeneBlock:
        """See :class:`~stimpute.recipes.Predictor`; the score of shared genes is out of fold."""
        if fold is None:
            view = self._view
            profiles = profile_quantiles(view.probe_profiles(targets))
            score = score_profiles(self.module["reliability"], profiles)
        else:
            view = self._view_of(fold)
            score = self.fit.reliability[self.reference.position_among_shared(targets)]
        varies = self.reference.expression.std[targets] > 0
        n_edges = (view.adjacency(targets) > 0).sum(1)
        table = pd.DataFrame({"reliability": np.where(varies, score, 0.0), "n_edges": n_edges})
        return view.gene_block(targets, table)

    def embed_spatial(self, cells: SpatialCells) -> np.ndarray:
        """See :class:`~stimpute.recipes.LatentSpace`."""
        split = self.folds.split(None)
        shared = cells.log_normalized(split, self.fit.preparation.target_sum[None])
        return embed(self.module["autoencoder"], shared, split).float().cpu().numpy()

    def embed_reference(self, shared: np.ndarray | None = None, dataset: np.ndarray | None = None) -> np.ndarray:
        """See :class:`~stimpute.recipes.LatentSpace`."""
        if shared is None:
            return self._view.reference_latent.float().cpu().numpy()
        scaled = rescale(shared, self._view.factor)
        return embed(self.module["autoencoder"], scaled, self._view.split).float().cpu().numpy()

    def nearest_reference_cells(self, cells: SpatialCells, k: int | None) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`~stimpute.recipes.LatentSpace`."""
        return self._view.nearest_reference_cells(cells, k or self.n_neighbors)

"""Methods of the model that look at cells: latent space, neighbors and labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from anndata import AnnData

from stimpute._arguments import check_arguments
from stimpute._messages import missing_key
from stimpute.data._annotations import read_column
from stimpute.model._reference import is_from_reference, read_reference_cells
from stimpute.recipes import LatentSpace

if TYPE_CHECKING:
    from stimpute.model._model import StImputeModel

CELLS_AT_ONCE = 32_768
MIN_WEIGHT = 1e-6  # of a neighbor with a cosine of zero or below


def get_latent_representation(
    self: StImputeModel, adata: AnnData | None = None, *, dataset: Literal["spatial", "reference"] | None = None
) -> np.ndarray:
    """Embed spatial or reference cells in the latent space.

    Parameters
    ----------
    adata
        Spatial or reference cells; all cells that the model was made with if None.
    dataset
        `"spatial"` or `"reference"`. If None, cells of the reference are recognized by their expression, also in a
        copy or a subset; all others are spatial cells.

    Returns
    -------
    float32, shape (n_cells, n_latent).
    """
    check_arguments(get_latent_representation, locals(), but=("dataset",))
    predictor = _latent_space(self)
    attached = self.data.attached
    if dataset is None:
        dataset = "spatial"
        if adata is not None and attached is not None and is_from_reference(adata, attached):
            dataset = "reference"
        elif adata is not None and attached is None and adata.shape == self.reference_shape:
            dataset = "reference"  # which cannot be recognized, and must not be read as spatial cells
    if dataset == "spatial":
        return np.concatenate(
            [predictor.embed_spatial(cells) for cells in self.data.read_cells(adata).parts(CELLS_AT_ONCE)]
        )
    if dataset != "reference":
        raise ValueError(f'`dataset` is {dataset!r}; expected "spatial", "reference" or None.')
    attached = self.data.need_reference()
    adata = attached.adata if adata is None else adata
    if adata is attached.adata and attached.has_same_cells:
        return predictor.embed_reference()
    return predictor.embed_reference(*read_reference_cells(adata, attached))


def get_neighbors(
    self: StImputeModel, adata: AnnData | None = None, n_neighbors: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Find the nearest reference cells of spatial cells in the latent space.

    Parameters
    ----------
    adata
        Spatial cells; the training data if None.
    n_neighbors
        Number of neighbors; the recipe's number if None.

    Returns
    -------
    Positions in the reference and cosine similarities, each of shape (n_cells, n_neighbors), nearest first.

    Raises
    ------
    ValueError
        If the reference has fewer cells, or its cells were changed in place since the model read it.
    """
    check_arguments(get_neighbors, locals())
    attached = self.data.need_reference()
    attached.check_cells()
    n_cells = attached.reference.expression.n_cells
    predictor = _latent_space(self)
    if n_neighbors is not None and not 1 <= n_neighbors <= n_cells:
        raise ValueError(f"`n_neighbors` is {n_neighbors}; expected 1 to {n_cells}, the cells of the reference.")
    found = [
        predictor.nearest_reference_cells(cells, n_neighbors)
        for cells in self.data.read_cells(adata).parts(CELLS_AT_ONCE)
    ]
    index, cosine = zip(*found, strict=True)
    return np.concatenate(index), np.concatenate(cosine)


def transfer_labels(
    self: StImputeModel, key: str, adata: AnnData | None = None, n_neighbors: int | None = None
) -> pd.DataFrame:
    """Transfer a label of the reference to spatial cells, by a vote of the nearest reference cells.

    Parameters
    ----------
    key
        Column of the reference's `obs`.
    adata, n_neighbors
        See :meth:`get_neighbors`.

    Returns
    -------
    One row per cell: `label`, missing where no neighbor has one, and `confidence`, the label's share of the total
    similarity.

    Raises
    ------
    KeyError
        If the reference has no such column.
    ValueError
        As :meth:`get_neighbors`.
    """
    check_arguments(transfer_labels, locals())
    obs = self.data.need_reference().adata.obs
    if key not in obs:
        raise missing_key(key, "reference.obs", obs.columns)
    index, cosine = self.get_neighbors(adata, n_neighbors)
    return vote(read_column(obs, key), index, cosine, self.data.section(adata).obs_names)


def vote(labels: pd.Series, index: np.ndarray, cosine: np.ndarray, cells: pd.Index) -> pd.DataFrame:
    """Let the nearest reference cells vote on the label of each spatial cell.

    Parameters
    ----------
    labels
        Label of every reference cell; missing values do not vote.
    index, cosine
        Nearest reference cells and their similarities, shape (n_cells, k).
    cells
        Names of the spatial cells.
    """
    labels = labels.astype("category")
    codes = labels.cat.codes.to_numpy()[index]
    weights = np.maximum(cosine, MIN_WEIGHT)
    has_label = codes >= 0
    rows = np.repeat(np.arange(len(index))[:, None], index.shape[1], axis=1)
    votes = np.zeros((len(index), len(labels.cat.categories)))
    np.add.at(votes, (rows[has_label], codes[has_label]), weights[has_label])
    confidence = votes.max(1, initial=0) / np.maximum(weights.sum(1), 1e-12)
    winner = np.full(len(index), -1)  # the code of a missing label
    any_vote = votes.any(1)
    winner[any_vote] = votes[any_vote].argmax(1)
    label = pd.Categorical.from_codes(winner, dtype=labels.dtype)
    return pd.DataFrame({"label": label, "confidence": confidence}, index=cells)


def _latent_space(model: StImputeModel) -> LatentSpace:
    """Return the predictor if it has a latent space.

    Raises
    ------
    ValueError
        If the recipe has none.
    """
    predictor = model.predictor(need_reference=False)
    if not isinstance(predictor, LatentSpace):
        raise ValueError(
            f'The recipe {model.recipe.name!r} has no latent space. Use `recipe="crossfit"` for embedding, neighbors '
            "and labels."
        )
    return predictor

"""Methods of the model that look at cells: latent space, neighbors and labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import ArrayLike

from stimpute._arguments import check_arguments
from stimpute._messages import check_count, missing_key
from stimpute.data._annotations import read_column
from stimpute.model._reference import is_from_reference, read_reference_cells
from stimpute.recipes import LatentSpace

if TYPE_CHECKING:
    from stimpute.model._model import StImputeModel

CELLS_AT_ONCE = 32_768
MIN_WEIGHT = 1e-6  # of a neighbor with a cosine of zero or below


def get_latent_representation(
    self: StImputeModel,
    adata: AnnData | None = None,
    indices: ArrayLike | None = None,
    *,
    dataset: Literal["spatial", "reference"] | None = None,
    batch_size: int | None = None,
) -> np.ndarray:
    """Embed spatial or reference cells in the latent space.

    Parameters
    ----------
    adata
        Spatial or reference cells; all cells that the model was made with if None.
    indices
        Positions of the cells to embed, or a mask of shape (n_cells,); all cells if None.
    dataset
        `"spatial"` or `"reference"`. If None, cells of the reference are recognized by their expression, also in a
        copy or a subset; all others are spatial cells.
    batch_size
        Number of cells that are embedded at once; 32,768 if None. It changes memory, not values.

    Returns
    -------
    float32, shape (n_cells, n_latent), in the order of `indices`.

    Raises
    ------
    TypeError
        If `indices` has neither integers nor truth values.
    IndexError
        If `indices` names a cell that does not exist, or no cell at all.
    ValueError
        If the recipe has no latent space, or the reference lacks genes.

    Examples
    --------
    >>> spatial.obsm["X_stimpute"] = model.get_latent_representation()
    """
    check_arguments(get_latent_representation, locals(), but=("dataset", "indices"))
    check_count(1, batch_size=batch_size)
    predictor = _latent_space(self)
    if not _is_reference(self, adata, dataset):
        cells = self.data.read_cells(adata)
        return _embed(lambda rows: predictor.embed_spatial(cells[rows]), len(cells), indices, batch_size)
    attached = self.data.need_reference()
    given = attached.adata if adata is None else adata
    if given is attached.adata and attached.has_same_cells:
        z = predictor.embed_reference()
        return z[_positions(indices, len(z))]
    return _embed(
        lambda rows: predictor.embed_reference(*read_reference_cells(given[rows], attached)),
        given.n_obs,
        indices,
        batch_size,
    )


def _is_reference(model: StImputeModel, adata: AnnData | None, dataset: str | None) -> bool:
    """Tell whether cells are those of the reference, as the caller says or by their expression."""
    if dataset in ("spatial", "reference"):
        return dataset == "reference"
    if dataset is not None:
        raise ValueError(f'`dataset` is {dataset!r}; expected "spatial", "reference" or None.')
    if adata is None:
        return False
    if model.data.attached is None:
        return adata.shape == model.reference_shape  # it cannot be recognized, and must not be read as spatial cells
    return is_from_reference(adata, model.data.attached)


def _positions(indices: ArrayLike | None, n_cells: int) -> np.ndarray:
    """Return the positions of the chosen cells."""
    positions = np.arange(n_cells)
    if indices is not None:
        chosen = np.asarray(indices)
        if chosen.dtype.kind not in "iub" and chosen.size:
            raise TypeError(f"`indices` has values of type {chosen.dtype}; expected positions of cells, or a mask.")
        try:
            positions = np.atleast_1d(positions[chosen if chosen.size else []])
        except IndexError as error:
            raise IndexError(
                f"`indices` do not fit {n_cells} cells: {error}. Pass positions from 0 to {n_cells - 1}, or a mask of "
                f"shape ({n_cells},)."
            ) from error
    if len(positions) == 0:
        raise IndexError("`indices` names no cell. Pass at least one position, or None for all cells.")
    return positions


def _embed(
    embed: Callable[[np.ndarray], np.ndarray], n_cells: int, indices: ArrayLike | None, batch_size: int | None
) -> np.ndarray:
    """Embed the chosen cells some at a time, each once and in their own order, in which files are read."""
    rows, position = np.unique(_positions(indices, n_cells), return_inverse=True)
    size = batch_size or CELLS_AT_ONCE
    return np.concatenate([embed(rows[start : start + size]) for start in range(0, len(rows), size)])[position]


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

    Examples
    --------
    >>> labels = model.transfer_labels("cell_type")
    >>> spatial.obs["transferred"] = labels["label"]
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
    if any_vote.any():
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

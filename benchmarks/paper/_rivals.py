"""Plain methods that a reviewer would ask for: a few lines each, from a fold to predicted expression."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import numpy as np
import torch
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression, RidgeCV
from sklearn.model_selection import KFold
from sklearn.neighbors import NearestNeighbors

from stimpute import tl
from stimpute.data._knn import nearest_by_cosine
from stimpute.tl import BASELINES, GeneFold

PENALTIES = np.logspace(0, 6, 13)  # of the regression in the reference
WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5)  # of the mean of the panel, where the regression has 1
N_INNER = 5  # folds of the panel, in which both are chosen
OWN_PENALTIES = np.logspace(0, 4, 9)  # of a gene learned from itself
N_NEIGHBORS = 50
N_COMPONENTS = 30
N_SPATIAL_NEIGHBORS = 10
MAX_INPUTS = 100  # that boosting learns a gene from itself with
MAX_BOOSTED = 2000  # reference cells that boosting learns from
ROUNDS = (5, 10, 20, 40, 60)  # of boosting, where folds of the panel choose
BOOSTING = {"max_iter": 60, "max_leaf_nodes": 8, "early_stopping": False, "random_state": 0}
Scores = Callable[[GeneFold, Sequence[float]], Iterator[np.ndarray]]


def standardized(values: np.ndarray) -> np.ndarray:
    """Center and scale columns; a constant column becomes 0."""
    std = values.std(0)
    return (values - values.mean(0)) / np.where(std < 1e-6, 1, std) * (std >= 1e-6)


def with_levels(fold: GeneFold, z_score: np.ndarray) -> np.ndarray:
    """Turn z-scores into expression: mean and standard deviation by a line from the reference to the section."""
    data = fold.dense
    mean = BASELINES["reference mean, calibrated"](fold)[0]
    line = LinearRegression().fit(data.reference.std(0)[:, None], data.spatial.std(0))
    std = line.predict(data.targets.std(0)[:, None]).clip(0)
    return (mean + std * z_score).clip(0)


def panel_mean_scores(fold: GeneFold) -> np.ndarray:
    """Take the mean of the standardized panel, shape (n_cells, 1), with standard deviation 1."""
    return standardized(standardized(fold.dense.spatial).mean(1, keepdims=True))


def ridge_scores(fold: GeneFold, weights: Sequence[float]) -> Iterator[np.ndarray]:
    """Regress each gene on the panel in the reference, apply that to the section, and add the mean of the panel.

    There is one result for each penalty and weight. All genes are divided by one number, so that what the reference
    knows little of is nearer to the mean of the panel.
    """
    data = fold.dense
    inputs, panel = standardized(data.reference), standardized(data.spatial)
    products, targets = inputs.T @ inputs, inputs.T @ standardized(data.targets)
    shared = panel_mean_scores(fold)
    for penalty in PENALTIES:
        scores = panel @ np.linalg.solve(products + penalty * np.eye(len(products)), targets)
        yield from _with_panel_mean(scores, shared, weights)


def boosting_scores(fold: GeneFold, weights: Sequence[float]) -> Iterator[np.ndarray]:
    """Do as :func:`ridge_scores` with boosting: one result for each number of rounds and weight."""
    shared = panel_mean_scores(fold)
    panel = standardized(fold.dense.spatial)
    staged = [list(model.staged_predict(panel)) for model in _boosted(fold)]
    for n_rounds in ROUNDS:
        scores = np.column_stack([stages[n_rounds - 1] for stages in staged])
        yield from _with_panel_mean(scores, shared, weights)


def _with_panel_mean(scores: np.ndarray, shared: np.ndarray, weights: Sequence[float]) -> Iterator[np.ndarray]:
    """Divide all genes by one number, and add the mean of the panel with each weight."""
    scores = scores / max(scores.std(0).mean(), 1e-9)
    yield from (scores + weight * shared for weight in weights)


def tuned(fold: GeneFold, scores_of: Scores, weights: Sequence[float]) -> np.ndarray:
    """Predict with the settings and the slope that predict the panel's own genes best, in folds of the panel."""
    n_folds = min(N_INNER, fold.spatial.n_vars // 2)
    setups = {"spatial_setup": fold.spatial_setup, "reference_setup": fold.reference_setup}
    found = 0.0
    for inner in tl.gene_folds(fold.spatial, fold.reference, n_folds=n_folds, **setups):
        truth = standardized(inner.truth)
        found = found + np.array(
            [
                (tl.metrics.pcc(truth, scores).sum(), (truth * scores).sum(), (scores**2).sum())
                for scores in scores_of(inner, weights)
            ]
        )
    best = found[:, 0].argmax()
    slope = max(found[best, 1], 0) / found[best, 2]
    return with_levels(fold, slope * next(islice(scores_of(fold, weights), best, None)))


def ridge(fold: GeneFold) -> np.ndarray:
    """Regress on the panel in the reference; the folds of the panel decide on penalty and slope."""
    return tuned(fold, ridge_scores, (0.0,))


def ridge_and_panel_mean(fold: GeneFold) -> np.ndarray:
    """Add the mean of the panel to the regression; the folds of the panel decide on its weight, too."""
    return tuned(fold, ridge_scores, WEIGHTS)


def boosting_and_panel_mean(fold: GeneFold) -> np.ndarray:
    """Add the mean of the panel to boosting; the folds of the panel decide on rounds, weight and slope."""
    return tuned(fold, boosting_scores, WEIGHTS)


def panel_mean(fold: GeneFold) -> np.ndarray:
    """Predict the mean of the panel, times the mean correlation of a panel gene with the mean of the others."""
    panel = standardized(fold.dense.spatial)
    others = (panel.sum(1, keepdims=True) - panel) / (panel.shape[1] - 1)
    slope = (standardized(others) * panel).mean(0).mean()
    return with_levels(fold, np.tile(slope * panel_mean_scores(fold), (1, len(fold.targets))))


def knn_over_components(fold: GeneFold) -> np.ndarray:
    """Average the 50 nearest reference cells by cosine over joint principal components."""
    data = fold.dense
    spatial, reference = standardized(data.spatial), standardized(data.reference)
    both = np.vstack([spatial, reference])
    n_components = min(N_COMPONENTS, both.shape[1] - 1)
    embedded = PCA(n_components, random_state=0).fit_transform(both).astype(np.float32)
    return _neighbor_mean(embedded[: len(spatial)], embedded[len(spatial) :], data.targets)


def knn_of_smoothed_reference(fold: GeneFold, n_steps: int = 3, k: int = 15) -> np.ndarray:
    """Smooth the reference by diffusion over its own neighbors, as MAGIC does, then average the nearest cells."""
    data = fold.dense
    reference = standardized(data.reference)
    n_components = min(N_COMPONENTS, reference.shape[1] - 1)
    embedded = PCA(n_components, random_state=0).fit_transform(reference)
    distance, index = NearestNeighbors(n_neighbors=min(k, len(embedded))).fit(embedded).kneighbors(embedded)
    width = np.maximum(distance[:, len(distance[0]) // 3], 1e-6)  # adaptive: the distance to a near neighbor
    affinity = np.exp(-((distance / width[:, None]) ** 2))
    rows = np.repeat(np.arange(len(index)), index.shape[1])
    graph = sparse.csr_matrix((affinity.ravel(), (rows, index.ravel())), shape=(len(index), len(index)))
    graph = graph + graph.T
    step = sparse.diags(1 / np.asarray(graph.sum(1)).ravel()) @ graph
    targets, panel = data.targets, reference
    for _ in range(n_steps):
        targets, panel = step @ targets, step @ panel
    return _neighbor_mean(
        standardized(data.spatial).astype(np.float32), standardized(panel).astype(np.float32), targets
    )


def boosting(fold: GeneFold) -> np.ndarray:
    """Learn each gene from the standardized panel in the reference by gradient boosting; nothing is tuned."""
    panel = standardized(fold.dense.spatial)
    return with_levels(fold, np.column_stack([model.predict(panel) for model in _boosted(fold)]))


def _boosted(fold: GeneFold) -> list[HistGradientBoostingRegressor]:
    data = fold.dense
    rows = np.random.default_rng(0).permutation(len(data.reference))[:MAX_BOOSTED]
    inputs, targets = standardized(data.reference)[rows], standardized(data.targets)[rows]
    return [HistGradientBoostingRegressor(**BOOSTING).fit(inputs, target) for target in targets.T]


def matched_type_mean(fold: GeneFold, labels: Sequence[str]) -> np.ndarray:
    """Predict the mean of the reference type whose panel is most like that of the cell's given type."""
    data = fold.dense
    reference_labels = fold.reference.obs["cell_type"].astype(str).to_numpy()
    own_names, own = _type_means(standardized(data.spatial), np.asarray(labels))
    names, panels = _type_means(standardized(data.reference), reference_labels)
    _, targets = _type_means(data.targets, reference_labels)
    similarity = np.corrcoef(own, panels)[: len(own), len(own) :]
    best = similarity.argmax(1)
    position = {name: best[index] for index, name in enumerate(own_names)}
    return targets[[position[label] for label in labels]]


def own_type_mean(fold: GeneFold, labels: Sequence[str]) -> np.ndarray:
    """Return the mean of the gene ITSELF in the other cells of the type: what labels could give at most."""
    labels = np.asarray(labels)
    result = np.tile(fold.truth.mean(0), (len(fold.truth), 1))
    for label in np.unique(labels):
        cells = labels == label
        if cells.sum() > 1:
            result[cells] = (fold.truth[cells].sum(0) - fold.truth[cells]) / (cells.sum() - 1)
    return result


def own_values(fold: GeneFold) -> np.ndarray:
    """Learn each gene from ITSELF in other cells of the section: what the panel and the positions can give.

    The mean of a ridge regression and of boosting, in five folds over cells, on the panel and on its mean over the
    ten nearest cells. Boosting reads the 100 of these that correlate most with the gene where it learns.
    """
    panel = standardized(fold.dense.spatial)
    coordinates = np.asarray(fold.spatial.obsm["spatial"], dtype=float)
    search = NearestNeighbors(n_neighbors=N_SPATIAL_NEIGHBORS + 1).fit(coordinates)
    niche = panel[search.kneighbors(coordinates)[1][:, 1:]].mean(1)
    inputs = np.hstack([panel, niche])
    result = np.empty(fold.truth.shape)
    for train, test in KFold(5, shuffle=True, random_state=0).split(inputs):
        linear = RidgeCV(OWN_PENALTIES).fit(inputs[train], fold.truth[train])
        result[test] = linear.predict(inputs[test]).reshape(len(test), -1) / 2
        for gene, target in enumerate(fold.truth[train].T):
            best = np.sort(np.argsort(-np.abs(standardized(inputs[train]).T @ target))[:MAX_INPUTS])
            boosted = HistGradientBoostingRegressor(**BOOSTING).fit(inputs[train][:, best], target)
            result[test, gene] += boosted.predict(inputs[test][:, best]) / 2
    return result


def _neighbor_mean(query: np.ndarray, base: np.ndarray, targets: np.ndarray) -> np.ndarray:
    k = min(N_NEIGHBORS, len(base))
    index, _ = nearest_by_cosine(torch.from_numpy(query), torch.from_numpy(base), k)
    return sum(targets[column] for column in index.T) / k


def _type_means(values: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    names = np.unique(labels)
    return names, np.array([values[labels == name].mean(0) for name in names])


RIVALS = {
    "kNN over principal components": knn_over_components,
    "kNN of a smoothed reference": knn_of_smoothed_reference,
    "mean of the visible panel": panel_mean,
    "ridge": ridge,
    "ridge + mean of the visible panel": ridge_and_panel_mean,
}
BOOSTED = {"boosting": boosting, "boosting + mean of the visible panel": boosting_and_panel_mean}

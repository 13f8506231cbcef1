"""A complete recipe in one file: ridge regression from the shared genes to any gene, learned in the reference.

Every gene is standardized in both datasets, so that weights that were learned in one can be used in the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import pandas as pd
from torch import nn

from stimpute.data._coexpression import Coexpression
from stimpute.data._normalize import column_correlation, standardize
from stimpute.recipes import (
    Capabilities,
    CellChunk,
    DataSizes,
    GeneFolds,
    GeneSplit,
    OutputOptions,
    PerFold,
    PhaseTrainer,
    Predictor,
    Recipe,
    Reference,
    Shape,
    SpatialCells,
    register_recipe,
)


@dataclass(frozen=True)
class LinearFit:
    """Everything that is learned: arrays with declared shapes, which are saved with the model."""

    folds: GeneFolds
    target_sum: PerFold  # total that cells are scaled to
    mean: Annotated[np.ndarray, Shape("n_shared", about="mean of each shared gene")]
    std: Annotated[np.ndarray, Shape("n_shared", about="standard deviation of each shared gene")]
    predicted: Annotated[np.ndarray, Shape("n_shared", about="correlation with the prediction in the reference")]
    observed: Annotated[np.ndarray, Shape("n_shared", about="the same in the spatial cells, when held out")]


@dataclass(frozen=True)
class LinearCellEncoder:
    """Standardize cells with a fold of the genes held out; holds nothing of the reference."""

    split: GeneSplit
    target_sum: float
    mean: np.ndarray
    std: np.ndarray

    def encode(self, chunk: CellChunk) -> np.ndarray:
        """Standardize the shared genes, shape (n_cells, n_shared)."""
        cells = chunk.cells[chunk.rows]
        return standardize(cells.log_normalized(self.split, self.target_sum), self.mean, self.std)


@dataclass(frozen=True)
class LinearGeneBlock:
    """Table, weights and level of some genes; holds nothing of the reference cells."""

    table: pd.DataFrame
    weights: np.ndarray
    mean: np.ndarray
    std: np.ndarray

    def predict(self, cells: np.ndarray, options: OutputOptions) -> dict[str, np.ndarray]:
        """Predict the genes, shape (n_cells, n_targets)."""
        predicted = self.mean + self.std * (cells @ self.weights.T)
        return {"X": np.maximum(predicted, 0).astype(np.float32)}


class LinearPredictor(Predictor):
    """The fit together with the reference, from which the weights of any gene are computed."""

    def __init__(self, fit: LinearFit, reference: Reference | None, penalty: float) -> None:
        self.fit = fit
        self.folds = fit.folds
        self.penalty = penalty
        if reference is not None:  # without it, a model can be loaded, but no gene can be predicted
            self.reference = reference

    def cell_encoder(self, fold: int | None) -> LinearCellEncoder:
        """Return the encoder of cells with a fold held out."""
        return LinearCellEncoder(self.folds.split(fold), self.fit.target_sum[fold], self.fit.mean, self.fit.std)

    def gene_block(self, targets: np.ndarray, fold: int | None) -> LinearGeneBlock:
        """Compute the weights of target genes, and their reliability from the genes that are not held out."""
        split = self.folds.split(fold)
        weights, correlation = regress(self.reference, targets, split, self.penalty)
        transfer = self.fit.observed[split.inputs].mean() / max(self.fit.predicted[split.inputs].mean(), 1e-6)
        table = pd.DataFrame({"reliability": np.clip(transfer * correlation, -1, 1), "n_edges": len(split.inputs)})
        expression = self.reference.expression
        return LinearGeneBlock(table, weights, expression.mean[targets], expression.std[targets])


@register_recipe
@dataclass(frozen=True)
class LinearRecipe(Recipe):
    """Hyperparameters of the method, which are the fields, and its steps."""

    name: ClassVar[str] = "linear"
    capabilities: ClassVar[Capabilities] = Capabilities(max_relations=0)  # the defaults are no to everything else
    fit_type: ClassVar[type] = LinearFit

    penalty: float = 0.1
    n_folds: int = 5

    def __post_init__(self) -> None:
        if not self.penalty > 0:
            raise ValueError(f"`penalty` is {self.penalty}; expected a number above 0.")

    def build(self, sizes: DataSizes) -> dict[str, nn.Module]:
        """Build no network: there is none to train."""
        return {}

    def fit(self, cells: SpatialCells, reference: Reference, module: nn.Module, trainer: PhaseTrainer) -> LinearFit:
        """Standardize the spatial cells, and predict each shared gene with its fold held out."""
        folds = GeneFolds.draw(len(reference.shared), self.n_folds, trainer.seed)
        target_sum = PerFold.compute(folds, cells.target_sum)
        expression = cells.log_normalized(folds.split(None), target_sum.of_all)
        mean = expression.mean(axis=0)
        std = expression.std(axis=0)
        predicted = np.zeros(len(mean))
        observed = np.zeros(len(mean))
        for fold in range(len(folds)):
            split = folds.split(fold)
            genes = split.held_out
            x = standardize(cells.log_normalized(split, target_sum[fold]), mean, std)
            weights, predicted[genes] = regress(reference, reference.shared[genes], split, self.penalty)
            observed[genes] = column_correlation(x @ weights.T, x[:, genes])
        return LinearFit(folds, target_sum, mean, std, predicted, observed)

    def predictor(self, fit: LinearFit, reference: Reference | None, module: nn.Module) -> LinearPredictor:
        """Bring the fit and the reference together."""
        return LinearPredictor(fit, reference, self.penalty)


def regress(reference: Reference, targets: np.ndarray, split: GeneSplit, penalty: float) -> tuple[np.ndarray, ...]:
    """Compute ridge weights, 0 for held-out genes, and the correlation of each target with its prediction."""
    coexpression = Coexpression(reference.expression, reference.shared)
    inputs = split.inputs
    among_inputs = coexpression.similarity(reference.shared[inputs])[:, inputs]
    with_targets = coexpression.similarity(targets)[:, inputs]
    solution = np.linalg.solve(among_inputs + penalty * np.eye(len(inputs)), with_targets.T).T
    weights = np.zeros((len(targets), len(reference.shared)), np.float32)
    weights[:, inputs] = solution
    return weights, np.sqrt((solution * with_targets).sum(axis=1))

"""Everything that `paper` learns beside its networks, as typed arrays with declared shapes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np

from stimpute.data._arrays import Shape
from stimpute.data._folds import GeneFolds, PerFold
from stimpute.data._spatial import ProbeCells


@dataclass(frozen=True)
class PaperPreparation:
    """What is known before training.

    Attributes
    ----------
    folds
        Folds of the shared genes.
    alpha
        Share of the graph network in the output (eq. 12).
    target_sum
        Total that cells are scaled to, for each fold that is held out.
    reference_factor
        Factor on the totals of reference cells, for each fold that is held out.
    probe
        Cells in which the predicted profile of a gene is computed.
    """

    folds: GeneFolds
    alpha: Annotated[float, Shape(about="share of the graph network in the output")]
    target_sum: PerFold
    reference_factor: PerFold
    probe: ProbeCells


@dataclass(frozen=True)
class PaperFit:
    """Everything that `paper` learns beside its networks.

    Attributes
    ----------
    preparation
        What is known before training.
    reliability
        Out-of-fold score of the shared genes, shape (n_shared,).
    """

    preparation: PaperPreparation
    reliability: Annotated[np.ndarray, Shape("n_shared", about="predicted score of each shared gene")]

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
    """What is known before training."""

    folds: GeneFolds
    alpha: Annotated[float, Shape(about="share of the graph network in the output")]
    target_sum: PerFold
    reference_factor: PerFold
    probe: ProbeCells


@dataclass(frozen=True)
class PaperFit:
    """Everything that `paper` learns beside its networks."""

    preparation: PaperPreparation
    reliability: Annotated[np.ndarray, Shape("n_shared", about="predicted score of each shared gene")]

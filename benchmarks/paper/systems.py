"""Every system of the paper's comparison, and ours, on the same folds."""

from __future__ import annotations

import pandas as pd
from _pairs import Pair
from benchmarks.paper._study import Study
from benchmarks.paper._systems_page import show
from peers import _measure

ORDER = 20


def measure(pair: Pair, seed: int, part: str) -> pd.DataFrame:
    """Measure the folds of a system that are not measured yet, each in a process of its own, and score it.

    The error of a system is kept, and shown in the table; that it is not installed is none, and raises.
    """
    for folds in _measure.missing(part, pair.name, seed):
        try:
            _measure.measure(part, pair.name, seed, folds)
        except _measure.NotInstalledError:
            raise
        except RuntimeError:
            break
    return _measure.scores(part, pair.name, seed)


STUDY = Study(
    title="Every system of the paper's comparison",
    paper="Fig. 2, S1, S2, S6",
    question="How accurate are the systems of the paper's comparison on genes that none of them has seen?",
    measure=measure,
    parts=_measure.SYSTEMS,
    show=show,
    one_seed=("uniport_3000", "transimp_lr_2000"),
    n_cells=_measure.N_CELLS,
)

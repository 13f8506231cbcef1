"""A hiding: some measured genes are treated exactly as an unmeasured gene will be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import KFold


@dataclass(frozen=True)
class Hiding:
    """Which genes of the panel may be seen, and which are predicted instead.

    Attributes
    ----------
    visible
        Positions in the panel, sorted.
    hidden
        The other positions, sorted.
    """

    visible: np.ndarray
    hidden: np.ndarray

    @classmethod
    def nothing(cls, n_genes: int) -> Hiding:
        """The hiding that hides nothing: how a gene outside the panel is predicted."""
        return cls(np.arange(n_genes), np.empty(0, dtype=int))


def split_genes(n_genes: int, n_hidings: int, seed: int = 0) -> list[Hiding]:
    """Hide every gene of the panel once.

    Parameters
    ----------
    n_genes
        Genes of the panel.
    n_hidings
        Number of hidings; reduced where the panel is smaller.
    seed
        Seed of the shuffle.

    Raises
    ------
    ValueError
        If there are not two hidings: a gene is predicted from those that are not hidden with it.
    """
    if n_hidings < 2:
        raise ValueError(f"`n_hidings` is {n_hidings}; expected at least 2.")
    folds = KFold(min(n_hidings, n_genes), shuffle=True, random_state=seed)
    return [Hiding(visible, hidden) for visible, hidden in folds.split(np.arange(n_genes))]

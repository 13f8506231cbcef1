"""Split the shared genes into folds; a fold's genes are held out and predicted like unmeasured genes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from sklearn.model_selection import KFold

from stimpute._messages import check_count
from stimpute.data._arrays import Shape


@dataclass(frozen=True)
class GeneSplit:
    """Genes that may be read, and genes that are held out.

    Attributes
    ----------
    inputs
        Positions among the shared genes, sorted.
    held_out
        The other positions, sorted.
    """

    inputs: np.ndarray
    held_out: np.ndarray

    @classmethod
    def nothing_held_out(cls, n_genes: int) -> GeneSplit:
        """Make every gene an input, as for the prediction of an unmeasured gene."""
        return cls(np.arange(n_genes), np.empty(0, dtype=int))

    def mask(self) -> np.ndarray:
        """Return 1 for input genes and 0 for held-out genes, float32, shape (n_genes,)."""
        mask = np.ones(len(self.inputs) + len(self.held_out), np.float32)
        mask[self.held_out] = 0
        return mask


@dataclass(frozen=True)
class GeneFolds:
    """Assignment of every shared gene to one fold."""

    fold_of_gene: Annotated[np.ndarray, Shape("n_shared", index_of="n_folds", about="fold of each shared gene")]

    @classmethod
    def draw(cls, n_genes: int, n_folds: int, seed: int = 0) -> GeneFolds:
        """Assign genes to folds at random.

        Parameters
        ----------
        n_genes
            Number of shared genes.
        n_folds
            Number of folds; reduced where there are fewer genes.
        seed
            Seed of the shuffle.

        Raises
        ------
        ValueError
            If there are fewer than two folds.
        """
        check_count(2, n_folds=n_folds)
        fold_of_gene = np.empty(n_genes, dtype=int)
        splitter = KFold(min(n_folds, n_genes), shuffle=True, random_state=seed)
        for fold, (_, held_out) in enumerate(splitter.split(np.arange(n_genes))):
            fold_of_gene[held_out] = fold
        return cls(fold_of_gene)

    def __len__(self) -> int:
        return int(self.fold_of_gene.max()) + 1

    def split(self, fold: int | None) -> GeneSplit:
        """Return the input and held-out genes of a fold; with None, nothing is held out."""
        if fold is None:
            return GeneSplit.nothing_held_out(len(self.fold_of_gene))
        held_out = self.fold_of_gene == fold
        return GeneSplit(np.flatnonzero(~held_out), np.flatnonzero(held_out))


@dataclass(frozen=True)
class PerFold:
    """A number for each fold, and one for the case that nothing is held out."""

    of_fold: Annotated[np.ndarray, Shape("n_folds", about="scaling of cells for each fold")]
    of_all: Annotated[float, Shape(about="scaling of cells with nothing held out")]

    @classmethod
    def compute(cls, folds: GeneFolds, value_of: Callable[[GeneSplit], float]) -> PerFold:
        """Compute the number of each fold from its input and held-out genes."""
        of_fold = [value_of(folds.split(fold)) for fold in range(len(folds))]
        return cls(np.array(of_fold), value_of(folds.split(None)))

    def __getitem__(self, fold: int | None) -> float:
        return self.of_all if fold is None else float(self.of_fold[fold])

"""Hold what a method may see with a fold of the genes held out, and the truth."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from anndata import AnnData

from stimpute.data._expression import read_expression
from stimpute.data._folds import GeneSplit
from stimpute.data._genes import expressed_shared_genes, genes_in_totals
from stimpute.data._reference import ReferenceDataset, ReferenceExpression
from stimpute.data._spatial import SpatialCells
from stimpute.model._setup import read_datasets


@dataclass(frozen=True)
class DenseData:
    """Log-normalized arrays of one fold, for simple methods; of several references the first one.

    Attributes
    ----------
    spatial
        Input genes of the spatial cells, shape (n_cells, n_inputs).
    reference
        The same genes of the reference cells, shape (n_reference, n_inputs).
    targets
        Genes to predict, in the reference cells, shape (n_reference, n_targets).
    """

    spatial: np.ndarray
    reference: np.ndarray
    targets: np.ndarray

    @classmethod
    def read(
        cls,
        cells: SpatialCells,
        reference: ReferenceDataset,
        shared: np.ndarray,
        targets: np.ndarray,
        split: GeneSplit,
    ) -> DenseData:
        """Read input genes and targets.

        Parameters
        ----------
        cells, reference
            The two datasets.
        shared, targets
            Positions of the shared genes, and of the genes to predict, in the reference.
        split
            Input and held-out genes among the shared genes.
        """
        spatial = cells.log_normalized(split, cells.target_sum(split))
        inputs = shared[split.inputs]
        return cls(spatial[:, split.inputs], reference.dense(inputs), reference.dense(targets))


@dataclass(frozen=True)
class GeneFold:
    """What a method may see in one fold, and the truth that it may not see.

    Attributes
    ----------
    number
        Number of the fold.
    spatial
        The spatial data without the held-out genes.
    reference
        The reference with all genes.
    targets
        Names of the held-out genes, shape (n_targets,).
    truth
        Their measured values, log-normalized by totals over the other genes, shape (n_cells, n_targets).
    spatial_setup, reference_setup
        Arguments of `setup_anndata` for `spatial` and `reference`.
    """

    number: int
    spatial: AnnData
    reference: AnnData
    targets: list[str]
    truth: np.ndarray
    spatial_setup: dict[str, Any]
    reference_setup: dict[str, Any]

    @cached_property
    def dense(self) -> DenseData:
        """Log-normalized arrays of the fold."""
        with genes_were_reported():
            return self._read_dense()

    def _read_dense(self) -> DenseData:
        spatial = read_expression(self.spatial, expression=self.spatial_setup["expression"])
        reference = read_expression(self.reference, expression=self.reference_setup["expression"])
        dataset, _ = read_datasets(self.reference, self.reference_setup.get("dataset_key"))
        main = ReferenceExpression(reference, dataset).datasets[0]
        shared = expressed_shared_genes(spatial, reference)
        cells = SpatialCells.from_matrix(spatial, genes_in_totals(spatial, reference, shared), shared)
        nothing_held_out = GeneSplit.nothing_held_out(len(shared))
        positions = reference.genes.get_indexer(shared)
        targets = reference.genes.get_indexer(self.targets)
        return DenseData.read(cells, main, positions, targets, nothing_held_out)


@contextlib.contextmanager
def genes_were_reported() -> Iterator[None]:
    """Ignore warnings on genes that `gene_folds` has already given for all folds."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*shared gene.*|.*match by name.*", UserWarning)
        yield

"""Notice that cells are no longer what they were when they were first read, by a checksum of each."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from pandas.util import hash_array
from scipy import sparse

from stimpute.data._normalize import weighted_totals

TOLERANCE = 1e-6  # relative: sums of the same values in another order, or on another machine, differ by less
WHY = (
    "Values or names were changed, `X` was replaced, or its file was written again or removed. Open the file again, or "
    "copy the AnnData if it is in memory. Then impute the new AnnData, `model.impute(adata)`; or set it up, "
    "`StImputeModel.setup_anndata(adata)`, and make a new model."
)


class ChangedDataError(ValueError):
    """Expression is not what it was when it was first read."""


@contextlib.contextmanager
def readable_data(*paths: str) -> Iterator[None]:
    """Turn whatever a reader raises for files that were moved, removed or damaged into one error that names them.

    Nothing but reading belongs into the block.

    Parameters
    ----------
    paths
        What is read.

    Raises
    ------
    ChangedDataError
        For every error but those that are clear: this one, and MemoryError.
    """
    try:
        yield
    except (ChangedDataError, MemoryError):
        raise
    except Exception as error:  # readers of HDF5 and zarr raise anything for damaged files
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        where = "".join(f"{path}: " for path in paths if path not in reason)
        raise ChangedDataError(
            f"Data that are not in memory cannot be read: {where}{reason}. Expected their file as it was when it was "
            "opened. Put it back, or open it again and pass the new AnnData: `model.impute(adata)`."
        ) from error


def gene_weights(genes: pd.Index) -> np.ndarray:
    """Return a number from 1 to 2 for each gene, which depends on its name alone, shape (n_genes,)."""
    return 1 + hash_array(genes.to_numpy(dtype=object), categorize=False) / 2.0**64


def cell_checksums(values: sparse.csr_matrix, weights: np.ndarray) -> np.ndarray:
    """Sum the weighted values of each cell, shape (n_cells,).

    The sums depend neither on the order of the genes nor on how the matrix is stored.

    Raises
    ------
    ChangedDataError
        If the matrix has other columns than there are weights.
    """
    n_genes = values.shape[1]
    if n_genes != len(weights) or (len(values.indices) and values.indices.max() >= n_genes):
        raise ChangedDataError(f"Expression of {len(weights)} genes was expected, and that of others was found. {WHY}")
    return weighted_totals(values, weights)


def changed_cells(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Find the cells whose checksums differ."""
    return np.flatnonzero(~np.isclose(found, expected, rtol=TOLERANCE, atol=0))


@dataclass(frozen=True)
class RowChecksums:
    """Checksums of consecutive or chosen rows of a matrix, with which they are compared when they are read.

    Attributes
    ----------
    weights
        See :func:`gene_weights`, shape (n_genes,).
    expected
        Checksums, shape (n_rows,).
    """

    weights: np.ndarray
    expected: np.ndarray

    def __getitem__(self, rows: np.ndarray | slice) -> RowChecksums:
        return RowChecksums(self.weights, self.expected[rows])

    def check(self, values: sparse.csr_matrix) -> None:
        """Compare rows that were read with what is expected.

        Raises
        ------
        ChangedDataError
            If they differ.
        """
        self.compare(cell_checksums(values, self.weights))

    def compare(self, found: np.ndarray) -> None:
        """Compare checksums with what is expected, like :meth:`check`."""
        if len(found) != len(self.expected):
            raise ChangedDataError(f"{len(self.expected)} cells were expected, and {len(found)} were found. {WHY}")
        n_changed = len(changed_cells(found, self.expected))
        if n_changed:
            raise ChangedDataError(
                f"The expression of {n_changed} of {len(found)} cells that were read now is not what it was when they "
                f"were first read. {WHY}"
            )


@dataclass(frozen=True)
class KnownCells:
    """Cells as they were when they were set up.

    Attributes
    ----------
    cells, genes
        Names.
    checksums
        Of all cells, or of the first ones if the others were not read, shape (n_checked,).
    stored
        What their file held, see :func:`stimpute.data._stored.read_stored`.
    """

    cells: pd.Index
    genes: pd.Index
    checksums: np.ndarray
    stored: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def check(self, cells: pd.Index, genes: pd.Index, checksums: np.ndarray) -> None:
        """Compare the cells that have the same names.

        Cells of other names are not known, and nothing is compared if genes were added, removed or renamed.

        Parameters
        ----------
        cells, genes
            Names now.
        checksums
            Of all cells, or of the first ones.

        Raises
        ------
        ChangedDataError
            If values differ.
        """
        if len(genes.symmetric_difference(self.genes)):
            return
        position = np.arange(len(cells))
        if not cells.equals(self.cells):
            if not self.cells.is_unique:
                return
            position = self.cells.get_indexer(cells)
        position = position[: len(checksums)]
        known = np.flatnonzero((position >= 0) & (position < len(self.checksums)))
        changed = known[changed_cells(checksums[known], self.checksums[position[known]])]
        if len(changed):
            raise ChangedDataError(
                f"The expression of {len(changed)} cells, the first of them {cells[changed[0]]!r}, is not what it was "
                f"when the data were set up. {WHY}"
            )

"""The reference cells: sparse, log-normalised once, read by chunks of genes."""

from __future__ import annotations

import hashlib
from functools import cached_property

import numpy as np
import pandas as pd
from scipy import sparse

from stimpute.data._normalize import cell_totals, log_normalise_sparse, typical_total


class ReferenceBank:
    """Log-normalised reference expression, stored gene by gene.

    Parameters
    ----------
    expression
        Counts or normalised values, shape (n_cells, n_genes), dense or sparse.
    genes
        Names, shape (n_genes,).
    counts
        Whether `expression` are counts. Totals are over the whole transcriptome, for nothing of it is hidden.
    """

    def __init__(self, expression: np.ndarray | sparse.spmatrix, genes: pd.Index, *, counts: bool) -> None:
        self._given = expression  # not a copy; what the fingerprint is of
        csr = sparse.csr_matrix(expression)
        if counts:
            totals = cell_totals(csr)
            csr = log_normalise_sparse(csr, totals, typical_total(totals))
        self.genes = pd.Index(genes)
        self.by_gene = csr.astype(np.float32, copy=False).T.tocsr()  # [genes, cells]: columns of the reference are rows
        self.by_gene.sort_indices()

    @property
    def n_cells(self) -> int:
        """Number of reference cells."""
        return self.by_gene.shape[1]

    @property
    def n_genes(self) -> int:
        """Number of reference genes."""
        return self.by_gene.shape[0]

    @cached_property
    def mean(self) -> np.ndarray:
        """Mean of every gene, float64, shape (n_genes,)."""
        return np.asarray(self.by_gene.mean(1), dtype=np.float64).ravel()

    @cached_property
    def std(self) -> np.ndarray:
        """Standard deviation of every gene, float64, shape (n_genes,)."""
        squares = self.by_gene.astype(np.float64)
        squares.data **= 2
        return np.sqrt(np.maximum(np.asarray(squares.mean(1)).ravel() - self.mean**2, 0))

    @cached_property
    def detection(self) -> np.ndarray:
        """Share of cells in which a gene is seen, shape (n_genes,)."""
        return (np.diff(self.by_gene.indptr) - self._explicit_zeros) / self.n_cells

    @property
    def _explicit_zeros(self) -> np.ndarray:
        zeros = sparse.csr_matrix((self.by_gene.data == 0, self.by_gene.indices, self.by_gene.indptr))
        return np.asarray(zeros.sum(1)).ravel()

    def dense(self, genes: np.ndarray) -> np.ndarray:
        """Expression of some genes in every reference cell, float32, shape (n_cells, n_chosen)."""
        return np.ascontiguousarray(self.by_gene[genes].toarray().T)

    def fingerprint(self) -> str:
        """Digest of names and given values, independent of the order of the genes and of how they are stored.

        Not of the log-normalised values, whose last bits differ between machines.
        """
        order = np.argsort(self.genes.to_numpy().astype(str))
        columns = sparse.csc_matrix(self._given)[:, order]
        columns.sum_duplicates()
        columns.eliminate_zeros()
        digest = hashlib.blake2b(digest_size=16)
        digest.update("\n".join(self.genes[order].astype(str)).encode())
        digest.update(np.int64(self.n_cells).tobytes())
        for part, kind in ((columns.indptr, np.int64), (columns.indices, np.int64), (columns.data, np.float32)):
            digest.update(part.astype(kind).tobytes())
        return digest.hexdigest()

"""Hold the reference: sparse log-normalized expression, the shared genes, and relations between genes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

from stimpute.data._expression import ExpressionMatrix

if TYPE_CHECKING:
    from stimpute.data._relations import Relation


class ReferenceExpression:
    """Log-normalized reference expression, stored gene by gene.

    Totals are over the whole transcriptome, since none of it is held out.

    Parameters
    ----------
    matrix
        Counts or normalized values with gene names.
    """

    def __init__(self, matrix: ExpressionMatrix) -> None:
        self.genes = matrix.genes
        self.target_sum = matrix.median_total()
        self.by_gene = matrix.log_normalized(
            self.target_sum
        ).T.tocsr()  # genes × cells: rows of genes are read by chunks
        self.by_gene.sort_indices()

    @property
    def n_cells(self) -> int:
        """Return the number of reference cells."""
        return self.by_gene.shape[1]

    @property
    def n_genes(self) -> int:
        """Return the number of reference genes."""
        return self.by_gene.shape[0]

    @cached_property
    def mean(self) -> np.ndarray:
        """Compute the mean of every gene, float64, shape (n_genes,)."""
        return np.asarray(self.by_gene.mean(1), dtype=np.float64).ravel()

    @cached_property
    def std(self) -> np.ndarray:
        """Compute the standard deviation of every gene, float64, shape (n_genes,)."""
        squares = self.by_gene.astype(np.float64)
        squares.data **= 2
        variance = np.asarray(squares.mean(1)).ravel() - self.mean**2
        return np.sqrt(np.maximum(variance, 0))

    @cached_property
    def detection_rate(self) -> np.ndarray:
        """Compute the share of cells that express a gene, shape (n_genes,)."""
        zeros = sparse.csr_matrix((self.by_gene.data == 0, self.by_gene.indices, self.by_gene.indptr))
        n_explicit_zeros = np.asarray(zeros.sum(1)).ravel()
        return (np.diff(self.by_gene.indptr) - n_explicit_zeros) / self.n_cells

    def dense(self, genes: np.ndarray) -> np.ndarray:
        """Return the expression of some genes in every reference cell, float32, shape (n_cells, n_chosen)."""
        return np.ascontiguousarray(self.by_gene[genes].toarray().T)


@dataclass(frozen=True)
class Reference:
    """Reference expression with what a method needs to know of its genes.

    Attributes
    ----------
    expression
        Log-normalized expression.
    shared
        Positions of the shared genes among the reference genes, shape (n_shared,).
    relations
        Relations between genes, by name.
    """

    expression: ReferenceExpression
    shared: np.ndarray
    relations: Mapping[str, Relation]

    def position_among_shared(self, targets: np.ndarray) -> np.ndarray:
        """Find each target gene among the shared genes; -1 for the others, shape (n_targets,)."""
        return pd.Index(self.shared).get_indexer(targets)

    def n_cells_expressing(self, targets: np.ndarray) -> np.ndarray:
        """Count the reference cells that express each target gene, shape (n_targets,)."""
        return self.expression.detection_rate[targets] * self.expression.n_cells


def fingerprint(matrix: ExpressionMatrix, relations: Mapping[str, Relation]) -> str:
    """Compute a digest of the expression and of the relations of a reference.

    It depends neither on the order of the genes nor on how the matrix is stored. It is of the values as given, since
    the last bits of log-normalized values differ between machines.
    """
    order = np.argsort(matrix.genes.to_numpy().astype(str))
    digest = hashlib.blake2b(_expression_digest(matrix, order).encode(), digest_size=16)
    for name, relation in sorted(relations.items()):
        digest.update(name.encode())
        for part in relation.digest_parts(order):
            digest.update(part)
    return digest.hexdigest()


def _expression_digest(matrix: ExpressionMatrix, order: np.ndarray) -> str:
    columns = sparse.csc_matrix(matrix.values)[:, order]
    columns.sum_duplicates()
    columns.eliminate_zeros()
    digest = hashlib.blake2b(digest_size=16)
    digest.update("\n".join(matrix.genes[order].astype(str)).encode())
    digest.update(np.int64(matrix.values.shape[0]).tobytes())
    digest.update(columns.indptr.astype(np.int64).tobytes())
    digest.update(columns.indices.astype(np.int64).tobytes())
    digest.update(columns.data.astype(np.float32).tobytes())
    return digest.hexdigest()

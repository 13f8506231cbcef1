"""Relations between genes: how much a gene should listen to each gene of the panel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from anndata import AnnData
from scipy import sparse

from stimpute.data._reference import ReferenceBank

COEXPRESSION = "coexpression"


class Relation(Protocol):
    """A similarity between any reference gene and the genes of the panel."""

    def similarity(self, targets: np.ndarray) -> np.ndarray:
        """Similarity of target genes (positions in the reference) to the panel, shape (n_targets, n_panel)."""

    def knows(self, targets: np.ndarray) -> np.ndarray:
        """Whether a target's similarities are the relation's own, not the fallback's, shape (n_targets,)."""

    def inputs(self, order: np.ndarray) -> list[bytes]:
        """What the relation was made from, genes in the given order, to recognise it by."""


@dataclass(frozen=True)
class Coexpression:
    """Cosine of expression over the reference cells (eq. 5); of centred expression, a correlation.

    Attributes
    ----------
    bank
        The reference.
    panel
        Positions of the panel's genes in the reference, shape (n_panel,).
    centred
        Whether profiles are centred first.
    """

    bank: ReferenceBank
    panel: np.ndarray
    centred: bool = True

    @cached_property
    def _sources(self) -> np.ndarray:
        x = self.bank.dense(self.panel).astype(np.float64)
        x -= x.mean(0) if self.centred else 0
        return (x / np.maximum(np.linalg.norm(x, axis=0), 1e-12)).astype(np.float32)

    def similarity(self, targets: np.ndarray) -> np.ndarray:
        """See :class:`Relation`; a gene that is constant in the reference is similar to none."""
        # Sources are centred, so centring the targets too would change nothing of the product.
        mean, std = self.bank.mean[targets], self.bank.std[targets]
        norm = np.sqrt(self.bank.n_cells * (std**2 + (0 if self.centred else 1) * mean**2))
        product = self.bank.by_gene[targets] @ self._sources
        return (product / np.maximum(norm, 1e-6)[:, None]).astype(np.float32)

    def knows(self, targets: np.ndarray) -> np.ndarray:
        """Every gene has an expression profile."""
        return np.ones(len(targets), dtype=bool)

    def inputs(self, order: np.ndarray) -> list[bytes]:
        """Nothing but the expression."""
        return []


@dataclass(frozen=True)
class Vectors:
    """Cosine of gene vectors (eq. 4), and co-expression where either gene has none (eq. 6).

    Attributes
    ----------
    vectors
        Shape (n_genes, n_dimensions).
    known
        Which genes have a vector, shape (n_genes,).
    fallback
        Answers for the others.
    centred
        Whether the mean vector is taken away first. Protein language models put all proteins within a few degrees of
        one another; what tells them apart is the rest.
    """

    vectors: np.ndarray
    known: np.ndarray
    fallback: Coexpression
    centred: bool = True

    @cached_property
    def _mean(self) -> np.ndarray:
        if not self.centred or not self.known.any():
            return np.zeros(self.vectors.shape[1], np.float32)
        return self.vectors[self.known].mean(0, dtype=np.float64).astype(np.float32)  # whatever the order of the genes

    def _unit(self, genes: np.ndarray) -> np.ndarray:
        x = self.vectors[genes] - self._mean
        return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)

    def similarity(self, targets: np.ndarray) -> np.ndarray:
        """See :class:`Relation`."""
        panel = self.fallback.panel
        both = self.known[targets][:, None] & self.known[panel][None]
        other = self.fallback.similarity(targets) if not both.all() else 0
        return np.where(both, self._unit(targets) @ self._unit(panel).T, other).astype(np.float32)

    def knows(self, targets: np.ndarray) -> np.ndarray:
        """Genes that have a vector."""
        return self.known[targets]

    def inputs(self, order: np.ndarray) -> list[bytes]:
        """The vectors."""
        return [self.known[order].tobytes(), self.vectors[order].astype(np.float32).tobytes()]


@dataclass(frozen=True)
class Edges:
    """Weights that a user gave, and co-expression for a gene without any edge to the panel.

    Attributes
    ----------
    graph
        Sparse weights, rows listen to columns, shape (n_genes, n_genes).
    fallback
        Answers for genes without edges.
    """

    graph: sparse.csr_matrix
    fallback: Coexpression

    def similarity(self, targets: np.ndarray) -> np.ndarray:
        """See :class:`Relation`."""
        own = self.graph[targets][:, self.fallback.panel].toarray()
        return np.where((own > 0).any(1, keepdims=True), own, self.fallback.similarity(targets)).astype(np.float32)

    def knows(self, targets: np.ndarray) -> np.ndarray:
        """Genes with at least one edge from the panel."""
        return np.asarray((self.graph[targets][:, self.fallback.panel] > 0).sum(1)).ravel() > 0

    def inputs(self, order: np.ndarray) -> list[bytes]:
        """The edges."""
        edges = self.graph[order][:, order].tocsr()
        edges.sort_indices()
        parts = (edges.indptr.astype(np.int64), edges.indices.astype(np.int64), edges.data.astype(np.float32))
        return [part.tobytes() for part in parts]


def adjacency(similarity: np.ndarray, own: np.ndarray, visible: np.ndarray, n_edges: int | None = None) -> np.ndarray:
    """Row-normalised weights with which target genes listen to visible genes.

    Edges start at visible measured genes only: a hidden gene is heard by nobody, and what a gene hears does not
    depend on which other genes are asked for.

    Parameters
    ----------
    similarity
        Shape (n_targets, n_panel).
    own
        Position of each target in the panel, -1 outside of it, shape (n_targets,). A gene never hears itself.
    visible
        Positions of the visible genes in the panel, shape (n_visible,).
    n_edges
        Keep only so many of the most similar genes; all if None.

    Returns
    -------
    float32, shape (n_targets, n_visible); rows sum to 1.
    """
    weights = np.maximum(similarity[:, visible], 1e-3)
    weights[own[:, None] == visible[None]] = 0
    if n_edges is not None and n_edges < len(visible):
        cut = np.partition(weights, -n_edges, axis=1)[:, -n_edges, None]
        weights = np.where(weights >= cut, weights, 0)
    return (weights / np.maximum(weights.sum(1, keepdims=True), 1e-12)).astype(np.float32)


def read_relations(
    reference: AnnData,
    bank: ReferenceBank,
    panel: np.ndarray,
    names: str | Sequence[str] = "auto",
    *,
    centred: bool = True,
) -> dict[str, Relation]:
    """The relations that :mod:`stimpute.pp` left in the reference.

    Parameters
    ----------
    reference
        AnnData with `uns["stimpute"]["relations"]`, `varm` and `varp`.
    bank
        Its expression.
    panel
        Positions of the panel's genes in the reference.
    names
        Which relations; `"auto"` takes co-expression and everything that is registered.
    centred
        See :class:`Vectors`.

    Raises
    ------
    KeyError
        If a named relation is not registered in the reference.
    """
    registered = dict(reference.uns.get("stimpute", {}).get("relations", {}))
    registered.setdefault(COEXPRESSION, {"kind": COEXPRESSION})
    if isinstance(names, str):
        names = [COEXPRESSION, *sorted(set(registered) - {COEXPRESSION})] if names == "auto" else [names]
    coexpression = Coexpression(bank, panel, centred)
    relations: dict[str, Relation] = {}
    for name in names:
        if name not in registered:
            raise KeyError(
                f"The reference has no relation {name!r}; it has {sorted(registered)}. Call "
                '`stimpute.pp.protein_graph(reference, "proteins.npz")` for proteins, or '
                "`stimpute.pp.add_relation(reference, edges, name)` for edges of your own."
            )
        entry = registered[name]
        if entry["kind"] == "vectors":
            known = reference.var[entry.get("known", "has_protein")].to_numpy(dtype=bool)
            relations[name] = Vectors(np.asarray(reference.varm[entry["varm"]]), known, coexpression, centred)
        elif entry["kind"] == "edges":
            relations[name] = Edges(sparse.csr_matrix(reference.varp[entry["varp"]]), coexpression)
        else:
            relations[name] = coexpression
    return relations

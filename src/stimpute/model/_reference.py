"""Read the reference from an AnnData, and recognize it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from stimpute._messages import name_list
from stimpute.data._annotations import read_annotations
from stimpute.data._checksums import ChangedDataError, readable_data
from stimpute.data._expression import (
    ExpressionMatrix,
    expression_arguments,
    find_matrix,
    read_expression,
    read_gene_names,
)
from stimpute.data._fingerprint import differing_parts, expression_digest, fingerprint
from stimpute.data._join import References, join_references, name_references
from stimpute.data._reference import Reference, ReferenceExpression
from stimpute.data._relation_store import has_protein
from stimpute.data._relations import load_relations
from stimpute.data._rows import read_all
from stimpute.model._record import DataRecord
from stimpute.model._setup import read_datasets
from stimpute.recipes import Recipe

N_COMPARED = 100  # cells that are compared to recognize the reference


@dataclass(frozen=True)
class AttachedReference:
    """A reference that was read.

    Attributes
    ----------
    adata
        The reference as it was given.
    setup
        Arguments of `setup_anndata` for it.
    reference
        What recipes read of it.
    fingerprint
        Digest of its expression and relations.
    has_protein
        Which genes have a protein vector, shape (n_genes,).
    datasets
        Names of the datasets of a joined reference; empty for one dataset.
    gene_ids, cell_names
        Its `var_names`, shape (n_genes,), and its `obs_names`, shape (n_cells,).
    """

    adata: AnnData
    setup: Mapping[str, Any]
    reference: Reference
    fingerprint: str
    has_protein: np.ndarray
    datasets: tuple[str, ...]
    gene_ids: pd.Index
    cell_names: pd.Index

    @property
    def has_same_cells(self) -> bool:
        """Whether the cells still have the names and the order that they had when they were read."""
        return bool(self.adata.obs_names.equals(self.cell_names))

    def check_cells(self) -> None:
        """Check that positions in what was read are positions in the AnnData.

        Raises
        ------
        ValueError
            If cells were added, removed, renamed or put in another order since the reference was read.
        """
        if not self.has_same_cells:
            now, before = self.adata.n_obs, len(self.cell_names)
            found = f"has {now} cells now and had {before}" if now != before else "has other names of cells now than"
            raise ValueError(
                f"The reference {found} when the model read it, so that cells cannot be told by their position. Make a "
                "new model, or load this one with the reference as it was."
            )

    def has_gene(self, genes: pd.Index) -> dict[str, np.ndarray]:
        """Tell which genes each dataset of a joined reference has, shape (n_genes,) each; empty for one dataset."""
        expression = self.reference.expression
        position = expression.genes.get_indexer(genes)
        return {name: expression.has_gene[index][position] for index, name in enumerate(self.datasets)}


def join_same_references(references: References, record: DataRecord) -> AnnData:
    """Join the references that a model was made with; if they have its names, in the order that the model knows."""
    named = name_references(references)
    if set(named) == set(record.dataset_setups):
        named = {name: named[name] for name in record.dataset_setups}
    return join_references(named, record.dataset_setups)


def read_same_reference(reference: AnnData, record: DataRecord, recipe: Recipe) -> AttachedReference:
    """Read the reference that a model was made with, and refuse another one.

    Raises
    ------
    ValueError
        If its fingerprint differs, or it is one data set in place of several.
    """
    key = record.reference_setup.get("dataset_key")
    if key is not None and key not in reference.obs:
        raise ValueError(
            f"The model was trained with the references {list(record.dataset_setups)}, and this is one data set "
            f"without `obs[{key!r}]`. Pass all of them by their names: `reference={{name: adata, ...}}`."
        )
    matrix = read_expression(reference, **expression_arguments(record.reference_setup))
    found = f"{reference.n_obs} cells × {reference.n_vars} genes"
    n_cells, n_genes = record.reference_shape
    message = (
        f"This is not the reference that the model was trained with: found {found}, expected {n_cells} cells × "
        f"{n_genes} genes. {{}} Pass the same cells, genes, layer and gene relations, set up in the same way, a list "
        "of references in the same order, or train a new model."
    )
    shared = pd.Index(record.shared_genes)
    missing = shared.difference(matrix.genes, sort=False)
    if len(missing):
        raise ValueError(message.format(f"Genes that the model reads are missing: {name_list(missing)}."))
    attached = read_reference(reference, record.reference_setup, matrix, shared, record.relations, recipe)
    if attached.fingerprint != record.fingerprint:
        differing = differing_parts(attached.fingerprint, record.fingerprint)
        raise ValueError(message.format(f"What differs: {', '.join(differing)}."))
    return attached


def read_reference(
    adata: AnnData,
    setup: Mapping[str, Any],
    matrix: ExpressionMatrix,
    shared: pd.Index,
    relations: Sequence[str],
    recipe: Recipe,
) -> AttachedReference:
    dataset, names = read_datasets(adata, setup.get("dataset_key"))
    values_digest = expression_digest(matrix)  # before anything else is in memory
    expression = ReferenceExpression(matrix, dataset)
    positions = expression.genes.get_indexer(shared)
    stored = read_annotations(adata)
    centered = recipe.capabilities.centers_vectors
    n_components = recipe.correlation_components(len(shared))
    loaded = load_relations(stored, expression, positions, relations, centered=centered, n_components=n_components)
    reference = Reference(expression, positions, loaded, n_components, names)
    digest = fingerprint(values_digest, matrix.genes, loaded, dataset)
    proteins = has_protein(stored, relations)
    return AttachedReference(adata, setup, reference, digest, proteins, names, adata.var_names, adata.obs_names)


def read_reference_cells(adata: AnnData, attached: AttachedReference) -> tuple[np.ndarray, np.ndarray]:
    """Read reference cells as the reference was read.

    Returns
    -------
    Log-normalized shared genes, shape (n_cells, n_shared), and the dataset of each cell, shape (n_cells,).

    Raises
    ------
    ValueError
        If genes of the reference are missing, over which the totals are.
    """
    matrix = read_expression(adata, **expression_arguments(attached.setup))
    expression = attached.reference.expression
    missing = expression.genes.difference(matrix.genes)
    if len(missing):
        raise ValueError(
            f"{len(missing)} genes of the reference are not in this AnnData: {name_list(missing)}. Pass cells of the "
            "reference with all of its genes."
        )
    values = matrix.values[:, matrix.genes.get_indexer(expression.genes)]
    matrix = ExpressionMatrix(values, expression.genes, matrix.is_counts)
    own_number, names = read_datasets(adata, attached.setup.get("dataset_key"))
    dataset = np.zeros(adata.n_obs, dtype=int)
    if own_number is not None:
        dataset = np.array([attached.datasets.index(name) for name in names])[own_number]
    shared = np.empty((adata.n_obs, len(attached.reference.shared)), np.float32)
    for number in np.unique(dataset):
        rows = np.flatnonzero(dataset == number)
        log_normalized = matrix[rows].log_normalized(expression.datasets[number].target_sum)
        shared[rows] = log_normalized[:, attached.reference.shared].toarray()
    return shared, dataset


def is_from_reference(adata: AnnData, attached: AttachedReference) -> bool:
    """Tell whether an AnnData is the reference, or a copy or a subset of its cells, by its expression."""
    if adata is attached.adata:
        return True
    expression = attached.reference.expression
    if attached.setup.get("gene_symbols") is None and not expression.genes.isin(adata.var_names).all():
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # values of another kind are no cells of the reference
            found, _ = read_reference_cells(adata[:N_COMPARED], attached)
    except (KeyError, ValueError):
        return False
    known = {row.tobytes() for row in expression.dense(attached.reference.shared)}
    expressing = found[found.any(1)]
    return len(expressing) > 0 and all(row.tobytes() in known for row in expressing)


def are_reference_cells(adata: AnnData, setup: Mapping[str, Any], attached: AttachedReference) -> bool:
    """Tell whether spatial cells are cells of the reference, by their names and all values of the shared genes.

    The first cells are compared, values as they are: `False` proves nothing.

    Parameters
    ----------
    adata
        Spatial cells.
    setup
        Arguments of `setup_anndata` for them.
    attached
        The reference.
    """
    known = attached.adata.obs_names
    names = adata.obs_names[:N_COMPARED]
    if not known.is_unique or not names.isin(known).all():
        return False
    shared = attached.reference.expression.genes[attached.reference.shared]
    rows = known.get_indexer(names)
    order = np.argsort(rows)  # files are read in their own order
    own = _values(adata[:N_COMPARED], setup, shared)
    try:
        theirs = _values(attached.adata[rows[order]], attached.setup, shared)
    except ChangedDataError:  # the model has what it needs in memory
        return False
    if own is None or theirs is None:
        return False
    return bool(own.nnz > 0 and (own[order] != theirs).nnz == 0)


def _values(adata: AnnData, setup: Mapping[str, Any], genes: pd.Index) -> sparse.csr_matrix | None:
    """Read the values of some genes as they are; None if a gene is missing."""
    position = read_gene_names(adata, setup.get("gene_symbols")).get_indexer(genes)
    if (position < 0).any():
        return None
    with readable_data():  # a part of a backed AnnData is read when its matrix is asked for
        values = read_all(find_matrix(adata, setup.get("layer")))
    return sparse.csr_matrix(values)[:, position]

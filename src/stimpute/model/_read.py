"""Read spatial cells and reference from AnnData, as the recipes need them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from anndata import AnnData
from scvi import settings

from stimpute._messages import name_list
from stimpute.data._annotations import has_lazy_annotations, read_column, with_annotations
from stimpute.data._expression import ExpressionMatrix, read_expression
from stimpute.data._genes import check_genes_present, expressed_shared_genes, genes_in_totals
from stimpute.data._lazy import ExpressionScan, LazyExpression, Scans, open_expression
from stimpute.data._reference import Reference, ReferenceExpression, fingerprint
from stimpute.data._relation_store import relation_names
from stimpute.data._relations import load_relations
from stimpute.data._spatial import SpatialCells
from stimpute.model._setup import check_batches, read_coordinates, read_datasets
from stimpute.recipes import Recipe

EXPRESSION_ARGUMENTS = ("layer", "expression", "gene_symbols")
N_COMPARED = 100  # cells that are compared to recognize the reference


@dataclass(frozen=True)
class DataRecord:
    """What a model must find again when it meets its data again.

    Attributes
    ----------
    shared_genes
        Genes that both datasets measured, in the order of the spatial data.
    input_genes
        Genes that a cell's total counts: the shared genes, and those that the reference does not have.
    relations
        Names of the gene relations in use.
    reference_setup
        Arguments of `setup_anndata` for the reference.
    reference_shape
        Number of cells and genes of the reference.
    fingerprint
        Digest of the reference.
    n_cells
        Number of spatial cells that are trained on.
    dataset_setups
        Arguments of `setup_anndata` for each dataset of a joined reference, by name; empty for one dataset.
    """

    shared_genes: tuple[str, ...]
    input_genes: tuple[str, ...]
    relations: tuple[str, ...]
    reference_setup: dict[str, Any]
    reference_shape: tuple[int, int]
    fingerprint: str
    n_cells: int
    dataset_setups: dict[str, dict[str, Any]]

    @property
    def n_datasets(self) -> int:
        """Number of datasets of the reference."""
        return max(len(self.dataset_setups), 1)

    def to_dict(self) -> dict[str, Any]:
        """Convert to a dictionary of plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Make a record from :meth:`to_dict`, or from JSON, which has lists for tuples."""
        plain: dict[str, Any] = dict(values)
        for key in ("shared_genes", "input_genes", "relations", "reference_shape"):
            plain[key] = tuple(plain[key])
        return cls(**plain)


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
    gene_ids
        Its `var_names`, shape (n_genes,).
    """

    adata: AnnData
    setup: Mapping[str, Any]
    reference: Reference
    fingerprint: str
    has_protein: np.ndarray
    datasets: tuple[str, ...]
    gene_ids: pd.Index

    def has_gene(self, genes: pd.Index) -> dict[str, np.ndarray]:
        """Tell which genes each dataset of a joined reference has, shape (n_genes,) each; empty for one dataset."""
        expression = self.reference.expression
        position = expression.genes.get_indexer(genes)
        return {name: expression.has_gene[index][position] for index, name in enumerate(self.datasets)}


def read_matrix(adata: AnnData, setup: Mapping[str, Any]) -> ExpressionMatrix:
    """Read expression as `setup_anndata` was told."""
    return read_expression(adata, **_expression_arguments(setup))


def open_matrix(adata: AnnData, setup: Mapping[str, Any]) -> ExpressionMatrix | LazyExpression:
    """Read expression as `setup_anndata` was told, or open it if it is not in memory."""
    return open_expression(adata, **_expression_arguments(setup))


def _expression_arguments(setup: Mapping[str, Any]) -> dict[str, Any]:
    return {name: setup[name] for name in EXPRESSION_ARGUMENTS if name in setup}


def read_pair(
    spatial: AnnData,
    spatial_setup: Mapping[str, Any],
    reference: AnnData,
    reference_setup: Mapping[str, Any],
    recipe: Recipe,
    requested_relations: str | Sequence[str],
    scans: Scans,
    dataset_setups: Mapping[str, Mapping[str, Any]] | None = None,
) -> tuple[DataRecord, AttachedReference]:
    """Match the genes of two datasets and read the reference.

    The pass over spatial cells that are not in memory is added to `scans`.

    Warns
    -----
    UserWarning
        If the reference has positions and the spatial data have none.

    Raises
    ------
    ValueError
        If the datasets share fewer than three genes, or the reference does not suit the recipe.
    """
    positions = read_coordinates(spatial, spatial_setup.get("spatial_key"))
    if positions is None and read_coordinates(reference, reference_setup.get("spatial_key")) is not None:
        warnings.warn(
            "The spatial data have no positions, and the reference has. If they were swapped, call "
            "`StImputeModel(spatial, reference)`.",
            UserWarning,
            stacklevel=settings.warnings_stacklevel,
        )
    spatial_matrix = open_matrix(spatial, spatial_setup)
    reference_matrix = read_matrix(reference, reference_setup)
    if isinstance(spatial_matrix, LazyExpression):
        scan = _scan_for(spatial_matrix, reference_matrix, scans)
        shared = expressed_shared_genes(scan, reference_matrix)
        inputs = genes_in_totals(scan, reference_matrix, shared)
        spatial_matrix.remember(scan, inputs, scans)
    else:
        shared = expressed_shared_genes(spatial_matrix, reference_matrix)
        inputs = genes_in_totals(spatial_matrix, reference_matrix, shared)
    relations = recipe.choose_relations(relation_names(reference), requested_relations)
    if reference_setup.get("dataset_key") is not None and not recipe.capabilities.several_references:
        raise ValueError(
            f'The recipe {recipe.name!r} reads one reference. Pass the most similar one, or use `recipe="crossfit"`.'
        )
    attached = _read_reference(reference, reference_setup, reference_matrix, shared, relations, recipe)
    recipe.check(attached.reference)
    record = DataRecord(
        shared_genes=tuple(shared),
        input_genes=tuple(inputs),
        relations=tuple(relations),
        reference_setup=dict(reference_setup),
        reference_shape=(reference.n_obs, reference.n_vars),
        fingerprint=attached.fingerprint,
        n_cells=spatial.n_obs,
        dataset_setups={name: dict((dataset_setups or {}).get(name, {})) for name in attached.datasets},
    )
    return record, attached


def _scan_for(spatial: LazyExpression, reference: ExpressionMatrix, scans: Scans) -> ExpressionScan:
    """Scan spatial cells before the shared genes are known, which depend on the sums of the scan.

    Genes that are zero in the spatial cells add nothing to a total, so that those which are not zero in the reference
    can stand for the genes that totals count.
    """
    named = spatial.genes.isin(reference.genes)
    expressed = spatial.genes.isin(reference.genes[reference.gene_sums() > 0])
    return spatial.scan(spatial.genes[expressed | ~named], spatial.genes[expressed], scans)


def read_same_reference(reference: AnnData, record: DataRecord, recipe: Recipe) -> AttachedReference:
    """Read the reference that a model was made with, and refuse another one.

    Raises
    ------
    ValueError
        If its fingerprint differs.
    """
    matrix = read_matrix(reference, record.reference_setup)
    found = f"{reference.n_obs} cells × {reference.n_vars} genes"
    n_cells, n_genes = record.reference_shape
    message = (
        f"This is not the reference that the model was trained with: found {found}{{}}, expected {n_cells} cells × "
        f"{n_genes} genes with {record.fingerprint}. Pass the same cells, genes, layer and gene relations, set up in "
        "the same way, or train a new model."
    )
    if not pd.Index(record.shared_genes).isin(matrix.genes).all():
        raise ValueError(message.format(" without some of the shared genes"))
    shared = pd.Index(record.shared_genes)
    attached = _read_reference(reference, record.reference_setup, matrix, shared, record.relations, recipe)
    if attached.fingerprint != record.fingerprint:
        raise ValueError(message.format(f" with fingerprint {attached.fingerprint}"))
    return attached


def _read_reference(
    adata: AnnData,
    setup: Mapping[str, Any],
    matrix: ExpressionMatrix,
    shared: pd.Index,
    relations: Sequence[str],
    recipe: Recipe,
) -> AttachedReference:
    dataset, names = read_datasets(adata, setup.get("dataset_key"))
    expression = ReferenceExpression(matrix, dataset)
    positions = expression.genes.get_indexer(shared)
    centered = recipe.capabilities.centers_vectors
    n_components = recipe.correlation_components(len(shared))
    annotated = with_annotations(adata) if has_lazy_annotations(adata) else adata
    loaded = load_relations(annotated, expression, positions, relations, centered=centered, n_components=n_components)
    reference = Reference(expression, positions, loaded, n_components)
    has_protein = np.zeros(adata.n_vars, dtype=bool)
    if "has_protein" in adata.var:
        has_protein = annotated.var["has_protein"].to_numpy(dtype=bool).copy()
    digest = fingerprint(matrix, loaded, dataset)
    return AttachedReference(adata, setup, reference, digest, has_protein, names, adata.var_names)


def read_cells(adata: AnnData, setup: Mapping[str, Any], record: DataRecord, scans: Scans) -> tuple[SpatialCells, int]:
    """Read spatial cells, or open them if they are not in memory; count those without any count of a shared gene.

    Cells in memory are checked again whenever they are read. Of others the names and the first cells are, and all once.

    Parameters
    ----------
    adata
        A section with the model's input genes, in any order, among others.
    setup
        Arguments of `setup_anndata`.
    record
        Genes of the model.
    scans
        Earlier passes over cells that are not in memory.

    Raises
    ------
    KeyError, ValueError
        As `setup_anndata`; and if input genes are missing.
    """
    matrix = open_matrix(adata, setup)
    check_genes_present(record.input_genes, matrix.genes)
    batch_key = setup.get("batch_key")
    check_batches(adata, batch_key)
    section = None
    if batch_key is not None:
        section = read_column(adata.obs, batch_key).astype("category").cat.codes.to_numpy()
    coords = read_coordinates(adata, setup.get("spatial_key"))
    inputs = pd.Index(record.input_genes)
    shared = pd.Index(record.shared_genes)
    if isinstance(matrix, LazyExpression):
        scan = matrix.scan(inputs, shared, scans)
        totals = scan.total_counts if matrix.is_counts else None
        return SpatialCells.from_rows(matrix.rows(shared), totals, coords, section), scan.n_empty
    cells = SpatialCells.from_matrix(matrix, inputs, shared, coords, section)
    return cells, int((np.diff(cells.expression.indptr) == 0).sum())


def warn_of_empty_cells(cells: SpatialCells, n_empty: int, *, uses_space: bool) -> None:
    """Warn of cells without any count, and say what the recipe knows of them."""
    if n_empty:
        known = "their spatial neighbors alone say" if uses_space and cells.coords is not None else "nothing says"
        warnings.warn(
            f"{n_empty} of {len(cells)} spatial cells have no count of any gene shared with the reference and read by "
            f"the model. They are kept; {known} how they differ from an average cell.",
            UserWarning,
            stacklevel=settings.warnings_stacklevel,
        )


def warn_without_positions(cells: SpatialCells, spatial_key: str | None, *, uses_space: bool) -> None:
    """Warn that a recipe which reads positions is trained without any, unless the key None asks for that."""
    if uses_space and cells.coords is None and spatial_key is not None:
        warnings.warn(
            f"`adata.obsm` has no {spatial_key!r}: the model is trained without the positions of the cells. If they "
            "are elsewhere, name their key: `setup_anndata(spatial, spatial_key=...)`. If there are none, pass "
            "`spatial_key=None`.",
            UserWarning,
            stacklevel=settings.warnings_stacklevel,
        )


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
    matrix = read_matrix(adata, attached.setup)
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
    """Tell whether an AnnData is a copy or a subset of the cells of the reference, by its expression."""
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

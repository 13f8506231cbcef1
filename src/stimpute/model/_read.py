"""Read spatial cells from AnnData, and match their genes with those of the reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from stimpute._messages import warn
from stimpute.data._annotations import read_column
from stimpute.data._checksums import KnownCells
from stimpute.data._expression import ExpressionMatrix, expression_arguments, read_expression
from stimpute.data._genes import (
    MIN_SHARED,
    check_genes_present,
    expressed_shared_genes,
    genes_in_totals,
    match_genes,
)
from stimpute.data._lazy import ExpressionScan, LazyExpression, Scans, open_expression
from stimpute.data._relation_store import relation_names
from stimpute.data._spatial import SpatialCells
from stimpute.model._record import DataRecord
from stimpute.model._reference import AttachedReference, read_reference
from stimpute.model._setup import check_batches, check_files, read_coordinates
from stimpute.recipes import Recipe


def read_pair(
    spatial: AnnData,
    spatial_setup: Mapping[str, Any],
    reference: AnnData,
    reference_setup: Mapping[str, Any],
    recipe: Recipe,
    requested_relations: str | Sequence[str],
    scans: Scans,
    dataset_setups: Mapping[str, Mapping[str, Any]] | None = None,
    known_spatial: KnownCells | None = None,
    known_reference: KnownCells | None = None,
) -> tuple[DataRecord, AttachedReference]:
    """Match the genes of two datasets and read the reference.

    The pass over spatial cells that are not in memory is added to `scans`. Both datasets are compared with their cells
    as they were when they were set up.

    Warns
    -----
    UserWarning
        If the reference has positions and the spatial data have none.

    Raises
    ------
    ValueError
        If the datasets share fewer than three genes, the reference does not suit the recipe, or values were changed
        since the data were set up.
    """
    check_files(spatial, spatial_setup, known_spatial)
    check_files(reference, reference_setup, known_reference)
    positions = read_coordinates(spatial, spatial_setup.get("spatial_key"))
    if positions is None and read_coordinates(reference, reference_setup.get("spatial_key")) is not None:
        warn(
            "The spatial data have no positions, and the reference has. If they were swapped, call "
            "`StImputeModel(spatial, reference)`.",
        )
    spatial_matrix = open_expression(spatial, **expression_arguments(spatial_setup))
    reference_matrix = read_expression(reference, **expression_arguments(reference_setup))
    if isinstance(spatial_matrix, LazyExpression):
        scan = _scan_for(spatial_matrix, reference_matrix, scans)
        shared = expressed_shared_genes(scan, reference_matrix)
        inputs = genes_in_totals(scan, reference_matrix, shared)
        spatial_matrix.remember(scan, inputs, scans)
    else:
        shared = expressed_shared_genes(spatial_matrix, reference_matrix)
        inputs = genes_in_totals(spatial_matrix, reference_matrix, shared)
    if known_spatial is not None:
        known_spatial.check(spatial.obs_names, spatial_matrix.genes, spatial_matrix.checksums)
    if known_reference is not None:
        known_reference.check(reference.obs_names, reference_matrix.genes, reference_matrix.checksums)
    relations = recipe.choose_relations(relation_names(reference), requested_relations)
    if reference_setup.get("dataset_key") is not None and not recipe.capabilities.several_references:
        raise ValueError(
            f'The recipe {recipe.name!r} reads one reference. Pass the most similar one, or use `recipe="crossfit"`.'
        )
    attached = read_reference(reference, reference_setup, reference_matrix, shared, relations, recipe)
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
    if named.sum() < MIN_SHARED:
        match_genes(spatial.genes, reference.genes)  # raises, before a pass over all cells
    expressed = spatial.genes.isin(reference.genes[reference.gene_sums() > 0])
    return spatial.scan(spatial.genes[expressed | ~named], spatial.genes[expressed], scans)


def read_cells(
    adata: AnnData, setup: Mapping[str, Any], record: DataRecord, scans: Scans, known: KnownCells | None = None
) -> tuple[SpatialCells, int]:
    """Read spatial cells, or open them if they are not in memory; count those without any count of a shared gene.

    Cells in memory are checked again whenever they are read. Of others the names and the first cells are, and all once;
    rows that are read later must have the checksums that they had then.

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
    known
        The cells as they were when they were set up; None for a section that was not.

    Raises
    ------
    KeyError, ValueError
        As `setup_anndata`; and if input genes are missing, or values were changed.
    """
    stored = check_files(adata, setup, known)
    if stored:
        scans.check_stored(adata, stored)
    matrix = open_expression(adata, **expression_arguments(setup))
    check_genes_present(record.input_genes, matrix.genes)
    if known is not None:
        known.check(adata.obs_names, matrix.genes, matrix.checksums)
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
        if known is not None:
            known.check(adata.obs_names, matrix.genes, scan.checksums)
        totals = scan.total_counts if matrix.is_counts else None
        return SpatialCells.from_rows(matrix.rows(shared, scan), totals, coords, section), scan.n_empty
    cells = SpatialCells.from_matrix(matrix, inputs, shared, coords, section)
    return cells, int((np.diff(cells.expression.indptr) == 0).sum())


def warn_of_empty_cells(cells: SpatialCells, n_empty: int, *, uses_space: bool) -> None:
    """Warn of cells without any count, and say what the recipe knows of them."""
    if n_empty:
        known = "their spatial neighbors alone say" if uses_space and cells.coords is not None else "nothing says"
        warn(
            f"{n_empty} of {len(cells)} spatial cells have no count of any gene shared with the reference and read by "
            f"the model. They are kept; {known} how they differ from an average cell.",
        )


def warn_without_positions(cells: SpatialCells, spatial_key: str | None, *, uses_space: bool) -> None:
    """Warn that a recipe which reads positions is trained without any, unless the key None asks for that."""
    if uses_space and cells.coords is None and spatial_key is not None:
        warn(
            f"`adata.obsm` has no {spatial_key!r}: the model is trained without the positions of the cells. If they "
            "are elsewhere, name their key: `setup_anndata(spatial, spatial_key=...)`. If there are none, pass "
            "`spatial_key=None`.",
        )

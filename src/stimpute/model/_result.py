"""Describe what `impute` returns: how it was made, and its genes."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import pandas as pd

from stimpute._messages import warn
from stimpute.data._result import how_to_cite, setup_record, units
from stimpute.model._reference import AttachedReference
from stimpute.recipes import OutputOptions, Recipe


def settings_of(
    recipe: Recipe,
    relations: list[str],
    counts: bool,
    options: OutputOptions,
    spatial_setup: dict[str, Any],
    highest_interval: float,
    scale: dict[str, Any],
) -> dict[str, Any]:
    """Collect units, method, options, setup and version, for `uns["stimpute"]` of the result.

    Warns
    -----
    UserWarning
        If the intervals cannot have the probability that is asked for.
    """
    about: dict[str, Any] = {
        "units": units(counts=counts),
        "recipe": recipe.name,
        "relations": relations,
        "reliability_metric": recipe.capabilities.reliability_metric,
        "variance": options.variance,
        "spatial_setup": setup_record(spatial_setup),
        "version": version("stimpute"),
        "cite": how_to_cite(),
        **scale,
    }
    if options.interval is not None:
        about["interval"] = options.interval
        about["interval_reached"] = min(options.interval, highest_interval)
        if options.interval > highest_interval:
            warn(
                f"Intervals of {options.interval:.1%} cannot be had: with this number of genes and cells, the widest "
                f"ones reach {highest_interval:.1%} on held-out genes. They are returned.",
            )
    return about


def complete_gene_table(
    table: pd.DataFrame, names: pd.Index, measured: pd.Index, attached: AttachedReference
) -> pd.DataFrame:
    """Add to the gene table which genes are measured, have a protein vector, and are in which reference.

    The names in the reference, `gene_id`, are added where another column of the reference has the gene names.

    Parameters
    ----------
    table
        From the gene blocks, one row per gene.
    names
        Names of the genes, shape (n_genes,).
    measured
        Genes that the spatial data have.
    attached
        The reference.
    """
    positions = attached.reference.expression.genes.get_indexer(names)
    has_protein = attached.has_protein[positions]
    complete = table.set_index(names).assign(measured=names.isin(measured), has_protein=has_protein)
    gene_ids = attached.gene_ids[positions]
    if not gene_ids.equals(names):
        complete["gene_id"] = gene_ids.astype(str)
    in_reference = {f"in_{name}": has_gene for name, has_gene in attached.has_gene(names).items()}
    return complete.assign(**in_reference)

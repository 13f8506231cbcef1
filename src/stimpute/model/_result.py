"""Make the AnnData that `impute` returns, in memory or in a zarr store."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import anndata
import numpy as np
import pandas as pd
import psutil
from anndata import AnnData
from scvi import settings

from stimpute._atomic import replacing
from stimpute.data._result import how_to_cite, setup_record, units
from stimpute.model import _chunks
from stimpute.model._reference import AttachedReference
from stimpute.recipes import OutputOptions, Recipe

ZARR_FORMAT: Literal[2] = 2  # that every viewer reads; Vitessce does not read stores of version 3 in full
MEMORY_SHARE = 0.8  # of the free memory that a result may take


def settings_of(
    recipe: Recipe,
    relations: list[str],
    counts: bool,
    options: OutputOptions,
    spatial_setup: dict[str, Any],
    highest_interval: float,
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
    }
    if options.interval is not None:
        about["interval"] = options.interval
        about["interval_reached"] = min(options.interval, highest_interval)
        if options.interval > highest_interval:
            warnings.warn(
                f"Intervals of {options.interval:.1%} cannot be had: with this number of genes and cells, the widest "
                f"ones reach {highest_interval:.1%} on held-out genes. They are returned.",
                UserWarning,
                stacklevel=settings.warnings_stacklevel,
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


def check_room(n_cells: int, n_genes: int, n_layers: int, out: str | Path | None) -> None:
    """Check that there is room for a result, in memory or on disk.

    Raises
    ------
    TypeError
        If `out` is not a path.
    ValueError
        If the name of `out` is that of another kind of file.
    FileExistsError
        If `out` exists.
    MemoryError
        If a result in memory would take more than four fifths of the free memory.
    """
    if out is not None:
        if not isinstance(out, str | os.PathLike):
            raise TypeError(f"`out` is {out!r}; expected the path of a zarr store.")
        if Path(out).suffix in (".h5ad", ".h5", ".csv"):
            raise ValueError(
                f"`out` is {out}; expected the name of a zarr store, such as 'imputed.zarr'. For another kind of file "
                "leave `out` out, and write the result: `imputed.write_h5ad(path)`."
            )
        if Path(out).exists():
            raise FileExistsError(f"{out} exists. Name another `out=`, or remove it first.")
        return
    size = 4 * n_cells * n_genes * n_layers
    free = psutil.virtual_memory().available
    if size > MEMORY_SHARE * free:
        raise MemoryError(
            f"{n_cells:,} cells × {n_genes:,} genes × {n_layers} float32 would take {size / 2**30:.1f} GiB of "
            f"{free / 2**30:.1f} GiB that are free. Name the genes you need with `genes=`, or stream to disk with "
            '`out="imputed.zarr"`.'
        )


@contextlib.contextmanager
def values(
    result: AnnData, layers: list[str], out: str | Path | None, batch_size: int | None = None
) -> Iterator[dict[str, Any]]:
    """Yield arrays to fill with the values of a result, which hold them afterwards: in memory, or in a store.

    Parameters
    ----------
    result
        From :func:`without_values`.
    layers
        Names of the layers; `X` first.
    out
        Path of the zarr store, or None.
    batch_size
        Cells per chunk of the store, each of which is written by one task.
    """
    if out is not None:
        with _values_in_store(result, layers, out, batch_size or _chunks.CELLS_PER_CHUNK) as arrays:
            yield arrays
        return
    arrays = {name: np.empty(result.shape, np.float32) for name in layers}
    yield arrays
    put(result, arrays)


def put(result: AnnData, arrays: Mapping[str, Any]) -> None:
    """Put arrays into a result: `X`, and layers by their names."""
    result.X = arrays["X"]
    for name in (layer for layer in arrays if layer != "X"):
        result.layers[name] = arrays[name]


@contextlib.contextmanager
def _values_in_store(
    result: AnnData, layers: list[str], out: str | Path, cells_per_chunk: int
) -> Iterator[dict[str, Any]]:
    """Yield zarr arrays to fill; afterwards, move the store to its place and open it lazily in the result.

    All but the values is written first, so that what cannot be written fails before anything is computed. Until the
    store is whole it has another name.
    """
    import dask.array as da
    import zarr

    with replacing(out) as partial:
        group = zarr.open_group(str(partial), mode="w-", zarr_format=ZARR_FORMAT)
        group.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        for key in ("obs", "var", "obsm", "uns", "varm", "obsp", "varp", "layers"):
            value = getattr(result, key)
            anndata.io.write_elem(group, key, value if isinstance(value, pd.DataFrame) else dict(value))
        chunks = (min(cells_per_chunk, result.n_obs), min(_chunks.GENES_PER_CHUNK, result.n_vars))
        arrays = {}
        for name in layers:
            path = _path_in_store(name)
            arrays[name] = group.create_array(path, shape=result.shape, chunks=chunks, dtype="float32")
            arrays[name].attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
        yield arrays
        zarr.consolidate_metadata(group.store)
    put(result, {name: da.from_zarr(str(out), component=_path_in_store(name)) for name in layers})


def _path_in_store(layer: str) -> str:
    return "X" if layer == "X" else f"layers/{layer}"

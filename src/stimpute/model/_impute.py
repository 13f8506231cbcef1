"""Methods of the model that predict genes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from anndata import AnnData

from stimpute._arguments import check_arguments
from stimpute._messages import check_count
from stimpute._threads import suitable_threads
from stimpute.data._result import without_values
from stimpute.model import _storage
from stimpute.model._chunks import CELLS_PER_CHUNK, GENES_PER_CHUNK, gene_chunks
from stimpute.model._result import complete_gene_table, settings_of
from stimpute.model._stream import describe_genes, gene_table, predict_chunks
from stimpute.model._values import make_values
from stimpute.recipes import OutputOptions

if TYPE_CHECKING:
    from stimpute.model._model import StImputeModel


def impute(
    self: StImputeModel,
    adata: AnnData | None = None,
    genes: str | Sequence[str] | None = None,
    *,
    interval: float | None = None,
    variance: Literal["shrunken", "matched"] = "shrunken",
    out: str | Path | None = None,
    lazy: bool = False,
    batch_size: int | None = None,
    progress: bool = True,
) -> AnnData:
    """Predict genes for spatial cells.

    A gene's values do not depend on the other genes that are asked for, nor on `batch_size` (to rounding). The work
    is done by the scheduler of Dask that is in use: threads by default, or the workers of a `dask.distributed`
    client.

    Parameters
    ----------
    adata
        A section with the same measured genes; the training data if None. No retraining is needed.
    genes
        Names of reference genes; every gene that is not measured if None. A measured gene is predicted as if it
        had not been measured.
    interval
        Share of the values that an interval should cover, such as 0.9; adds the layers `lower` and `upper`.
    variance
        `"shrunken"` values have the smallest squared error, and vary less than measured ones where a gene is hard
        to predict. `"matched"` values vary as much as the gene is expected to vary.
    out
        Path to stream to, for results that do not fit in memory; nothing has this name until all is written.
        `"x.h5ad"` is one file, not compressed; any other name is a zarr store, of version 2 of the format, which all
        viewers read, whatever `anndata.settings.zarr_write_format` is. Both have the same values.
    lazy
        Return Dask arrays, of which only what is asked for is computed. Genes are described at once, cells are
        encoded when a gene is first asked for, and kept for the next one: in half of the free memory, then in a
        temporary file.
    batch_size
        Cells per chunk, of the work and of a store.
    progress
        Whether to draw progress bars.

    Returns
    -------
    AnnData, cells × genes, float32, log-normalized on the scale of the spatial data; Dask arrays with `out` or `lazy`.
    `var` has `reliability`, `n_edges`, `measured` and `has_protein`; `obs` and `obsm` are copied; `uns["stimpute"]`
    names the units.

    Raises
    ------
    FileExistsError
        If `out` exists.
    KeyError
        If a gene is not in the reference; the message names the closest spellings.
    MemoryError
        If the result would not fit.
    RuntimeError
        If the model is not trained, or has no reference.
    """
    check_arguments(impute, locals(), but=("adata", "genes", "interval", "variance", "batch_size", "out"))
    check_count(1, batch_size=batch_size)
    if lazy and out is not None:
        raise ValueError('Pass `lazy=True` or `out=`, not both. A lazy result is stored by `result.write_zarr("...")`.')
    options = OutputOptions(interval, variance)
    self.recipe.check_output(options)
    targets, names = self.data.locate(genes, adata)
    predictor = self.predictor()
    adata = self.data.section(adata)
    layers = ["X"] if interval is None else ["X", "lower", "upper"]
    if not lazy:
        _storage.check_room(adata.n_obs, len(names), len(layers), out)
    cells = self.data.read_cells(adata)
    chunks = gene_chunks(predictor, targets, self.data.need_reference().reference)
    with _chunk_threads(self):
        blocks = list(describe_genes(predictor, chunks, progress=progress))
    var = _complete(self, gene_table([block.table for block in blocks], chunks), names, adata)
    about = settings_of(
        self.recipe,
        self.relations,
        self.data.is_counts,
        options,
        self.spatial_setup,
        predictor.highest_interval,
        _scale(self),
    )
    result = without_values(adata, var, about)
    if lazy:
        order = np.arange(len(cells))
        values = make_values(predictor, cells, chunks, blocks, options, order, batch_size, keep=True)
        _storage.put(result, values.lazy())
        return result
    with _storage.values(result, layers, out, batch_size) as arrays, _chunk_threads(self):
        predict_chunks(predictor, cells, chunks, blocks, arrays, options, batch_size=batch_size, progress=progress)
    return result


def _scale(model: StImputeModel) -> dict[str, Any]:
    """Return the total that counts are scaled to, if the model knows it, and the genes that totals count."""
    if not model.data.is_counts:
        return {}
    target_sum = (model.training_record or {}).get("target_sum")
    return ({} if target_sum is None else {"target_sum": target_sum}) | {"input_genes": list(model.input_genes)}


def check_request(
    self: StImputeModel,
    genes: str | Sequence[str] | None = None,
    *,
    interval: float | None = None,
    variance: Literal["shrunken", "matched"] = "shrunken",
    adata: AnnData | None = None,
) -> None:
    """Check the arguments of :meth:`impute` before time is spent on training; raise what it would raise.

    Parameters
    ----------
    genes, interval, variance, adata
        See :meth:`impute`.
    """
    check_arguments(check_request, locals(), but=("adata", "genes", "interval", "variance"))
    self.recipe.check_output(OutputOptions(interval, variance))
    self.data.locate(genes, adata)


def gene_reliability(
    self: StImputeModel, genes: str | Sequence[str] | None = None, *, progress: bool = False
) -> pd.DataFrame:
    """Predict how well genes are imputed, without imputing any cell.

    Parameters
    ----------
    genes
        Names of reference genes; every gene that is not measured if None.
    progress
        Whether to draw a progress bar.

    Returns
    -------
    One row per gene, as in `var` of :meth:`impute`; `attrs["reliability_metric"]` names what `reliability` predicts.
    """
    check_arguments(gene_reliability, locals(), but=("genes",))
    targets, names = self.data.locate(genes, None)
    predictor = self.predictor()
    chunks = gene_chunks(predictor, targets, self.data.need_reference().reference)
    with _chunk_threads(self):
        tables = [block.table for block in describe_genes(predictor, chunks, progress=progress)]
    complete = _complete(self, gene_table(tables, chunks), names, self.adata)
    complete.attrs["reliability_metric"] = self.recipe.capabilities.reliability_metric
    return complete


def _chunk_threads(model: StImputeModel) -> AbstractContextManager[None]:
    """Use the number of threads that suits one chunk of cells and genes."""
    work = model.recipe.work_per_value(model.sizes) * CELLS_PER_CHUNK * GENES_PER_CHUNK
    return suitable_threads(work)


def _complete(model: StImputeModel, table: pd.DataFrame, names: pd.Index, adata: AnnData | None) -> pd.DataFrame:
    """Add to a gene table which genes are measured, and which have a protein."""
    measured = model.input_genes if adata is None else model.data.measured_genes(adata)
    return complete_gene_table(table, names, measured, model.data.need_reference())

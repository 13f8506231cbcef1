"""Describe genes, and predict them for all cells, with a progress bar."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import h5py
import numpy as np
import pandas as pd
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from stimpute._messages import check_count
from stimpute._screen import can_draw_progress
from stimpute.data._spatial import SpatialCells
from stimpute.model._chunks import GeneChunk
from stimpute.model._values import ImputedValues, fill, make_values, store
from stimpute.recipes import GeneBlock, OutputOptions, Predictor


def describe_genes(predictor: Predictor, chunks: list[GeneChunk], *, progress: bool) -> Iterator[GeneBlock]:
    """Yield the gene block of each chunk."""
    with progress_bar("describe genes", sum(len(chunk.targets) for chunk in chunks), show=progress) as advance:
        for chunk in chunks:
            yield predictor.gene_block(chunk.targets, chunk.fold)
            advance(len(chunk.targets))


def gene_table(tables: list[pd.DataFrame], chunks: list[GeneChunk]) -> pd.DataFrame:
    """Join the tables of gene blocks, in the order of the output."""
    parts = [table.set_axis(chunk.columns) for table, chunk in zip(tables, chunks, strict=True)]
    return pd.concat(parts).sort_index()


def predict_chunks(
    predictor: Predictor,
    cells: SpatialCells,
    chunks: list[GeneChunk],
    blocks: list[GeneBlock],
    arrays: Mapping[str, Any],
    options: OutputOptions,
    *,
    batch_size: int | None,
    progress: bool,
) -> None:
    """Predict all genes for all cells, chunk by chunk.

    Cost is cells × genes; memory beside the gene blocks is some chunks of either.

    Parameters
    ----------
    predictor
        Encodes the cells.
    cells
        Cells to predict for.
    chunks, blocks
        Genes to predict, and their blocks.
    arrays
        Filled: arrays, zarr arrays or data sets of an HDF5 file by layer, shape (n_cells, n_genes).
    options
        Options of the values.
    batch_size
        Cells per chunk.
    progress
        Whether to draw a progress bar.

    Raises
    ------
    FloatingPointError
        If a value is not finite.
    """
    check_count(1, batch_size=batch_size)
    in_memory = isinstance(arrays["X"], np.ndarray)
    in_one_file = isinstance(arrays["X"], h5py.Dataset)
    # In memory, in an order that keeps spatial neighbors together. A store is written in the order of its chunks: in
    # another order each of these would be written many times.
    order = cells.order if in_memory else np.arange(len(cells))
    n_genes = sum(len(chunk.targets) for chunk in chunks)
    values = make_values(predictor, cells, chunks, blocks, options, order, batch_size)
    with progress_bar("impute", len(cells) * n_genes, show=progress) as advance:
        if in_memory:
            fill(values, ImputedValues.by_fold, arrays, advance)
        elif in_one_file:
            fill(values, ImputedValues.in_order, arrays, advance)
        else:
            store(values, arrays, advance)


@contextlib.contextmanager
def progress_bar(description: str, total: int, *, show: bool) -> Iterator[Any]:
    """Draw a progress bar while the context lasts; yield the function that advances it.

    Nothing is written where no bar can be drawn: into a file or a pipe.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f}%"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, disable=not (show and can_draw_progress()), transient=True) as bar:
        task = bar.add_task(description, total=total)
        yield lambda n: bar.advance(task, n)

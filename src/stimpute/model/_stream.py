"""Predict genes chunk by chunk: describe genes once, encode cells once, and bring both together."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from stimpute._messages import check_count
from stimpute._screen import can_draw_progress
from stimpute.data._reference import Reference
from stimpute.data._spatial import SpatialCells
from stimpute.recipes import GeneBlock, OutputOptions, Predictor

GENES_PER_CHUNK = 256
CELLS_PER_CHUNK = 1024


@dataclass(frozen=True)
class GeneChunk:
    """Target genes that are described together.

    Attributes
    ----------
    fold
        Fold that is held out to predict them; None for genes that were not trained on.
    targets
        Positions in the reference, shape (n_targets,).
    columns
        Positions in the output, shape (n_targets,).
    """

    fold: int | None
    targets: np.ndarray
    columns: np.ndarray


def gene_chunks(predictor: Predictor, targets: np.ndarray, reference: Reference) -> list[GeneChunk]:
    """Group target genes by the fold that is held out to predict them, and cut the groups into chunks.

    Parameters
    ----------
    predictor
        Knows the folds.
    targets
        Positions in the reference, shape (n_targets,).
    reference
        Knows which of them are shared genes.
    """
    position = reference.position_among_shared(targets)
    is_shared = position >= 0
    folds = predictor.folds.fold_of_gene[position[is_shared]]
    groups: list[tuple[int | None, np.ndarray]] = [(None, np.flatnonzero(~is_shared))]
    groups += [(int(fold), np.flatnonzero(is_shared)[folds == fold]) for fold in np.unique(folds)]
    chunks = []
    for fold, columns in groups:
        for start in range(0, len(columns), GENES_PER_CHUNK):
            part = columns[start : start + GENES_PER_CHUNK]
            chunks.append(GeneChunk(fold, targets[part], part))
    return chunks


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

    Cost is cells × genes; memory beside the gene blocks is one chunk of either.

    Parameters
    ----------
    predictor
        Encodes the cells.
    cells
        Cells to predict for.
    chunks, blocks
        Genes to predict, and their blocks.
    arrays
        Filled: arrays or zarr arrays by layer, shape (n_cells, n_genes).
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
    in_memory = all(isinstance(array, np.ndarray) for array in arrays.values())
    # In memory, in an order that keeps spatial neighbors together. A store is written in the order of its chunks: in
    # another order each of these would be written many times.
    order = cells.order if in_memory else np.arange(len(cells))
    neighbors = None
    if predictor.n_spatial_neighbors is not None:
        neighbors = cells.neighbors(predictor.n_spatial_neighbors)
    size = batch_size or CELLS_PER_CHUNK
    n_genes = sum(len(chunk.targets) for chunk in chunks)
    with progress_bar("impute", len(cells) * n_genes, show=progress) as advance:
        for fold in dict.fromkeys(chunk.fold for chunk in chunks):
            encoder = predictor.cell_encoder(fold)
            for start in range(0, len(order), size):
                rows = order[start : start + size]
                encoded = encoder.encode(cells.chunk(rows, neighbors))
                for chunk, block in zip(chunks, blocks, strict=True):
                    if chunk.fold == fold:
                        _write(arrays, rows, chunk.columns, block.predict(encoded, options))
                        advance(len(rows) * len(chunk.columns))


def _write(arrays: Mapping[str, Any], rows: np.ndarray, columns: np.ndarray, values: dict[str, np.ndarray]) -> None:
    for name, array in arrays.items():
        if not np.isfinite(values[name]).all():
            raise FloatingPointError(
                "Predicted values are not finite: what the model has learned is out of range. Its file may be damaged: "
                "fetch it again, or train a new model."
            )
        if isinstance(array, np.ndarray):
            array[np.ix_(rows, columns)] = values[name]
        else:
            array.oindex[rows, columns] = values[name]


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

"""Imputed values of any gene at once: genes are described once, and cells are encoded once.

The only file of the explorer that asks the model for values.
"""

from __future__ import annotations

import itertools
import pickle
from collections import OrderedDict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil

from stimpute.data._space import sample_cells
from stimpute.model._chunks import CELLS_PER_CHUNK, gene_chunks
from stimpute.model._stream import describe_genes, gene_table
from stimpute.recipes import GeneBlock, OutputOptions

if TYPE_CHECKING:
    from stimpute.model import StImputeModel

MEMORY_SHARE = 0.25  # of the free memory that encoded cells may take
MAX_GENES = 64  # whose values are kept
N_SAMPLED = 512  # cells in which all genes are predicted, to compare genes


class GeneValues:
    """Imputed values of one gene in all cells, or of all genes in some cells.

    The values are those of :meth:`stimpute.StImputeModel.impute`.

    Parameters
    ----------
    model
        A trained model with both its datasets.
    interval
        Probability of the intervals; None, or a recipe without intervals, for none.
    progress
        Whether to draw a progress bar.

    Attributes
    ----------
    table
        One row per gene of the reference, in its order: `reliability`, `n_edges`, `measured`.
    interval
        Probability of the intervals, or None.
    metric
        Metric that the reliability predicts, `"pcc"` or `"css"`.
    """

    def __init__(self, model: StImputeModel, *, interval: float | None = 0.9, progress: bool = True) -> None:
        capabilities = model.recipe.capabilities
        self.interval = interval if capabilities.intervals else None
        self.metric = capabilities.reliability_metric
        self._options = OutputOptions(self.interval)
        self._predictor = model.predictor()
        self._targets, names = model.data.locate(list(model.reference_genes), None)
        self._chunks = gene_chunks(self._predictor, self._targets, model.data.need_reference().reference)
        self._cells = EncodedCells(model)
        self._blocks = list(describe_genes(self._predictor, self._chunks, progress=progress))
        table = gene_table([block.table for block in self._blocks], self._chunks).set_index(names)
        self.table = table[["reliability", "n_edges"]].assign(measured=names.isin(model.measured_genes))
        self._fold_of_gene = {
            int(column): chunk.fold for chunk in self._chunks for column in chunk.columns
        }  # None for genes that were not trained on
        self._recent: OrderedDict[str, dict[str, np.ndarray]] = OrderedDict()
        self._cells.encode_all(None)  # so that the first gene is quick too

    def gene(self, name: str) -> dict[str, np.ndarray]:
        """Predict one gene in all cells.

        Returns
        -------
        `"X"` and, with an interval, `"lower"` and `"upper"`; float32, shape (n_cells,).

        Raises
        ------
        KeyError
            If the reference has no such gene.
        """
        if name not in self.table.index:
            raise KeyError(f"{name!r} is not a gene of the reference. Choose one of `table.index`.")
        if name not in self._recent:
            column = int(self.table.index.get_loc(name))
            fold = self._fold_of_gene[column]
            block = self._predictor.gene_block(self._targets[[column]], fold)
            self._recent[name] = self._predict(block, fold)
        self._recent.move_to_end(name)
        if len(self._recent) > MAX_GENES:
            self._recent.popitem(last=False)
        return self._recent[name]

    def _predict(self, block: GeneBlock, fold: int | None) -> dict[str, np.ndarray]:
        """Predict one gene in all cells."""
        layers = ["X"] if self.interval is None else ["X", "lower", "upper"]
        values = {layer: np.empty(len(self._cells), np.float32) for layer in layers}
        for rows, encoded in self._cells.encode_all(fold):
            predicted = block.predict(encoded, self._options)
            for layer in layers:
                values[layer][rows] = predicted[layer][:, 0]
        return values

    def all_genes(self, rows: np.ndarray) -> np.ndarray:
        """Predict all genes in some cells, float32, shape (n_rows, n_genes)."""
        values = np.empty((len(rows), len(self.table)), np.float32)
        for fold in dict.fromkeys(chunk.fold for chunk in self._chunks):
            for start in range(0, len(rows), CELLS_PER_CHUNK):
                part = slice(start, start + CELLS_PER_CHUNK)
                encoded = self._cells.encode(rows[part], fold)
                for chunk, block in zip(self._chunks, self._blocks, strict=True):
                    if chunk.fold == fold:
                        values[part, chunk.columns] = block.predict(encoded, OutputOptions())["X"]
        return values

    def sampled_cells(self) -> np.ndarray:
        """Sample cells that cover the tissue, sorted positions."""
        return sample_cells(self._cells.order, N_SAMPLED)


class EncodedCells:
    """All cells of a model, encoded; kept for as many folds as the memory allows.

    Parameters
    ----------
    model
        A trained model with both its datasets.
    """

    def __init__(self, model: StImputeModel) -> None:
        self._predictor = model.predictor()
        self._cells = model.data.read_cells(None)
        self._neighbors = None
        if self._predictor.n_spatial_neighbors is not None:
            self._neighbors = self._cells.neighbors(self._predictor.n_spatial_neighbors)
        self._budget = MEMORY_SHARE * psutil.virtual_memory().available
        self._kept: OrderedDict[int | None, list[tuple[np.ndarray, Any]]] = OrderedDict()
        self._encoders: dict[int | None, Any] = {}
        self.order = self._cells.order

    def __len__(self) -> int:
        return len(self._cells)

    def encode(self, rows: np.ndarray, fold: int | None) -> Any:
        """Encode some cells with a fold of the genes held out; with None, nothing is held out."""
        if fold not in self._encoders:
            self._encoders[fold] = self._predictor.cell_encoder(fold)
        return self._encoders[fold].encode(self._cells.chunk(rows, self._neighbors))

    def encode_all(self, fold: int | None) -> Iterator[tuple[np.ndarray, Any]]:
        """Return positions and encoding of all cells, chunk by chunk, from memory where they are kept."""
        if fold in self._kept:
            self._kept.move_to_end(fold)
            return iter(self._kept[fold])
        starts = range(0, len(self), CELLS_PER_CHUNK)
        chunks = ((rows, self.encode(rows, fold)) for rows in (self.order[s : s + CELLS_PER_CHUNK] for s in starts))
        first = next(chunks)
        n_kept = int(self._budget // (len(pickle.dumps(first)) * len(starts)))
        while len(self._kept) >= n_kept:
            oldest = next((kept for kept in self._kept if kept is not None), None)
            if oldest is None:  # most genes need the cells with nothing held out: these stay
                return itertools.chain([first], chunks)
            del self._kept[oldest]
        self._kept[fold] = [first, *chunks]
        return iter(self._kept[fold])

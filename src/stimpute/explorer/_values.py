"""Imputed values of any gene at once, from lazy values that keep genes described and cells encoded.

The only file of the explorer that asks the model for values.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

import dask
import numpy as np

from stimpute.data._space import sample_cells
from stimpute.model._chunks import gene_chunks
from stimpute.model._stream import describe_genes, gene_table
from stimpute.model._values import ImputedValues, make_values
from stimpute.recipes import OutputOptions

if TYPE_CHECKING:
    from stimpute.model import StImputeModel

MAX_GENES = 64  # whose values are kept
N_SAMPLED = 512  # cells in which all genes are predicted, to compare genes
CHUNKS_AT_ONCE = 32  # of cells, encoded before the next look at whether to stop


class GeneValues:
    """Imputed values of one gene in all cells, or of all genes in some cells.

    The values are those of :meth:`stimpute.StImputeModel.impute`.

    Parameters
    ----------
    model
        A trained model with both its datasets.
    interval
        Share of the values that an interval should cover; None, or a recipe without intervals, for none.
    progress
        Whether to draw a progress bar.

    Attributes
    ----------
    table
        One row per gene of the reference, in its order: `reliability`, `n_edges`, `measured`.
    interval
        Share of the values that an interval should cover, or None.
    metric
        Metric that the reliability predicts, `"pcc"` or `"css"`.
    """

    def __init__(self, model: StImputeModel, *, interval: float | None = 0.9, progress: bool = True) -> None:
        capabilities = model.recipe.capabilities
        self.interval = interval if capabilities.intervals else None
        self.metric = capabilities.reliability_metric
        self._predictor = model.predictor()
        targets, names = model.data.locate(list(model.reference_genes), None)
        self._chunks = gene_chunks(self._predictor, targets, model.data.need_reference().reference)
        self._blocks = list(describe_genes(self._predictor, self._chunks, progress=progress))
        table = gene_table([block.table for block in self._blocks], self._chunks).set_index(names)
        self.table = table[["reliability", "n_edges"]].assign(measured=names.isin(model.measured_genes))
        self._cells = model.data.read_cells(None)
        self._values = self._lazy(OutputOptions(self.interval), self._cells.order, keep=True)
        self._recent: OrderedDict[str, dict[str, np.ndarray]] = OrderedDict()
        unmeasured = self.table.index[~self.table["measured"]]
        self.gene((*unmeasured, *names)[0])  # encodes the cells, so that the first gene on the page is quick too

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
            column = self.table.index.get_indexer([name])
            (computed,) = dask.compute(self._values.select(column))
            order = np.argsort(self._cells.order)
            self._recent[name] = {layer: values[order, 0] for layer, values in computed.items()}
        self._recent.move_to_end(name)
        if len(self._recent) > MAX_GENES:
            self._recent.popitem(last=False)
        return self._recent[name]

    def encode_folds(self, stop: threading.Event) -> None:
        """Encode the cells for the measured genes too, so that the first one of each fold is as quick as the others.

        Meant for a thread. It ends when the folds are encoded, the next one would not fit in memory, or `stop` is set.
        """
        a_gene_of = {chunk.fold: chunk.columns[:1] for chunk in self._chunks if chunk.fold is not None}
        encodings = self._values.cells.encodings
        for column in a_gene_of.values():
            if encodings is None or not encodings.has_room_for_a_fold():
                return
            values = self._values.select(column)["X"]
            for start in range(0, values.numblocks[0], CHUNKS_AT_ONCE):
                if stop.is_set():
                    return
                part = values.blocks[start : start + CHUNKS_AT_ONCE]
                part.compute(scheduler="synchronous")  # leaves the other threads to what the user asks for

    def all_genes(self, rows: np.ndarray) -> np.ndarray:
        """Predict all genes in some cells, float32, shape (n_rows, n_genes)."""
        return self._lazy(OutputOptions(), rows).select()["X"].compute()

    def _lazy(self, options: OutputOptions, rows: np.ndarray, *, keep: bool = False) -> ImputedValues:
        """Prepare the values of all genes in some cells; nothing is computed yet."""
        return make_values(self._predictor, self._cells, self._chunks, self._blocks, options, rows, None, keep=keep)

    def sampled_cells(self) -> np.ndarray:
        """Sample cells that cover the tissue, sorted positions."""
        return sample_cells(self._cells.order, N_SAMPLED)

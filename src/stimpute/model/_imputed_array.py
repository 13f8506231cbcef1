"""A Dask array of imputed values, of which only the selected genes are computed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
from anndata._io.specs.registry import _REGISTRY

if TYPE_CHECKING:
    from stimpute.model._values import ImputedValues


class ImputedArray(da.Array):
    """A Dask array of imputed values; where genes are selected from it, no others are computed.

    After it was changed in place, by assignment or by NumPy's `out=`, it behaves as any other Dask array.
    """

    source: ImputedValues
    layer: str
    row_indices: tuple[Any, ...]
    unchanged_name: str

    @classmethod
    def of(cls, array: da.Array, source: ImputedValues, layer: str, row_indices: tuple[Any, ...] = ()) -> ImputedArray:
        """Make one from the Dask array of all genes, after rows were selected from it."""
        made = cls(array.dask, array.name, array.chunks, meta=array._meta)
        made.source = source
        made.layer = layer
        made.row_indices = row_indices
        made.unchanged_name = array.name
        return made

    @property
    def _is_changed(self) -> bool:
        return self.name != self.unchanged_name

    def __getitem__(self, index: Any) -> da.Array:
        if self._is_changed:
            return self.copy()[index]
        rows, columns = index if isinstance(index, tuple) and len(index) == 2 else (index, slice(None))
        wanted = _positions(columns, self.shape[1])
        if wanted is None or not _is_selection(rows):
            found = super().__getitem__(index)
            if found.ndim == 2 and _is_all(columns) and _is_selection(rows):
                return ImputedArray.of(found, self.source, self.layer, (*self.row_indices, rows))
            return found
        array = self.source.select(wanted)[self.layer]
        for selected in (*self.row_indices, rows):
            array = array if _is_all(selected) else array[selected]
        return array[..., 0] if np.isscalar(columns) else array

    def copy(self) -> da.Array:
        """Return an array that can be changed without this one."""
        if self._is_changed:
            return da.Array(self.dask, self.name, self.chunks, meta=self._meta)
        return ImputedArray.of(self, self.source, self.layer, self.row_indices)


def _let_anndata_write() -> None:
    """Tell AnnData, which looks for writers by exact type, to write imputed arrays as other Dask arrays."""
    for (group, source, modifiers), write in list(_REGISTRY.write.items()):
        if source is da.Array:
            _REGISTRY.write[group, ImputedArray, modifiers] = write
    _REGISTRY.write_specs[ImputedArray] = _REGISTRY.write_specs[da.Array]


_let_anndata_write()


def _is_all(index: Any) -> bool:
    return isinstance(index, slice) and index == slice(None)


def _is_selection(index: Any) -> bool:
    """Tell whether an index selects positions of one dimension."""
    return isinstance(index, slice | int | np.integer | np.ndarray | list)


def _positions(index: Any, size: int) -> np.ndarray | None:
    """Convert an index of genes to positions; None for all genes and for an index that Dask should interpret."""
    if _is_all(index) or not _is_selection(index):
        return None
    index = np.asarray(index) if isinstance(index, list | np.ndarray) else index
    found = np.atleast_1d(np.arange(size)[index])  # raises IndexError as NumPy does
    return found if found.ndim == 1 and len(found) and len(np.unique(found)) == len(found) else None

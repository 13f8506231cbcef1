"""Record what a model must find again when it meets its data again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self


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

"""Read-only properties of the model, and its summary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
from anndata import AnnData

from stimpute.recipes import DataSizes, Recipe

if TYPE_CHECKING:
    from stimpute.model._model import StImputeModel


def recipe(self: StImputeModel) -> Recipe:
    """Recipe of the model, with its hyperparameters."""
    return self._recipe


def fit(self: StImputeModel) -> Any:
    """Everything that was learned beside the networks, a frozen dataclass; None before training."""
    return self._fit


def reference(self: StImputeModel) -> AnnData | None:
    """Reference as it was given; None if it is not attached."""
    return None if self.data.attached is None else self.data.attached.adata


def training_record(self: StImputeModel) -> dict[str, Any] | None:
    """Seed and further arguments of the training; None before training."""
    return None if self.training_record_ is None else dict(self.training_record_)


def shared_genes(self: StImputeModel) -> pd.Index:
    """Genes that both datasets measured and expressed, in the order of the spatial data."""
    return pd.Index(self.data.record.shared_genes)


def input_genes(self: StImputeModel) -> pd.Index:
    """Genes that every section must have, the shared genes and those that the reference does not have."""
    return pd.Index(self.data.record.input_genes)


def measured_genes(self: StImputeModel) -> pd.Index:
    """Genes of the spatial data."""
    return self.data.measured_genes(None)


def reference_genes(self: StImputeModel) -> pd.Index:
    """Genes of the reference."""
    return self.data.need_reference().reference.expression.genes


def relations(self: StImputeModel) -> list[str]:
    """Names of the gene relations in use."""
    return list(self.data.record.relations)


def spatial_setup(self: StImputeModel) -> dict[str, Any]:
    """Arguments of `setup_anndata` for the spatial data."""
    return dict(self.registry_["setup_args"])


def reference_setup(self: StImputeModel) -> dict[str, Any]:
    """Arguments of `setup_anndata` for the reference."""
    return dict(self.data.record.reference_setup)


def reference_shape(self: StImputeModel) -> tuple[int, int]:
    """Number of cells and genes of the reference."""
    return self.data.record.reference_shape


def fingerprint(self: StImputeModel) -> str:
    """Digest of expression and gene relations by which the reference is recognized."""
    return self.data.record.fingerprint


def sizes(self: StImputeModel) -> DataSizes:
    """Sizes that determine the shapes of networks and learned arrays."""
    record = self.data.record
    return DataSizes(
        record.n_cells, record.reference_shape[0], len(record.shared_genes), record.relations, record.n_datasets
    )


def summary(self: StImputeModel) -> str:
    """Describe recipe, data and hyperparameters in a few lines."""
    cells = "not attached" if self.adata is None else f"{self.adata.n_obs} cells × {self.adata.n_vars} genes"
    reference = "not attached"
    if self.data.attached is not None:
        reference = "{} cells × {} genes".format(*self.reference_shape)
    hyperparameters = ", ".join(f"{name}={value}" for name, value in self.recipe.hyperparameters().items())
    return (
        f"StImputeModel, recipe {self.recipe.name!r}, {'trained' if self.is_trained_ else 'not trained'}\n"
        f"  spatial    {cells}\n  reference  {reference}\n  shared     {len(self.shared_genes)} genes\n"
        f"  relations  {', '.join(self.relations) or 'none'}\n  {hyperparameters}"
    )

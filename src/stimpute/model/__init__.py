"""The model class, which connects AnnData and scvi-tools with the recipes."""

from stimpute.model._model import StImputeModel

__all__ = ["StImputeModel"]

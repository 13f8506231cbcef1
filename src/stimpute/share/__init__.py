"""Share a trained model: without pickle by default, or as a `scvi.hub` model."""

from ._model import load, save
from .hub import hub_model

__all__ = ["hub_model", "load", "save"]

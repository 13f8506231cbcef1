"""The model class."""

from stimpute.model._model import StImputeModel

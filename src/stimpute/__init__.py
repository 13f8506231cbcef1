"""Predict the genes that imaging-based spatial transcriptomics did not measure."""

from importlib.metadata import version

from stimpute import datasets, pl, pp, report, share, tl
from stimpute.model import StImputeModel

__all__ = ["StImputeModel", "datasets", "pl", "pp", "report", "share", "tl"]
__version__ = version("stimpute")

"""Predict the genes that imaging-based spatial transcriptomics did not measure."""

from importlib.metadata import version
from typing import TYPE_CHECKING

import lazy_loader

from stimpute._screen import ignore_foreign_warnings

if TYPE_CHECKING:
    from stimpute import datasets, pl, pp, recipes, report, share, tl
    from stimpute.explorer import explore
    from stimpute.model import StImputeModel

__all__ = ["StImputeModel", "datasets", "explore", "pl", "pp", "recipes", "report", "share", "tl"]
__version__ = version("stimpute")
ignore_foreign_warnings()

# torch and scvi-tools take seconds to import: `stimpute --help` should not wait for them.
__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submodules=["datasets", "pl", "pp", "recipes", "report", "share", "tl"],
    submod_attrs={"explorer": ["explore"], "model": ["StImputeModel"]},
)

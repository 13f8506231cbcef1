"""Share a trained model: without pickle by default, or as a `scvi.hub` model."""

from stimpute.share._contents import contents
from stimpute.share._model import load, save
from stimpute.share.hub import to_hub

__all__ = ["contents", "load", "save", "to_hub"]

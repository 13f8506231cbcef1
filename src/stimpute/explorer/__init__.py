"""A page to look at any gene on the tissue."""

from stimpute.explorer._serve import ExplorerPage, explore

__all__ = ["ExplorerPage", "explore"]

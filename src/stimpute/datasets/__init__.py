"""A synthetic tissue with known truth, and loaders of public pairs."""

from ._pairs import merfish_hypothalamus, osmfish_cortex, starmap_visual_cortex
from ._synthetic import SyntheticTissue, synthetic_tissue

__all__ = [
    "SyntheticTissue",
    "merfish_hypothalamus",
    "osmfish_cortex",
    "starmap_visual_cortex",
    "synthetic_tissue",
]

"""Load public pairs of a spatial section and a reference, or simulate a tissue with known truth."""

from stimpute.datasets._pairs import merfish_hypothalamus, osmfish_cortex, starmap_visual_cortex
from stimpute.datasets._synthetic import SyntheticTissue, synthetic_tissue

__all__ = [
    "SyntheticTissue",
    "merfish_hypothalamus",
    "osmfish_cortex",
    "starmap_visual_cortex",
    "synthetic_tissue",
]

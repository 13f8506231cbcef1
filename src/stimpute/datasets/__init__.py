"""Read datasets of many formats, load public pairs of a section and a reference, or simulate a tissue."""

from stimpute.datasets._formats import read
from stimpute.datasets._pairs import merfish_hypothalamus, osmfish_cortex, starmap_visual_cortex
from stimpute.datasets._paper import paper_pair, paper_pairs
from stimpute.datasets._synthetic import SyntheticTissue, synthetic_tissue

__all__ = [
    "SyntheticTissue",
    "merfish_hypothalamus",
    "osmfish_cortex",
    "paper_pair",
    "paper_pairs",
    "read",
    "starmap_visual_cortex",
    "synthetic_tissue",
]

"""Plots of imputed expression, of its accuracy and of the model."""

from stimpute.pl._accuracy import accuracy
from stimpute.pl._explained import explained
from stimpute.pl._gene_neighbors import gene_neighbors
from stimpute.pl._history import history
from stimpute.pl._imputed import imputed
from stimpute.pl._intervals import intervals
from stimpute.pl._joint_umap import joint_umap
from stimpute.pl._reliability import reliability

__all__ = [
    "accuracy",
    "explained",
    "gene_neighbors",
    "history",
    "imputed",
    "intervals",
    "joint_umap",
    "reliability",
]

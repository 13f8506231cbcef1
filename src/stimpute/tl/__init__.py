"""Evaluation and analysis of imputed expression."""

from . import metrics
from ._clustering import clustering_scores
from ._coexpression import coexpression_modules
from ._coherence import spatial_coherence
from ._measured import measured_expression
from ._score import score, summarise

__all__ = [
    "clustering_scores",
    "coexpression_modules",
    "measured_expression",
    "metrics",
    "score",
    "spatial_coherence",
    "summarise",
]

"""Evaluation and analysis of imputed expression."""

from . import metrics
from ._clustering import clustering_scores
from ._coexpression import coexpression_modules
from ._coherence import spatial_coherence
from ._cross_validate import CrossValidation, cross_validate
from ._folds import GeneFold
from ._graph_control import GraphControl, graph_control
from ._impute import impute
from ._measured import measured_expression
from ._score import score, summarise
from ._spatialdata import to_spatialdata

__all__ = [
    "CrossValidation",
    "GeneFold",
    "GraphControl",
    "clustering_scores",
    "coexpression_modules",
    "cross_validate",
    "graph_control",
    "impute",
    "measured_expression",
    "metrics",
    "score",
    "spatial_coherence",
    "summarise",
    "to_spatialdata",
]

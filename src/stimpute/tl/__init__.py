"""Evaluation and analysis of imputed expression."""

from stimpute.tl import metrics
from stimpute.tl._baselines import BASELINES
from stimpute.tl._clustering import clustering_scores
from stimpute.tl._coexpression import coexpression_modules
from stimpute.tl._cross_validate import cross_validate
from stimpute.tl._cross_validation import MODEL_NAME, CrossValidation, CrossValidationSettings
from stimpute.tl._folds import fit_fold, gene_folds
from stimpute.tl._gene_fold import GeneFold
from stimpute.tl._impute import impute
from stimpute.tl._join_measured import join_measured
from stimpute.tl._morans_i import morans_i
from stimpute.tl._permute_targets import permute_targets
from stimpute.tl._reference_ablation import reference_ablation
from stimpute.tl._relation_ablation import RelationAblation, relation_ablation
from stimpute.tl._score import LOWER_IS_BETTER, score, summarize
from stimpute.tl._spatialdata import to_spatialdata

__all__ = [
    "BASELINES",
    "LOWER_IS_BETTER",
    "MODEL_NAME",
    "CrossValidation",
    "CrossValidationSettings",
    "GeneFold",
    "RelationAblation",
    "clustering_scores",
    "coexpression_modules",
    "cross_validate",
    "fit_fold",
    "gene_folds",
    "impute",
    "join_measured",
    "metrics",
    "morans_i",
    "permute_targets",
    "reference_ablation",
    "relation_ablation",
    "score",
    "summarize",
    "to_spatialdata",
]

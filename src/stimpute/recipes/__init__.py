"""The methods. A method is a recipe: hyperparameters, networks, training, and a way to predict any gene."""

from stimpute.data._arrays import Shape
from stimpute.data._folds import GeneFolds, GeneSplit, PerFold
from stimpute.data._reference import Reference, ReferenceExpression
from stimpute.data._spatial import CellChunk, SpatialCells
from stimpute.module._module import StImputeModule
from stimpute.recipes._base import Recipe
from stimpute.recipes._crossfit import CrossfitRecipe
from stimpute.recipes._options import Capabilities, DataSizes, OutputOptions
from stimpute.recipes._paper import PaperRecipe
from stimpute.recipes._predictor import CellEncoder, GeneBlock, LatentSpace, Predictor
from stimpute.recipes._registry import RECIPES, get_recipe, register_recipe
from stimpute.train._trainer import PhaseTrainer

register_recipe(CrossfitRecipe)
register_recipe(PaperRecipe)

__all__ = [
    "RECIPES",
    "Capabilities",
    "CellChunk",
    "CellEncoder",
    "CrossfitRecipe",
    "DataSizes",
    "GeneBlock",
    "GeneFolds",
    "GeneSplit",
    "LatentSpace",
    "OutputOptions",
    "PaperRecipe",
    "PerFold",
    "PhaseTrainer",
    "Predictor",
    "Recipe",
    "Reference",
    "ReferenceExpression",
    "Shape",
    "SpatialCells",
    "StImputeModule",
    "get_recipe",
    "register_recipe",
]

"""The methods. A method is a recipe: hyperparameters, networks, training, and a way to predict any gene."""

from stimpute.recipes._base import (
    Capabilities,
    CellEncoder,
    DataSizes,
    GeneBlock,
    LatentSpace,
    OutputOptions,
    Predictor,
    Recipe,
)
from stimpute.recipes._crossfit import CrossfitRecipe
from stimpute.recipes._paper import PaperRecipe
from stimpute.recipes._registry import RECIPES, get_recipe, register_recipe

register_recipe(CrossfitRecipe)
register_recipe(PaperRecipe)

__all__ = [
    "RECIPES",
    "Capabilities",
    "CellEncoder",
    "CrossfitRecipe",
    "DataSizes",
    "GeneBlock",
    "LatentSpace",
    "OutputOptions",
    "PaperRecipe",
    "Predictor",
    "Recipe",
    "get_recipe",
    "register_recipe",
]

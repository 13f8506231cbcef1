"""The methods, each told in one file like the method section of a paper."""

from stimpute.recipes._base import OutputOptions, Predictor, Recipe, Reference
from stimpute.recipes._crossfit import CrossfitRecipe
from stimpute.recipes._paper import PaperRecipe

RECIPES: dict[str, type[Recipe]] = {recipe.name: recipe for recipe in (CrossfitRecipe, PaperRecipe)}

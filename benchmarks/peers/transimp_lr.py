"""TransImp with all cells of the reference and a map of low rank: "TransImpLR", the variant of the paper's comparison.

Its rank is the default of transpa (256).
"""

from peers import transimp

NAME = "TransImpLR"
PACKAGES = transimp.PACKAGES


def predict(fold, seed=0):
    """Map cells of the reference to cells of the section."""
    return transimp.impute(fold, seed, signature_mode="cell", mapping_mode="lowrank")

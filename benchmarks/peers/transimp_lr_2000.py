"""TransImpLR with the 2000 epochs of the authors' examples, in place of the 1000 that are the default of transpa."""

from peers import transimp

NAME = "TransImpLR (2000 epochs)"
PACKAGES = transimp.PACKAGES


def predict(fold, seed=0):
    """Map cells as `transimp_lr.py` does, for longer."""
    return transimp.impute(fold, seed, signature_mode="cell", mapping_mode="lowrank", n_epochs=2000)

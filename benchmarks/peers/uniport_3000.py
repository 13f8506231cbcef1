"""uniPort with 3000 of its default 30000 iterations, for the cost."""

from peers import uniport

NAME = "uniPort (3000 iterations)"
PACKAGES = uniport.PACKAGES


def predict(fold, seed=0):
    """As with all iterations."""
    return uniport.predict(fold, seed, n_iterations=3000)

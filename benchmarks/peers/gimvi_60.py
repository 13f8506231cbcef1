"""gimVI with 60 of its default 200 epochs, for the cost."""

from peers import gimvi

NAME = "gimVI (60 epochs)"
PACKAGES = gimvi.PACKAGES


def predict(fold, seed=0):
    """As with all epochs."""
    return gimvi.predict(fold, seed, n_epochs=60)

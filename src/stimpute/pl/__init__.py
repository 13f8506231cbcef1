"""Pictures of imputed expression, of its accuracy and of the model."""

from ._accuracy import accuracy
from ._embedding import embedding
from ._gene_graph import gene_graph
from ._history import history
from ._imputed import imputed
from ._intervals import intervals
from ._reliability import reliability

__all__ = ["accuracy", "embedding", "gene_graph", "history", "imputed", "intervals", "reliability"]

"""Write one HTML page about imputed expression and how reliable it is."""

from stimpute.report._write import write

__all__ = ["write"]

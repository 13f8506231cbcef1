"""One self-contained page on what was imputed, and how far to trust it."""

from ._write import write

__all__ = ["write"]

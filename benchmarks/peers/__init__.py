"""Peers, one adapter each: a `NAME`, and `predict(fold)` that sees the training genes only. Not part of the package."""

"""Data structures that every method reads: expression, genes, folds, cells in space, and relations between genes."""

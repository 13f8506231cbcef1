"""Training: batches of cells, how a network is optimized, and the phases of a recipe."""

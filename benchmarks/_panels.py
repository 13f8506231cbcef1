"""Simulate a large panel: sparse counts with a few programs behind them, without a dense array of all cells."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse

N_PROGRAMS = 30
CELLS_PER_BLOCK = 500


def simulate_panel(folder: Path, n_panel: int, n_cells: int, n_reference: int, n_genes: int) -> None:
    """Write spatial cells with a panel of genes, and a reference with all genes.

    The panel is drawn from the more highly expressed genes, three times as many where there are as many.
    """
    rng = np.random.default_rng(0)
    level = rng.lognormal(0, 1.5, n_genes)
    programs = level * rng.gamma(0.3, 1, (N_PROGRAMS, n_genes)) + 0.2 * level
    programs = programs.astype(np.float32)
    names = pd.Index([f"gene{i}" for i in range(n_genes)])
    reference = draw_counts(programs, n_reference, 5000, rng)
    ad.AnnData(reference, var=pd.DataFrame(index=names)).write_h5ad(folder / "reference.h5ad")

    candidates = np.argsort(-level)[: 3 * n_panel]
    panel = np.sort(rng.permutation(candidates)[:n_panel])
    efficiency = rng.lognormal(0, 0.7, n_panel).astype(np.float32)
    counts = draw_counts(programs[:, panel] * efficiency, n_cells, 300 + 0.15 * n_panel, rng)
    spatial = ad.AnnData(counts, var=pd.DataFrame(index=names[panel]))
    spatial.obsm["spatial"] = rng.uniform(size=(n_cells, 2))
    spatial.write_h5ad(folder / "spatial.h5ad")


def draw_counts(programs: np.ndarray, n_cells: int, depth: float, rng: np.random.Generator) -> sparse.csr_matrix:
    """Draw Poisson counts of cells that mix a few programs, shape (n_cells, n_genes)."""
    blocks = []
    for start in range(0, n_cells, CELLS_PER_BLOCK):
        n_block = min(CELLS_PER_BLOCK, n_cells - start)
        rate = rng.dirichlet(np.full(len(programs), 0.1), n_block).astype(np.float32) @ programs
        totals = rng.lognormal(np.log(depth), 0.4, n_block).astype(np.float32)
        rate *= (totals / rate.sum(1))[:, None]
        blocks.append(sparse.csr_matrix(rng.poisson(rate).astype(np.float32)))
    return sparse.vstack(blocks).tocsr()

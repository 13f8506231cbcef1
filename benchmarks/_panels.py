"""Simulate a large panel: sparse counts with a few programs behind them, without a dense array of all cells."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
from scipy import sparse

N_PROGRAMS = 30
CELLS_PER_BLOCK = 500
CELLS_PER_FIELD = 1000
N_DISTINCT = 100_000


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


def simulate_section(folder: Path, n_cells: int, n_panel: int, n_reference: int, n_genes: int) -> None:
    """Write a section of any size block by block, cells of a field of view one after another, and its reference.

    At most `N_DISTINCT` cells are drawn; a larger section repeats them at other positions.
    """
    rng = np.random.default_rng(0)
    level = rng.lognormal(0, 1.5, n_genes)
    programs = level * rng.gamma(0.3, 1, (N_PROGRAMS, n_genes)) + 0.2 * level
    programs = programs.astype(np.float32)
    names = pd.Index([f"gene{i}" for i in range(n_genes)])
    if not (folder / "reference.h5ad").exists():
        reference = draw_counts(programs, n_reference, 5000, rng)
        ad.AnnData(reference, var=pd.DataFrame(index=names)).write_h5ad(folder / "reference.h5ad")

    panel = np.sort(np.argsort(-level)[: 3 * n_panel : 3])
    counts = draw_counts(programs[:, panel], min(n_cells, N_DISTINCT), 300, rng)
    n_fields = -(-n_cells // CELLS_PER_FIELD)
    side = int(np.ceil(n_fields**0.5))
    field = np.arange(n_cells) // CELLS_PER_FIELD
    coords = rng.uniform(size=(n_cells, 2)) + np.column_stack([field % side, field // side])
    spatial = ad.AnnData(
        obs=pd.DataFrame(index=np.arange(n_cells).astype(str)),
        var=pd.DataFrame(index=names[panel]),
        obsm={"spatial": coords},
    )
    path = folder / "spatial.h5ad"
    spatial.write_h5ad(path)
    with h5py.File(path, "a") as file:
        ad.io.write_elem(file, "X", counts)
        stored = ad.io.sparse_dataset(file["X"])
        for start in range(N_DISTINCT, n_cells, N_DISTINCT):
            stored.append(counts[: min(N_DISTINCT, n_cells - start)])

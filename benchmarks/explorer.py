"""Time what the explorer does: python benchmarks/explorer.py --cells 100000 --genes 1000

A synthetic tissue with 100 measured genes; more than 50,000 cells are copies of it, side by side. Prints seconds of
wall and of CPU time: until the page is there, for a gene that was not measured, for a measured one, with `--ahead`
after the cells were encoded for all folds, and for a region.
"""

import argparse
import resource
import threading
import time

import anndata as ad
import numpy as np

from stimpute import StImputeModel
from stimpute.datasets import synthetic_tissue
from stimpute.explorer._page import Page
from stimpute.explorer._pictures import Explorer

MAX_SIMULATED = 50_000
N_COLUMNS = 5  # of copies
N_CHOSEN = 6  # genes of each kind


def make_tissue(n_cells, n_genes):
    """Simulate a tissue, and put copies of it side by side."""
    n_copies = max(1, n_cells // MAX_SIMULATED)
    tissue = synthetic_tissue(n_cells // n_copies, n_reference=3000, n_measured=100, n_unmeasured=n_genes)
    size = 1.02 * np.ptp(tissue.spatial.obsm["spatial"], axis=0)
    copies = []
    for i in range(n_copies):
        copy = tissue.spatial.copy()
        copy.obsm["spatial"] = copy.obsm["spatial"] + size * [i % N_COLUMNS, i // N_COLUMNS]
        copy.obs_names = [f"{i}_{name}" for name in copy.obs_names]
        copies.append(copy)
    return ad.concat(copies), tissue.reference


def timed(name, function, *args):
    """Call a function, and print what it took."""
    wall = time.perf_counter()
    cpu = time.process_time()
    result = function(*args)
    wall = time.perf_counter() - wall
    cpu = time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{name:<30} wall {wall:7.2f} s  CPU {cpu:7.2f} s  peak {peak:5.1f} GiB", flush=True)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=100_000)
    parser.add_argument("--genes", type=int, default=1000)
    parser.add_argument("--ahead", action="store_true", help="encode all folds first, as the page does meanwhile")
    options = parser.parse_args()
    spatial, reference = make_tissue(options.cells, options.genes)
    StImputeModel.setup_anndata(spatial)
    StImputeModel.setup_anndata(reference)
    model = StImputeModel(spatial, reference)
    model.train(enable_progress_bar=False)
    measured = list(spatial.var_names)
    unmeasured = [gene for gene in reference.var_names if gene not in spatial.var_names]

    explorer = timed("describe genes, encode cells", Explorer.from_model, model)
    page = timed("first page", Page, explorer)
    for gene in unmeasured[:N_CHOSEN]:
        timed("gene that was not measured", page.choose, gene)
    if options.ahead:
        timed("all folds", explorer.values.encode_folds, threading.Event())
    for gene in measured[:N_CHOSEN]:
        timed("measured gene", page.choose, gene)
    timed("zoom", page._maps._redraw)
    low = page.section.coords.min(axis=0)
    high = low + np.ptp(page.section.coords, axis=0) / 3
    box = {"type": "rect", "x0": low[0], "y0": low[1], "x1": high[0], "y1": high[1]}
    timed("region", page._select, box)
    timed("CSV", page._make_csv)
    timed("PNG", page._make_png)


if __name__ == "__main__":
    main()

"""Train on a synthetic tissue, impute its unmeasured genes to a store, and print what it took, as JSON.

`python -m benchmarks.paper._fit_once crossfit 4000 100`: the recipe, and the numbers of cells and of unmeasured genes.
"""

from __future__ import annotations

import json
import logging
import resource
import sys
import tempfile
import time
import warnings
from pathlib import Path

from stimpute import StImputeModel, datasets

N_REFERENCE = 3000
N_MEASURED = 100


def make_tissue(n_cells: int, n_genes: int) -> datasets.SyntheticTissue:
    """Simulate a section, and a reference with further genes."""
    return datasets.synthetic_tissue(n_cells, N_REFERENCE, n_measured=N_MEASURED, n_unmeasured=n_genes)


def main(recipe: str, n_cells: int, n_genes: int) -> None:
    """Measure once, in this process."""
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    tissue = make_tissue(n_cells, n_genes)
    StImputeModel.setup_anndata(tissue.spatial)
    StImputeModel.setup_anndata(tissue.reference)
    start = time.process_time()
    model = StImputeModel(tissue.spatial, tissue.reference, recipe=recipe)
    model.train(enable_progress_bar=False)
    trained = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        model.impute(out=Path(folder) / "imputed.zarr", progress=False)
    taken = {
        "train_seconds": trained - start,
        "impute_seconds": time.process_time() - trained,
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }
    print(json.dumps({name: round(value, 2) for name, value in taken.items()}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))

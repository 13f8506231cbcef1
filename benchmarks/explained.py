"""Find the cells whose type the reference lacks: `python benchmarks/explained.py --seeds 3 4 5`.

One cell type after another is removed from the reference. The table has the area under the ROC curve with which
`1 - explained` finds the cells of that type, beside the distance to the 10 nearest reference cells in the latent space
and the squared error of hidden genes in a cell. `--wrong` compares the right reference with one of another tissue.
"""

from __future__ import annotations

import argparse
import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from _pairs import DATA, load_pair
from _results import section, show
from sklearn.metrics import roc_auc_score

from stimpute import StImputeModel, datasets

# Cell types of the section, and how the names of the same types begin (or what they contain) in the reference.
STARMAP = {
    "Astro": "Astro",
    "Oligo": "Oligo",
    "PVALB": "Pvalb",
    "eL2_3": "L2/3 IT",
    "eL5": "L5",
    "eL6": "L6",
}
HYPOTHALAMUS = {"Inhibitory": "GABA", "Excitatory": "Vglut2"}
MIN_SHARE = 0.03
N_NEAREST = 10


@dataclass(frozen=True)
class Case:
    """A section, a reference without some cells, and which cells of the section these should have explained."""

    name: str
    spatial: ad.AnnData
    reference: ad.AnnData
    missing: np.ndarray


def synthetic_cases(seed: int) -> Iterator[Case]:
    """Remove each type of a simulated tissue with at least 3 % of the cells."""
    tissue = datasets.synthetic_tissue(n_cells=1500, n_reference=2000, seed=seed)
    labels = tissue.spatial.obs["cell_type"]
    for kind in sorted(labels.unique()):
        missing = (labels == kind).to_numpy()
        if missing.mean() >= MIN_SHARE:
            kept = (tissue.reference.obs["cell_type"] != kind).to_numpy()
            yield Case(f"synthetic {seed}", tissue.spatial.copy(), tissue.reference[kept].copy(), missing)


def real_cases() -> Iterator[Case]:
    """Remove types of the real references, and take the glia that the hypothalamus reference lacks from the start."""
    for name, types in (("STARMAP_V1", STARMAP), ("MERFISH_HYPOTHALAMUS", HYPOTHALAMUS)):
        pair = load_pair(name)
        for label, pattern in types.items():
            removed = pair.reference.obs["cell_type"].astype(str).str.contains(pattern, regex=False).to_numpy()
            missing = (pair.spatial.obs["cell_type"] == label).to_numpy()
            yield Case(f"{name}, {label}", pair.spatial.copy(), pair.reference[~removed].copy(), missing)
    neurons = (pair.reference.obs["cell_class"] == "Neurons").to_numpy()
    glia = ~pair.spatial.obs["is_neuron"].to_numpy(dtype=bool)
    yield Case("MERFISH_HYPOTHALAMUS, all but neurons", pair.spatial.copy(), pair.reference[neurons].copy(), glia)


def fit(spatial: ad.AnnData, reference: ad.AnnData) -> StImputeModel:
    """Train a model."""
    StImputeModel.setup_anndata(spatial)
    StImputeModel.setup_anndata(reference)
    model = StImputeModel(spatial, reference)
    model.train(seed=0, enable_progress_bar=False)
    return model


def measure(case: Case) -> dict[str, float | str]:
    """Compute the area under the curve of each score."""
    model = fit(case.spatial, case.reference)
    explained = model.get_explained().to_numpy()
    auc: Callable[[np.ndarray], float] = lambda score: roc_auc_score(case.missing, score)
    row = {
        "case": case.name,
        "share": case.missing.mean(),
        "1 - explained": auc(-explained),
        "latent distance": auc(-model.get_neighbors(n_neighbors=N_NEAREST)[1].mean(1)),
        "error of hidden genes": auc(error_of_hidden_genes(model)),
        "at 0 or below, missing": (explained[case.missing] <= 0).mean(),
        "at 0 or below, others": (explained[~case.missing] <= 0).mean(),
    }
    StImputeModel.release(case.spatial, case.reference)
    return row


def error_of_hidden_genes(model: StImputeModel) -> np.ndarray:
    """Compute the mean squared error of standardized hidden genes, shape (n_cells,)."""
    genes = model.shared_genes
    predicted = model.impute(genes=list(genes), progress=False).X
    counts = model.adata[:, genes].X.toarray()
    total = np.maximum(counts.sum(1, keepdims=True), 1)
    measured = np.log1p(counts * (np.median(total) / total))
    return (((measured - predicted) / np.maximum(measured.std(0), 1e-6)) ** 2).mean(1)


def wrong_tissue() -> pd.DataFrame:
    """Describe `explained` with the right reference and with one of another tissue."""
    rows = []
    for name, other in (("OSMFISH", "MERFISH_HYPOTHALAMUS"), ("MERFISH_HYPOTHALAMUS", "STARMAP_V1")):
        spatial = ad.read_h5ad(DATA / name / "spatial.h5ad")
        for kind, source in (("right", name), ("wrong", other)):
            model = fit(spatial.copy(), ad.read_h5ad(DATA / source / "reference.h5ad"))
            explained = model.get_explained()
            quantiles = {f"{q:.0%}": explained.quantile(q) for q in (0.05, 0.25, 0.5, 0.75, 0.95)}
            counts = {"section": name, "reference": f"{kind}: {source}", "shared genes": len(model.shared_genes)}
            rows.append({**counts, **quantiles, "at 0 or below": (explained <= 0).mean()})
    return pd.DataFrame(rows)


def main() -> None:
    """Run, print and, with `--out`, append a section to a Markdown file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="*", default=[3, 4, 5], help="of the synthetic tissues")
    parser.add_argument("--real", action="store_true", help="the real pairs, too")
    parser.add_argument("--wrong", action="store_true", help="references of another tissue, and nothing else")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    if args.wrong:
        show(section("Explained cells, references of another tissue", wrong_tissue().round(3)), args.out)
        return
    rows = [measure(case) for seed in args.seeds for case in synthetic_cases(seed)]
    table = pd.DataFrame(rows).groupby("case", sort=False).mean().reset_index() if rows else pd.DataFrame()
    if args.real:
        table = pd.concat([table, pd.DataFrame([measure(case) for case in real_cases()])])
    show(section("Explained cells, one type missing in the reference", table.round(3)), args.out)


if __name__ == "__main__":
    main()

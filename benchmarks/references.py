"""What are further references worth? `python benchmarks/references.py --cells 1000`.

Every pair is cross-validated with its own reference, with further references of other pairs, with a published table of
marker genes, and with a reference whose gene names are permuted, which says nothing. The hidden genes and folds are the
same.
"""

from __future__ import annotations

import argparse
import logging
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from _markers import mouse_markers
from _pairs import DATA, MAX_REFERENCE, Pair, load_pair
from _results import section, show
from anndata import AnnData, read_h5ad

from stimpute import pp, tl

FURTHER = {
    "OSMFISH": {"motor cortex": "OSMFISH/reference_mop500", "hypothalamus": "MERFISH_HYPOTHALAMUS/reference"},
    "MERFISH_HYPOTHALAMUS": {"motor cortex": "OSMFISH/reference_mop500"},
    "STARMAP_V1": {"hypothalamus": "MERFISH_HYPOTHALAMUS/reference"},
}
METRICS = ["pcc", "spearman", "css", "mse", "ssim"]


def read_reference(path: str, *, permuted: bool = False) -> AnnData:
    """Read a reference, and draw cells from a large one; with permuted gene names it says nothing."""
    adata = read_h5ad(DATA / f"{path}.h5ad")
    rng = np.random.RandomState(0)
    if adata.n_obs > MAX_REFERENCE:
        adata = adata[np.sort(rng.choice(adata.n_obs, MAX_REFERENCE, replace=False))].copy()
    if permuted:
        adata.var_names = rng.permutation(adata.var_names)
    return adata


def choices(pair: Pair) -> dict[str, dict[str, AnnData]]:
    """Return the sets of references to compare, by name."""
    own = {"own": pair.reference}
    paths = FURTHER[pair.name]
    further = {name: read_reference(path) for name, path in paths.items()}
    markers = {"markers": pp.marker_reference(mouse_markers(), score="score")}
    useless = {"permuted": read_reference(next(iter(paths.values())), permuted=True)}
    sets = (own, own | further, own | markers, own | further | markers)
    found = {" + ".join(references): references for references in sets}
    found[f"own + {next(iter(paths))}, permuted"] = own | useless
    return found


def rows(name: str, n_cells: int | None, seed: int) -> list[dict]:
    """Cross-validate a pair with every set of references."""
    pair = load_pair(name, n_cells)
    pp.add_protein_embeddings(pair.reference, pair.proteins)
    found = []
    for label, references in choices(pair).items():
        start = time.process_time()
        setups = {"markers": {"expression": "normalized"}} if "markers" in references else None
        options = {"seed": seed, "interval": 0.9, "baselines": False, "progress": False}
        result = tl.cross_validate(pair.spatial, references, reference_setup=setups, **options)
        cpu = time.process_time() - start
        predicted = result.predicted
        inside = (predicted.layers["lower"] <= predicted.X) & (predicted.layers["upper"] >= predicted.X)
        by_gene = tl.score(predicted.X, predicted.layers["stimpute"], list(predicted.var_names), metrics=METRICS)
        scores = by_gene.groupby("metric", sort=False)["value"].mean()
        by_cell = result.summary.loc["stimpute", ["cell_css", "cell_pcc"]]
        row = {**scores, **by_cell, "coverage": inside.mean(), "cpu": cpu}
        found.append({"pair": name, "references": label, "seed": seed, **row})
    return found


def main() -> None:
    """Run, print and, with `--out`, append a section to a Markdown file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pair", nargs="+", default=list(FURTHER), choices=list(FURTHER))
    parser.add_argument("--cells", type=int, help="number of spatial cells to draw; all if not given")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    found = [row for name in args.pair for seed in args.seeds for row in rows(name, args.cells, seed)]
    groups = pd.DataFrame(found).drop(columns="seed").groupby(["pair", "references"], sort=False)
    table = groups.mean().round(3).astype(str)
    if len(args.seeds) > 1:
        table = table + " ± " + groups.std().round(3).astype(str)
    show(section("Further references", table.reset_index()), args.out)


if __name__ == "__main__":
    main()

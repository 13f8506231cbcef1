"""Does the form for large panels lose accuracy? `python benchmarks/low_rank.py --cells 1000 --seeds 0 1 2`.

Panels of at most 1000 shared genes are predicted twice, in five folds: with exact correlations, as they are, and in
principal components, as larger ones.
"""

from __future__ import annotations

import argparse
import logging
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from _pairs import load_pair
from _results import section, show

from stimpute import tl
from stimpute.tl import GeneFold

FORMS = {"exact": 1000, "principal components": 1}  # shared genes up to which correlations are exact
METRICS = ["pcc", "spearman", "mse"]


def rows(name: str, n_cells: int | None, seed: int, n_components: int) -> list[dict]:
    """Predict the genes of a pair in both forms: one row per form."""
    pair = load_pair(name, n_cells)
    found = []
    for form, max_exact_genes in FORMS.items():
        options = {"max_exact_genes": max_exact_genes, "n_components": n_components}
        folds = tl.gene_folds(pair.spatial, pair.reference, seed=seed)
        truth = np.concatenate([fold.truth for fold in folds], axis=1)
        predicted = np.concatenate([predict(fold, seed, options) for fold in folds], axis=1)
        scores = tl.score(truth, predicted, metrics=METRICS).groupby("metric")["value"].mean()
        found.append({"pair": name, "seed": seed, "correlations": form, "genes": truth.shape[1], **scores[METRICS]})
    return found


def predict(fold: GeneFold, seed: int, options: dict[str, int]) -> np.ndarray:
    """Impute the hidden genes of a fold."""
    model = tl.fit_fold(fold, train_kwargs={"seed": seed, "enable_progress_bar": False}, **options)
    return np.asarray(model.impute(genes=fold.targets, progress=False).X)


def main() -> None:
    """Run, print and, with `--out`, append a section to a Markdown file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pair", nargs="+", default=["OSMFISH", "MERFISH_HYPOTHALAMUS", "STARMAP_V1"])
    parser.add_argument("--cells", type=int, help="number of spatial cells to draw; all if not given")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--components", type=int, default=128)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    found = [row for name in args.pair for seed in args.seeds for row in rows(name, args.cells, seed, args.components)]
    show(section("Exact correlations and principal components", pd.DataFrame(found).round(4)), args.out)


if __name__ == "__main__":
    main()

"""How well are mean and standard deviation of a hidden gene predicted? `python benchmarks/levels.py --cells 1000`.

The genes of each fold are hidden from the model. Its `expected_mean` and `expected_std`, and the mean and standard
deviation of the baselines' predictions, are compared with those of the measured values, over all hidden genes.
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
from stimpute.tl import BASELINES, GeneFold

Levels = tuple[np.ndarray, np.ndarray]  # mean and standard deviation, shape (n_genes,) each


def predict_levels(fold: GeneFold, seed: int) -> Levels:
    """Return what the model expects of the hidden genes of a fold."""
    model = tl.fit_fold(fold, train_kwargs={"seed": seed, "enable_progress_bar": False})
    table = model.gene_reliability(fold.targets)
    return table["expected_mean"].to_numpy(), table["expected_std"].to_numpy()


def rows(name: str, n_cells: int | None, seed: int) -> list[dict]:
    """Compare every method with the measured genes of a pair: one row per method."""
    pair = load_pair(name, n_cells)
    folds = tl.gene_folds(pair.spatial, pair.reference, seed=seed)
    truth = np.concatenate([[fold.truth.mean(0), fold.truth.std(0)] for fold in folds], axis=1)
    found = {}
    for method, predict in BASELINES.items():
        values = [predict(fold) for fold in folds]
        found[method] = np.concatenate([[value.mean(0), value.std(0)] for value in values], axis=1)
    found["stimpute, crossfit"] = np.concatenate([predict_levels(fold, seed) for fold in folds], axis=1)
    return [{"pair": name, "seed": seed, "method": method, **compare(truth, found[method])} for method in found]


def compare(truth: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Compute correlation and root mean squared error of means and of standard deviations."""
    result = {}
    for row, level in enumerate(["mean", "std"]):
        varies = np.ptp(predicted[row]) > 1e-4  # the baselines but kNN predict no standard deviation
        result[f"r of {level}"] = np.corrcoef(truth[row], predicted[row])[0, 1] if varies else np.nan
        result[f"error of {level}"] = np.sqrt(np.mean((truth[row] - predicted[row]) ** 2))
    return result


def main() -> None:
    """Run, print and, with `--out`, append a section to a Markdown file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pair", nargs="+", default=["OSMFISH", "MERFISH_HYPOTHALAMUS", "STARMAP_V1"])
    parser.add_argument("--cells", type=int, help="number of spatial cells to draw; all if not given")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    found = [row for name in args.pair for seed in args.seeds for row in rows(name, args.cells, seed)]
    table = pd.DataFrame(found).groupby(["pair", "method"], sort=False).mean().drop(columns="seed")
    show(section("Levels of hidden genes", table.round(3).reset_index()), args.out)


if __name__ == "__main__":
    main()

"""Accuracy on genes that no method has seen: `python benchmarks/accuracy.py --pair OSMFISH --recipe crossfit`.

Genes are split into five folds; a method sees the spatial data without the genes of a fold, and the reference. Every
table has the constant, the calibrated reference mean and kNN. `--peers` adds the peers that are installed
(`python -m benchmarks.peers --install`), `--ablations` the parts of the method, and `--adapter FILE` a
method of your own.
"""

from __future__ import annotations

import argparse
import gc
import logging
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from _methods import Predict, Prediction, ablations, adapter, baselines, peers, stimpute
from _pairs import Pair, load_pair
from _results import section, show
from scipy.stats import spearmanr

from stimpute import pp, tl
from stimpute.recipes import RECIPES

METRICS = ["pcc", "spearman", "css", "mse", "ssim", "rmse_z", "js"]


def methods(args: argparse.Namespace, seed: int) -> dict[str, Predict]:
    """Choose the rows of the table."""
    name = f"stimpute, {args.recipe}"
    rows = {**baselines(), name: stimpute(args.recipe, seed=seed, full=True)}
    if args.ablations:
        rows |= ablations(seed)
    for path in args.adapter:
        rows |= adapter(path)
    if args.peers:
        found, missing = peers()
        rows |= found
        for peer, reason in missing.items():
            print(f"not run: {peer}: {reason}", file=sys.stderr)
    return rows


def run(pair: Pair, args: argparse.Namespace, seed: int) -> list[dict]:
    """Run every method for one seed of the folds."""
    reference = pair.reference.copy()
    if not args.no_proteins:
        pp.add_protein_embeddings(reference, pair.proteins)
    folds = tl.gene_folds(pair.spatial, reference, seed=seed, totals=args.totals)
    names = pd.Index(sorted(gene for fold in folds for gene in fold.targets))
    gc.freeze()  # the collection after each fold need not look through the libraries
    rows = []
    for name, method in methods(args, seed).items():
        start = time.process_time()
        predictions = [method(fold) for fold in folds]
        cpu = time.process_time() - start
        rows.append({"method": name, "seed": seed, **score(folds, predictions, names, pair), "cpu": cpu})
        pcc = rows[-1]["pcc"]
        print(f"{pair.name} seed {seed} {name}: PCC {pcc:.3f}, {cpu:.0f} CPU s", file=sys.stderr, flush=True)
        if predictions[0].matched is not None:
            matched = [Prediction(p.matched) for p in predictions]
            rows.append({"method": f"{name}, variance matched", "seed": seed, **score(folds, matched, names, pair)})
    return rows


def score(folds: list, predictions: list[Prediction], names: pd.Index, pair: Pair) -> dict[str, float]:
    """Compute means over genes and cells, coverage of the intervals, and how well reliability ranks the genes."""
    columns = np.concatenate([names.get_indexer(fold.targets) for fold in folds])
    order = np.argsort(columns)
    together = lambda parts: np.concatenate(parts, axis=-1)[..., order]
    truth = together([fold.truth for fold in folds])
    predicted = together([p.expression for p in predictions])
    by_gene = tl.score(truth, predicted, list(names), metrics=METRICS).pivot(
        index="gene", columns="metric", values="value"
    )
    by_gene = by_gene.loc[names]
    by_cell = tl.score(truth, predicted, axis="cell", metrics=["css", "pcc"]).groupby("metric")["value"].mean()
    row = {**by_gene.mean(), "cell_css": by_cell["css"], "cell_pcc": by_cell["pcc"]}
    if predictions[0].lower is not None:
        lower, upper = (together([getattr(p, side) for p in predictions]) for side in ("lower", "upper"))
        row |= interval_row(truth, predicted, lower, upper)
    if predictions[0].reliability is not None:
        reliability = together([p.reliability for p in predictions])
        mean = np.asarray(pair.reference[:, names].X.mean(0)).ravel()
        top = reliability >= np.median(reliability)
        pcc = by_gene["pcc"].to_numpy()
        row |= {
            "reliability": spearmanr(reliability, pcc)[0],
            "by_mean": spearmanr(mean, pcc)[0],
            "top_half": pcc[top].mean() / pcc.mean(),
            "best_half": pcc[pcc >= np.median(pcc)].mean() / pcc.mean(),
        }
        row["share_of_best"] = (row["top_half"] - 1) / (row["best_half"] - 1)
    return row


def interval_row(truth: np.ndarray, predicted: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> dict[str, float]:
    """Describe the intervals, and one interval of constant size for all values that covers as much on average."""
    inside = (truth >= lower) & (truth <= upper)
    grid = np.linspace(0, 12, 241)
    residual = np.abs(truth - predicted)
    constant = grid[np.argmax([(residual <= half).mean() >= inside.mean() for half in grid])]
    reach = np.minimum(predicted, constant) + constant
    return {
        "coverage": inside.mean(),
        "above_zero": inside[truth > 0].mean(),
        **coverage_of_quarters(truth, inside),
        "width": (upper - lower).mean(),
        "constant_least_covered": coverage_of_quarters(truth, residual <= constant)["least_covered"],
        "constant_width": reach.mean(),
    }


def coverage_of_quarters(truth: np.ndarray, inside: np.ndarray) -> dict[str, float]:
    """Compute the lowest coverage of four groups of genes by mean, and that of the quarter covered least."""
    group = pd.qcut(truth.mean(0), 4, labels=False, duplicates="drop")
    n_quarter = -(-inside.shape[1] // 4)
    return {
        "worst_group": min(inside[:, group == g].mean() for g in np.unique(group)),
        "least_covered": np.sort(inside.mean(0))[:n_quarter].mean(),
    }


def table(rows: list[dict]) -> pd.DataFrame:
    """Compute mean ± standard deviation over seeds."""
    frame = pd.DataFrame(rows).drop(columns="seed")
    groups = frame.groupby("method", sort=False)
    mean, std = groups.mean(), groups.std().fillna(0)
    shown = mean.round(3).astype(str) + " ± " + std.round(3).astype(str) if len(rows) > len(mean) else mean.round(3)
    return shown.where(mean.notna(), "")


def main() -> None:
    """Run, print and, with `--out`, append a section to a Markdown file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pair", nargs="+", default=["OSMFISH"])
    parser.add_argument("--recipe", default="crossfit", choices=sorted(RECIPES))
    parser.add_argument(
        "--totals", choices=["input", "all"], default="input", help="all: as published for the paper, with its leak"
    )
    parser.add_argument("--cells", type=int, help="number of spatial cells to draw; all if not given")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--no-proteins", action="store_true")
    parser.add_argument("--ablations", action="store_true")
    parser.add_argument("--peers", action="store_true")
    parser.add_argument(
        "--adapter", type=Path, nargs="+", default=[], help="files of your own with NAME and predict(fold)"
    )
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    for name in args.pair:
        pair = load_pair(name, args.cells)
        rows = [row for seed in args.seeds for row in run(pair, args, seed)]
        title = f"{pair.name}, {pair.spatial.n_obs} cells × {pair.spatial.n_vars} genes, totals: {args.totals}"
        note = "; CPU seconds are for the five folds of one seed"
        show(section(title, table(rows).reset_index(), note), args.out)


if __name__ == "__main__":
    main()

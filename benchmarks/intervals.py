"""Do intervals hold where it is hard? `python benchmarks/intervals.py --cells 1000`.

Three settings: folds of genes at random; the half of the genes with the lower mean in the reference hidden as a whole,
since unmeasured genes are rarer than panel genes; and the half with the lower detection rate. Coverage is reported over
all values, over values above zero, in the quarter of the genes that is covered least, and in the cell type that is
covered least (types of at least 20 cells).
"""

from __future__ import annotations

import argparse
import logging
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from _pairs import Pair, load_pair
from _results import section, show
from accuracy import interval_row

from stimpute import StImputeModel, tl
from stimpute.data._expression import read_expression
from stimpute.data._reference import ReferenceExpression

LEVEL = 0.9
MIN_CELLS = 20
Values = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # truth, prediction, lower and upper bounds


def predict_folds(pair: Pair, seed: int) -> Values:
    """Predict every gene while its fold is hidden."""
    folds = tl.gene_folds(pair.spatial, pair.reference, seed=seed)
    parts = [_predict(tl.fit_fold(fold, train_kwargs=_quiet(seed)), fold.targets, fold.truth) for fold in folds]
    return tuple(np.concatenate(arrays, axis=1) for arrays in zip(*parts, strict=True))


def predict_rarer_half(pair: Pair, statistic: str, seed: int) -> Values:
    """Predict the half of the genes with the lower statistic in the reference, all hidden at once."""
    reference = ReferenceExpression(read_expression(pair.reference))
    genes = pair.spatial.var_names
    values = getattr(reference, statistic)[reference.genes.get_indexer(genes)]
    rare = np.argsort(values)[: len(genes) // 2]
    visible = pair.spatial[:, np.delete(np.arange(len(genes)), rare)]
    totals = np.asarray(visible.X.sum(1)).ravel()
    visible = visible[totals > 0].copy()
    factor = np.median(totals[totals > 0]) / totals[totals > 0]
    truth = np.log1p(pair.spatial[totals > 0, rare].X.toarray() * factor[:, None])
    reference = pair.reference.copy()
    StImputeModel.setup_anndata(visible)
    StImputeModel.setup_anndata(reference)
    model = StImputeModel(visible, reference)
    model.train(**_quiet(seed))
    return _predict(model, list(genes[rare]), truth)


def _predict(model: StImputeModel, genes: list[str], truth: np.ndarray) -> Values:
    imputed = model.impute(genes=genes, interval=LEVEL, progress=False)
    return truth, imputed.X, imputed.layers["lower"], imputed.layers["upper"]


def _quiet(seed: int) -> dict:
    return {"seed": seed, "enable_progress_bar": False}


def describe(values: Values, labels: pd.Series | None) -> dict[str, float]:
    """Compute coverage and width, and the coverage of the cell type that is covered least."""
    truth, predicted, lower, upper = values
    row = interval_row(truth, predicted, lower, upper)
    if labels is not None and len(labels) == len(truth):
        inside = (truth >= lower) & (truth <= upper)
        sizes = labels.value_counts()
        types = sizes.index[sizes >= MIN_CELLS]
        row["least_covered_type"] = min(inside[labels.to_numpy() == name].mean() for name in types)
    return row


def rows(name: str, n_cells: int | None, seed: int) -> list[dict]:
    """Describe the intervals of a pair in every setting."""
    pair = load_pair(name, n_cells)
    labels = pair.spatial.obs.get("cell_type")
    found = {
        "random folds": predict_folds(pair, seed),
        "rarer half hidden, by mean": predict_rarer_half(pair, "mean", seed),
        "rarer half hidden, by detection": predict_rarer_half(pair, "detection_rate", seed),
    }
    return [
        {"pair": name, "hidden": setting, "seed": seed, **describe(values, labels)} for setting, values in found.items()
    ]


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
    table = pd.DataFrame(found).groupby(["pair", "hidden"], sort=False).mean().drop(columns="seed")
    show(section(f"Intervals of {LEVEL:.0%}", table.round(3).reset_index()), args.out)


if __name__ == "__main__":
    main()

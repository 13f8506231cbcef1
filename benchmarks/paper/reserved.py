"""Half of the genes, 80 % of the genes, and a fifth of the cells held out (S3)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from _methods import Prediction, baselines
from _pairs import Pair
from benchmarks.paper._held_out import make_folds, of_function, predict, summarize
from benchmarks.paper._reserved_page import show
from benchmarks.paper._rivals import RIVALS
from benchmarks.paper._study import Study

from stimpute import StImputeModel, tl
from stimpute.tl import GeneFold

ORDER = 30
SHARES = (20, 50, 80)  # percent of the genes that are held out
NEW_CELLS = 0.2


def hide(pair: Pair, percent: int, seed: int) -> GeneFold:
    """Hold out a share of the genes, drawn at random; the larger share contains the smaller one."""
    genes = np.random.default_rng(seed).permutation(pair.spatial.var_names)
    targets = sorted(genes[: round(len(genes) * percent / 100)])
    visible = pair.spatial[:, ~pair.spatial.var_names.isin(targets)].copy()
    total = np.maximum(np.asarray(visible.X.sum(1)).ravel(), 1)
    truth = np.log1p(pair.spatial[:, targets].X.toarray() * (np.median(total) / total)[:, None])
    reference = make_folds(pair, seed)[0].reference  # with protein vectors
    setup = {"expression": "counts"}
    return GeneFold(0, visible, reference, targets, truth.astype(np.float32), dict(setup), dict(setup))


def splits(fold: GeneFold, seed: int) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield cells to train on and cells to score: all, and a fifth that training did not see."""
    cells = np.arange(fold.spatial.n_obs)
    yield "all cells", cells, cells
    new = np.random.default_rng(seed).permutation(cells)[: int(NEW_CELLS * len(cells))]
    yield "cells that were trained on", cells, np.sort(new)
    yield "cells that were not trained on", np.setdiff1d(cells, new), np.sort(new)


def measure(pair: Pair, seed: int, part: str) -> pd.DataFrame:
    """Score a method with a share of the genes held out."""
    name, share = part.split("; ")
    percent = int(share.split()[0])
    fold = hide(pair, percent, seed)
    tables = []
    for cells, train, test in splits(fold, seed):
        if name == "plain" and cells != "all cells":
            continue
        for method, predicted in _predict(name, fold, train, test, seed).items():
            seen = GeneFold(0, fold.spatial[test], fold.reference, fold.targets, fold.truth[test], {}, {})
            seen.spatial_setup.update(fold.spatial_setup)
            seen.reference_setup.update(fold.reference_setup)
            held = predict([seen], lambda _, values=predicted: Prediction(values))
            tables.append(summarize(held, method).assign(cells=cells))
    return pd.concat(tables, ignore_index=True).assign(percent=percent)


def _predict(name: str, fold: GeneFold, train: np.ndarray, test: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    if name == "plain":
        methods = {**baselines(), "ridge": of_function(RIVALS["ridge"])}
        return {method: function(fold).expression for method, function in methods.items()}
    spatial = fold.spatial[train].copy()
    training = GeneFold(0, spatial, fold.reference, fold.targets, fold.truth[train], *_setups(fold))
    model = tl.fit_fold(training, train_kwargs={"enable_progress_bar": False, "seed": seed}, recipe=name)
    new = fold.spatial[test].copy()
    StImputeModel.setup_anndata(new, **fold.spatial_setup)
    return {name: model.impute(adata=new, genes=fold.targets, progress=False).X}


def _setups(fold: GeneFold) -> tuple[dict, dict]:
    return dict(fold.spatial_setup), dict(fold.reference_setup)


STUDY = Study(
    title="Reserved genes and cells",
    paper="S3",
    question="How much is lost when more genes are held out, and in cells that training did not see?",
    measure=measure,
    show=show,
    parts=tuple(f"{name}; {percent} %" for percent in SHARES for name in ("crossfit", "paper", "plain")),
)

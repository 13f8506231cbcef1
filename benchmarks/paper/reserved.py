"""Half of the genes, 80 % of the genes, and a fifth of the cells held out (S3)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from _methods import Prediction, baselines
from _pairs import Pair
from benchmarks.paper._compare import SIMULATED
from benchmarks.paper._held_out import HeldOut, make_folds, of_function, predict, score_cells, summarize
from benchmarks.paper._reserved_page import ALL_CELLS, OVER_COMMON, RIDGES, SEEN, SHARES, UNSEEN, show
from benchmarks.paper._rivals import RIVALS
from benchmarks.paper._study import Study

from stimpute import StImputeModel, tl
from stimpute.tl import GeneFold

ORDER = 30
NEW_CELLS = 0.2


def draw_targets(pair: Pair, percent: int, seed: int) -> list[str]:
    """Draw a share of the genes at random; a larger share contains a smaller one."""
    genes = np.random.default_rng(seed).permutation(pair.spatial.var_names)
    return sorted(genes[: round(len(genes) * percent / 100)])


def hide(pair: Pair, percent: int, seed: int) -> GeneFold:
    """Hold out a share of the genes; totals of counts are over the others."""
    targets = draw_targets(pair, percent, seed)
    visible = pair.spatial[:, ~pair.spatial.var_names.isin(targets)].copy()
    truth = pair.spatial[:, targets].X.toarray()
    if pair.expression == "counts":
        total = np.maximum(np.asarray(visible.X.sum(1)).ravel(), 1)
        truth = np.log1p(truth * (np.median(total) / total)[:, None])
    fold = make_folds(pair, seed)[0]  # its reference has protein vectors
    return replace(fold, spatial=visible, targets=targets, truth=truth.astype(np.float32))


def measure(pair: Pair, seed: int, part: str) -> pd.DataFrame:
    """Score a method with a share of the genes held out."""
    name, share = part.split("; ")
    percent = int(share.split()[0])
    fold = hide(pair, percent, seed)
    tables = []
    everywhere = np.arange(fold.spatial.n_obs)
    new = np.sort(np.random.default_rng(seed).permutation(everywhere)[: int(NEW_CELLS * len(everywhere))])
    by_method = _predict(name, fold, everywhere, everywhere, seed)
    scored = [(method, ALL_CELLS, everywhere, values) for method, values in by_method.items()]
    if name != "plain":
        scored.append((name, SEEN, new, by_method[name][new]))
        unseen = _predict(name, fold, np.setdiff1d(everywhere, new), new, seed)
        scored.append((name, UNSEEN, new, unseen[name]))
    common = draw_targets(pair, SHARES[0], seed)
    for method, cells, rows, values in scored:
        part_of_fold = replace(fold, spatial=fold.spatial[rows], truth=fold.truth[rows])
        held = predict([part_of_fold], lambda _, values=values: Prediction(values))
        tables.append(summarize(held, method).assign(cells=cells))
        over_common = score_cells(_of_genes(held, common)).reset_index()
        tables.append(over_common.assign(method=method, cells=cells, axis=OVER_COMMON))
    return pd.concat(tables, ignore_index=True).assign(percent=percent)


def _of_genes(held: HeldOut, genes: list[str]) -> HeldOut:
    """Keep some of the genes that were held out."""
    position = held.genes.index.get_indexer(genes)
    return replace(
        held, genes=held.genes.loc[genes], truth=held.truth[:, position], predicted=held.predicted[:, position]
    )


def _predict(name: str, fold: GeneFold, train: np.ndarray, test: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    if name == "plain":
        methods = {**baselines(), **{rival: of_function(RIVALS[rival]) for rival in RIDGES}}
        return {method: function(fold).expression for method, function in methods.items()}
    spatial = fold.spatial[train].copy()
    training = replace(fold, spatial=spatial, truth=fold.truth[train])
    model = tl.fit_fold(training, train_kwargs={"enable_progress_bar": False, "seed": seed}, recipe=name)
    new = fold.spatial[test].copy()
    StImputeModel.setup_anndata(new, **fold.spatial_setup)
    return {name: model.impute(adata=new, genes=fold.targets, progress=False).X}


STUDY = Study(
    title="Reserved genes and cells",
    paper="S3",
    question="How much is lost when more genes are held out, and in cells that training did not see?",
    measure=measure,
    show=show,
    one_seed=(SIMULATED,),
    parts=tuple(f"{name}; {percent} %" for percent in SHARES for name in ("crossfit", "paper", "plain")),
)

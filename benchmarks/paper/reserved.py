"""Half of the genes, 80 % of the genes, and a fifth of the cells held out (S3)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from _methods import Prediction, baselines
from _pairs import Pair
from benchmarks.paper._compare import add_verdict, judge, means, paired, wide
from benchmarks.paper._held_out import HeldOut, make_folds, of_function, predict, score_cells, summarize
from benchmarks.paper._page import Page
from benchmarks.paper._rivals import RIVALS
from benchmarks.paper._study import Study

from stimpute import StImputeModel, tl
from stimpute.tl import GeneFold

ORDER = 30
SHARES = (20, 50, 80)  # percent of the genes that are held out
NEW_CELLS = 0.2
ALL_CELLS = "all cells"
SEEN, UNSEEN = "cells that were trained on", "cells that were not trained on"
OVER_COMMON = "cell, over the genes that every share holds out"


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
        methods = {**baselines(), "ridge": of_function(RIVALS["ridge"])}
        return {method: function(fold).expression for method, function in methods.items()}
    spatial = fold.spatial[train].copy()
    training = replace(fold, spatial=spatial, truth=fold.truth[train])
    model = tl.fit_fold(training, train_kwargs={"enable_progress_bar": False, "seed": seed}, recipe=name)
    new = fold.spatial[test].copy()
    StImputeModel.setup_anndata(new, **fold.spatial_setup)
    return {name: model.impute(adata=new, genes=fold.targets, progress=False).X}


def show(results: pd.DataFrame, page: Page) -> None:
    """Write accuracy by the share of held-out genes, and in new cells."""
    page.text(
        'The text of the paper says that performance was "consistent" with 80 % of the genes reserved and slightly '
        "lower with 50 %, so that we read reserved as: kept as input. With 80 % kept, 20 % are held out, as in five "
        "folds. 80 % held out is our addition. One random draw of genes per seed. New cells are a fifth of the cells, "
        "left out of the training."
    )
    everything = results[results["cells"] == "all cells"]
    cells = everything[(everything["axis"] == "cell") & (everything["gene"] == "mean")]
    by = ["pair", "method", "percent"]
    _show_shares(means(everything, ["pcc"], by)["pcc"], "Mean PCC over genes", page)
    _show_shares(means(everything, ["css"], by)["css"], "Mean CSS over genes", page, folded=True)
    of_cells = cells.groupby(by, sort=False)["css"].mean()
    _show_shares(of_cells, "Mean CSS over cells (the paper: .611 with 50 % reserved)", page)
    new = results[results["cells"] != "all cells"]
    if len(new):
        table = wide(means(new, ["pcc"], [*by, "cells"])["pcc"], "cells")
        page.table(table, "Mean PCC over genes, in cells that were trained on and in others")
    _judge(everything, page)
    _judge_cells(of_cells, page)


def _show_shares(values: pd.Series, caption: str, page: Page, *, folded: bool = False) -> None:
    table = wide(values, "percent")
    table.columns = [f"{percent} % held out" for percent in table.columns]
    page.table(table, caption, folded=folded)


def _judge_cells(of_cells: pd.Series, page: Page) -> None:
    table = of_cells.unstack("percent")
    if "paper" not in table.index.get_level_values("method") or not {20, 50} <= set(table):
        return
    loss = (table[20] - table[50]).xs("paper", level="method").dropna()
    claim = 'The CSS over cells falls only slightly (by less than .05, our reading of "slight") with 50 % reserved'
    evidence = "; ".join(f"{pair}: {value:+.3f}" for pair, value in (-loss).items())
    if len(loss):
        page.verdict(claim, "S3", judge(list(loss < 0.05), loss.index), f"{evidence} (no test)")


def _judge(everything: pd.DataFrame, page: Page) -> None:
    genes = everything[everything["percent"] == 50]
    for name, where in (("paper", "S3"), ("crossfit", "docs")):
        tests = paired(genes, "pcc", name, ["kNN", "ridge"])
        claim = f"`{name}` stays ahead with half of the genes held out (PCC, against kNN and ridge)"
        add_verdict(page, claim, where, tests)


STUDY = Study(
    title="Reserved genes and cells",
    paper="S3",
    question="How much is lost when more genes are held out, and in cells that training did not see?",
    measure=measure,
    show=show,
    parts=tuple(f"{name}; {percent} %" for percent in SHARES for name in ("crossfit", "paper", "plain")),
)

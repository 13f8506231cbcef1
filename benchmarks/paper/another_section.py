"""A section of another animal, imputed by a model that never saw it."""

from __future__ import annotations

from dataclasses import replace

import anndata as ad
import numpy as np
import pandas as pd
from _methods import Prediction, baselines
from _pairs import DATA, Pair
from benchmarks.paper._compare import add_verdict_without_test, means, paired, show_tests, wide
from benchmarks.paper._held_out import cell_types, make_folds, predict, summarize
from benchmarks.paper._page import Page
from benchmarks.paper._predictions import RECIPES
from benchmarks.paper._study import Study

from stimpute import StImputeModel, tl
from stimpute.tl import GeneFold

ORDER = 35
SECTIONS = {"MERFISH_HYPOTHALAMUS": "MERFISH_HYPOTHALAMUS/spatial_animal7_bregma0.16.h5ad"}
OWN, OTHER = "trained on this section", "trained on the other animal"
SHOWN = ("pcc", "spearman", "css")  # which do not depend on the total that values are scaled to
AS_GOOD = 0.02  # of the PCC: our reading of "as well"


def read_other(pair: Pair) -> Pair:
    """Read the section of another animal, with the genes of the pair, and draw as many cells."""
    spatial = ad.read_h5ad(DATA / SECTIONS[pair.name])[:, pair.spatial.var_names]
    spatial = spatial[np.asarray(spatial.X.sum(1)).ravel() > 0]
    drawn = np.random.RandomState(0).choice(spatial.n_obs, min(pair.spatial.n_obs, spatial.n_obs), replace=False)
    return replace(pair, spatial=spatial[np.sort(drawn)].copy())


def measure(pair: Pair, seed: int, part: str) -> pd.DataFrame:
    """Score a recipe on the other section, trained on it and on the section of the pair; or the baselines."""
    other = read_other(pair)
    here, there = make_folds(other, seed), make_folds(pair, seed)
    if part == "plain":
        methods = baselines()
        return pd.concat([summarize(predict(here, method), name) for name, method in methods.items()])
    tables = []
    for name, trained_on in ((OWN, here), (OTHER, there)):
        by_fold = {fold.number: _impute(part, fold, here[fold.number], seed) for fold in trained_on}
        held = predict(here, lambda fold, by_fold=by_fold: by_fold[fold.number])
        tables.append(summarize(held, f"{part}, {name}", cell_types(other)))
    return pd.concat(tables, ignore_index=True)


def _impute(recipe: str, training: GeneFold, new: GeneFold, seed: int) -> Prediction:
    """Train on the visible genes of one fold, and predict the hidden ones in the cells of another."""
    model = tl.fit_fold(training, train_kwargs={"enable_progress_bar": False, "seed": seed}, recipe=recipe)
    cells = new.spatial.copy()
    StImputeModel.setup_anndata(cells, **new.spatial_setup)
    return Prediction(model.impute(adata=cells, genes=new.targets, progress=False).X)


def show(results: pd.DataFrame, page: Page) -> None:
    """Write a table, tests and verdicts."""
    page.text(
        "The hypothalamus of another animal, of the same study and panel. In each of five folds its held-out genes are "
        "predicted by a model that was trained on the section of the pair without these genes, and by one that was "
        "trained on the other animal's section itself; both on as many cells. The reference is the same. There is one "
        "such section here: too few for a verdict on other tissues. Values are on the scale of the section that a "
        "model was trained on, so that the MSE is not shown."
    )
    for column in SHOWN:
        table = wide(means(results, [column])[column], "pair")
        page.table(table, f"Mean {column.upper() if column != 'spearman' else 'Spearman'} over genes")
    for recipe, where in zip(RECIPES, ("asked here", "docs"), strict=True):
        tests = paired(results, "pcc", f"{recipe}, {OTHER}", [f"{recipe}, {OWN}", "kNN"])
        if len(tests):
            page.table(show_tests(tests), f"`{recipe}`, {OTHER}, compared gene by gene: PCC")
            change = tests.xs(f"{recipe}, {OWN}", level="compared with")["difference"]
            claim = (
                f"Another section of the same panel is imputed as well without new training (`{recipe}`; rule: less "
                f"than {AS_GOOD} lower in PCC)"
            )
            add_verdict_without_test(page, claim, where, change, least=-AS_GOOD)


STUDY = Study(
    title="Another section",
    paper="",
    question="How well is a section of another animal imputed by a model that was not trained on it?",
    measure=measure,
    show=show,
    pairs=tuple(SECTIONS),
    parts=(*RECIPES, "plain"),
)

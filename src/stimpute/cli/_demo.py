"""The steps of `stimpute demo`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anndata as ad
import matplotlib as mpl
import pandas as pd

from stimpute import StImputeModel, datasets, pp, tl
from stimpute._atomic import replacing
from stimpute.cli import _steps as steps
from stimpute.cli._console import Console
from stimpute.cli._demo_figures import DemoFigures
from stimpute.cli._options import DataOptions, ModelOptions

N_FOLDS = 5  # a fifth of the measured genes is held out


@dataclass(frozen=True)
class _Demo:
    """Data, arguments and outputs that the steps share."""

    pair: steps.Pair
    truth: ad.AnnData | None  # known if the tissue is simulated
    model_kwargs: dict[str, Any]
    train_kwargs: dict[str, Any]
    figures: DemoFigures
    console: Console


def run_demo(
    data: DataOptions, options: ModelOptions, out: Path, console: Console
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Hold out genes and predict them, then train on all genes and impute the unmeasured ones.

    Parameters
    ----------
    data, options
        Options of the command; without paths a tissue is simulated.
    out
        Folder for the result and the figures.
    console
        Where to print.

    Returns
    -------
    Tables of scores by name, and the names of the files that were written.
    """
    mpl.use("agg")
    model_kwargs = steps.model_kwargs(options)
    pair, truth = _read_or_simulate(data, options.seed, console)
    model = StImputeModel(pair.spatial, pair.reference, **model_kwargs)
    figures = DemoFigures(out, model)
    demo = _Demo(pair, truth, model_kwargs, steps.train_kwargs(options, console), figures, console)
    fold = tl.gene_folds(pair.spatial, pair.reference, n_folds=N_FOLDS, seed=options.seed, **pair.setups)[0]
    out.mkdir(exist_ok=True)

    console.print(f"Holding out {len(fold.targets)} of {len(model.shared_genes)} shared genes ...")
    summaries = {"summary": _predict_held_out(demo, fold).to_dict("index")}
    n_unmeasured = len(model.reference_genes.difference(model.measured_genes))
    if n_unmeasured > 0:
        console.print(f"Training on all genes, to impute {n_unmeasured} genes that were never measured ...")
        imputed = _impute_unmeasured(demo, model, out / "imputed.h5ad")
        if truth is not None:
            summaries["unmeasured"] = _compare_with_truth(demo, imputed, truth).to_dict("index")
    console.print("Wrote " + ", ".join(figures.files))
    return summaries, figures.files


def _predict_held_out(demo: _Demo, fold: tl.GeneFold) -> pd.DataFrame:
    """Train without the genes of a fold, predict them, and compare with the baselines."""
    model = tl.fit_fold(fold, train_kwargs=demo.train_kwargs, **demo.model_kwargs)
    predicted = model.impute(genes=fold.targets, progress=demo.console.progress)
    scores = _score(fold, predicted)
    summary = tl.summarize(scores)
    demo.console.print_scores(summary, "Mean over measured genes that were held out from every method")
    demo.figures.draw_held_out(fold, predicted, scores)
    demo.figures.draw_history(model)
    return summary


def _impute_unmeasured(demo: _Demo, model: StImputeModel, path: Path) -> ad.AnnData:
    """Train on all measured genes, impute the others, and write the result."""
    model.train(**demo.train_kwargs)
    imputed = model.impute(progress=demo.console.progress)
    with replacing(path) as temporary:
        imputed.write_h5ad(temporary)
    demo.figures.files.append(str(path))
    demo.figures.draw_unmeasured(imputed, demo.truth)
    return imputed


def _compare_with_truth(demo: _Demo, imputed: ad.AnnData, truth: ad.AnnData) -> pd.DataFrame:
    """Score unmeasured genes of a simulated tissue against its true expression."""
    summary = tl.summarize(_score(_unmeasured_fold(demo.pair, imputed, truth), imputed))
    demo.console.print_scores(summary, "Mean over genes that were never measured, against their simulated truth")
    return summary


def _read_or_simulate(data: DataOptions, seed: int, console: Console) -> tuple[steps.Pair, ad.AnnData | None]:
    """Read the user's data, or simulate a tissue; also return its true expression, if that is known."""
    if data.spatial is not None:
        return steps.read_pair(data), None
    console.print("Simulating a tissue ...")
    tissue = datasets.synthetic_tissue(seed=seed)
    pp.add_protein_embeddings(tissue.reference, tissue.proteins)
    setups = {"spatial_setup": data.spatial_setup, "reference_setup": data.reference_setup()}
    StImputeModel.setup_anndata(tissue.spatial, **setups["spatial_setup"])
    StImputeModel.setup_anndata(tissue.reference, **setups["reference_setup"])
    return steps.Pair(tissue.spatial, tissue.reference, setups), tissue.truth


def _unmeasured_fold(pair: steps.Pair, imputed: ad.AnnData, truth: ad.AnnData) -> tl.GeneFold:
    """Make a fold whose targets are the unmeasured genes, for the baselines."""
    genes = list(imputed.var_names)
    return tl.GeneFold(
        spatial=pair.spatial,
        reference=pair.reference,
        targets=genes,
        truth=truth[:, genes].X,
        number=0,
        **pair.setups,
    )


def _score(fold: tl.GeneFold, imputed: ad.AnnData) -> pd.DataFrame:
    """Score the model and the baselines on the targets of a fold; tidy, with a column `method`."""
    predictions = {name: baseline(fold) for name, baseline in tl.BASELINES.items()}
    predictions[tl.MODEL_NAME] = imputed[:, fold.targets].X
    tables = []
    for name, values in predictions.items():
        tables.append(tl.score(fold.truth, values, fold.targets).assign(method=name))
    return pd.concat(tables, ignore_index=True)

"""What `stimpute demo` shows: genes that were hidden, beside what was measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata as ad
import pandas as pd

from stimpute import datasets, pl, pp
from stimpute.tl._cross_validate import BASELINE_METHODS, MODEL
from stimpute.tl._folds import fold_model, gene_folds, light_copy
from stimpute.tl._score import score, summarise

if TYPE_CHECKING:
    from stimpute._terminal import Screen

Setups = tuple[dict[str, Any], dict[str, Any]]
N_PICTURES = 24  # at most so many genes are drawn by one command


def run_demo(
    pair: tuple[ad.AnnData, ad.AnnData] | None, setups: Setups, out: Path, recipe: str, seed: int, screen: Screen
) -> tuple[pd.DataFrame, list[str]]:
    """Hold out a fifth of the measured genes, train, impute, compare and draw.

    Parameters
    ----------
    pair
        Spatial data and reference; a synthetic tissue if None.
    setups
        Arguments of `setup_anndata` for either.
    out
        Folder for the result and the pictures.
    recipe, seed
        The method, and the seed of everything random.
    screen
        Where to say what happens.

    Returns
    -------
    Table of methods, and the files that were written.
    """
    if pair is None:
        screen.say("Making a synthetic tissue ...")
        tissue = datasets.synthetic_tissue(seed=seed)
        pp.protein_graph(tissue.reference, tissue.proteins)
        pair = (tissue.spatial, tissue.reference)
    spatial, reference = light_copy(pair[0], setups[0]), light_copy(pair[1], setups[1])
    folds, _ = gene_folds(spatial, reference, setups, seed=seed)
    fold = folds[0]
    unmeasured = reference.var_names.difference(spatial.var_names, sort=False)
    screen.say(f"{spatial.n_obs} cells; {len(fold.targets)} measured genes hidden, {len(unmeasured)} never measured.")

    model = fold_model(fold, recipe=recipe)
    model.train(seed=seed, enable_progress_bar=screen.progress)
    imputed = model.impute(genes=[*fold.targets, *unmeasured], progress=screen.progress)
    predictions = {name: method(fold) for name, method in BASELINE_METHODS.items()} | {
        MODEL: imputed[:, fold.targets].X
    }
    scores = pd.concat([score(fold.truth, p, fold.targets).assign(method=name) for name, p in predictions.items()])
    summary = summarise(scores)
    screen.table(summary, "Genes that were measured but hidden from every method")

    out.mkdir(parents=True, exist_ok=True)
    imputed.write_h5ad(out / "imputed.h5ad")
    pcc = scores[(scores["method"] == MODEL) & (scores["metric"] == "pcc")].set_index("gene")["value"]
    best = list(pcc.sort_values(ascending=False).index[:3])
    files = [str(out / "imputed.h5ad")]
    expression = setups[0]["expression"]
    pl.imputed(spatial, imputed, best, expression=expression, save=out / "hidden_genes.png")
    trusted = imputed.var.loc[list(unmeasured), "reliability"].sort_values(ascending=False).index[:3]
    files.append(str(out / "hidden_genes.png"))
    if len(trusted):
        pl.imputed(spatial, imputed, list(trusted), expression=expression, save=out / "unmeasured_genes.png")
        files.append(str(out / "unmeasured_genes.png"))
    pl.accuracy(scores, save=out / "accuracy.png")
    pl.history(model, save=out / "history.png")
    files += [str(out / "accuracy.png"), str(out / "history.png")]
    screen.say("Wrote " + ", ".join(files))
    return summary, files


def draw_genes(spatial: ad.AnnData, imputed: ad.AnnData, genes: list[str], folder: Path, **kwargs: Any) -> list[str]:
    """One picture a gene on the tissue, of at most 24 genes, the most reliable first.

    Parameters
    ----------
    spatial, imputed
        The tissue, and the result on it.
    genes
        Candidates.
    folder
        Where to write.
    kwargs
        Arguments of :func:`stimpute.pl.imputed`.

    Returns
    -------
    The files.
    """
    import matplotlib.pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    ranked = imputed.var.loc[genes, "reliability"].sort_values(ascending=False).index[:N_PICTURES]
    files = []
    for gene in ranked:
        files.append(str(folder / f"{gene}.png"))
        pl.imputed(spatial, imputed, gene, save=files[-1], **kwargs)
        plt.close("all")
    return files

"""Sections on the data: genes that overlap, maps of genes, parameters and versions."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd

from stimpute import pl
from stimpute.model._setup import gene_names
from stimpute.report._page import Picture, Section, Table, picture, text
from stimpute.report._results import Results, largest_section
from stimpute.tl._cross_validate import MODEL

PACKAGES = ("stimpute", "scvi-tools", "torch", "anndata", "numpy")
NAMED = 20


def overlap(results: Results) -> Section | None:
    """Which genes the two datasets share."""
    if not results.complete:
        return None
    model: Any = results.model
    measured, available = gene_names(model.adata_manager), model._reference.bank.genes
    shared, lost = measured.intersection(available), measured.difference(available, sort=False)
    rows = {
        "spatial cells": model.adata.n_obs,
        "genes measured": len(measured),
        "reference cells": model._reference.bank.n_cells,
        "genes in the reference": len(available),
        "shared genes": len(shared),
        "of these, used (seen in both)": len(model.panel_),
        "genes that can be imputed": len(available.difference(measured)),
    }
    told = f"The model reads {len(model.panel_)} genes that both datasets have seen."
    if len(lost):
        more = f" and {len(lost) - NAMED} more" if len(lost) > NAMED else ""
        told += f" {len(lost)} measured genes are not in the reference by that name: {', '.join(lost[:NAMED])}{more}."
    table = Table("What there is.", ["", ""], [[name, text(value)] for name, value in rows.items()])
    return Section("Genes and cells", [told], [table])


def maps(results: Results) -> Section | None:
    """Most and least reliable genes on the tissue: hidden ones beside the truth, imputed ones alone."""
    pictures = [*_hidden_maps(results), *_imputed_maps(results)]
    if not pictures:
        return None
    told = "Colours of a measured and an imputed map share one scale. Imputed maps are smoother than measured ones."
    return Section("Maps", [told], [], pictures)


def _hidden_maps(results: Results) -> list[Picture]:
    if results.validation is None or "spatial" not in results.validation.predicted.obsm:
        return []
    predicted = results.validation.predicted
    predicted = predicted[largest_section(predicted, _section_key(results))]
    truth = ad.AnnData(predicted.X, obs=predicted.obs[[]], var=predicted.var[[]], obsm=dict(predicted.obsm))
    own = ad.AnnData(predicted.layers[MODEL], obs=predicted.obs[[]], var=predicted.var, obsm=dict(predicted.obsm))
    pictures = []
    for which, genes in zip(("most", "least"), results.extremes(results.held_out), strict=True):
        if genes:
            size, dots = _two_columns(truth, len(genes)), 48_000 / truth.n_obs
            axes = pl.imputed(truth, own, genes, expression="normalized", figsize=size, size=dots, return_ax=True)
            pictures.append(picture(axes, f"The {which} reliable hidden genes: measured, and predicted unseen."))
    return pictures


def _imputed_maps(results: Results) -> list[Picture]:
    """Genes of the result or, without one, unmeasured genes that are imputed here."""
    imputed, best, worst = results.imputed, *results.extremes(results.drawn)
    if imputed is None and results.complete:
        model: Any = results.model
        best, worst = results.extremes(results.unmeasured)
        imputed = model.impute(genes=[*best, *worst], progress=False) if best else None
    if imputed is None or not best or "spatial" not in imputed.obsm:
        return []
    rows = largest_section(imputed, _section_key(results))
    captions = ("Imputed genes, the most reliable first.", "The least reliable of the genes that were not measured.")
    pictures = []
    for caption, genes in zip(captions, (best, worst), strict=True):
        if genes:
            shown = _in_memory(imputed[rows, genes])
            nothing = ad.AnnData(np.zeros((len(rows), 1), np.float32), obs=shown.obs[[]], obsm=dict(shown.obsm))
            axes = pl.imputed(nothing, shown, genes, expression="normalized", return_ax=True)
            pictures.append(picture(axes, caption))
    return pictures


def _two_columns(adata: ad.AnnData, n_rows: int) -> tuple[float, float]:
    """Inches for two maps side by side, so narrow that their titles can be read on a phone."""
    width, height = np.ptp(np.asarray(adata.obsm["spatial"])[:, :2], axis=0)
    aspect = float(np.clip(height / width if width > 0 else 1, 0.4, 1.8))
    return 4.9, n_rows * (2.0 * aspect + 0.6)


def _in_memory(adata: ad.AnnData) -> ad.AnnData:
    """A copy without lazy arrays, without layers."""
    x = adata.X.compute() if hasattr(adata.X, "compute") else adata.X
    return ad.AnnData(np.asarray(x), obs=adata.obs.copy(), var=adata.var.copy(), obsm=dict(adata.obsm))


def _section_key(results: Results) -> str | None:
    return None if results.model is None else results.model.registry_["setup_args"].get("batch_key")


def parameters(results: Results, drawn: Picture | None) -> Section:
    """How it was made."""
    versions = {name: version(name) for name in PACKAGES} | {"Python": platform.python_version()}
    tables = [Table("Versions.", ["", ""], [[name, value] for name, value in versions.items()])]
    if results.model is not None:
        tables = [*_parameters(results.model), *tables]
    return Section("How it was made", [], tables, [] if drawn is None else [drawn])


def _parameters(model: Any) -> list[Table]:
    recipe = {key: value for key, value in vars(model._recipe).items() if key != "state"}
    facts = {"recipe": model._recipe.name, "gene relations": ", ".join(model.relations_) or "none", **recipe}
    setups = {"spatial": model.registry_["setup_args"], "reference": model.reference_setup_}
    setup = pd.DataFrame({name: {key: str(value) for key, value in args.items()} for name, args in setups.items()})
    return [
        Table("Method and hyperparameters.", ["", ""], [[key, text(value)] for key, value in facts.items()]),
        Table.of(setup, "How the data were set up.", "argument"),
    ]

"""Section with maps of genes on the tissue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from stimpute import pl
from stimpute.data._result import units
from stimpute.report._page import Figure, Section, make_figure
from stimpute.report._results import Results
from stimpute.tl import MODEL_NAME

POINT_AREA = 48_000  # square points of all cells of a map together
SMOOTH = "Imputed maps are smoother than measured ones. Where both are shown, they share one color scale."
SCALE = (
    "The color scale of an unmeasured gene ends where measured values are expected to end. An even map means that the "
    "model finds little difference between the cells."
)


def maps(results: Results) -> Section | None:
    """Show the most and the least reliable genes: held-out ones beside the measured ones, unmeasured ones alone."""
    alone = _imputed_maps(results)
    figures = [*_held_out_maps(results), *alone]
    if not figures:
        return None
    text = [SMOOTH]
    if alone and "expected_std" in results.unmeasured:
        text.append(SCALE)
    return Section("Maps", [" ".join(text)], [], figures)


def _position_key(results: Results, adata: AnnData) -> str | None:
    """Return the key of the positions, None if there are none."""
    key = results.spatial_setup.get("spatial_key", "spatial")
    return key if key in adata.obsm else None


def _held_out_maps(results: Results) -> list[Figure]:
    if results.validation is None:
        return []
    predicted = results.validation.predicted
    key = _position_key(results, predicted)
    if key is None:
        return []
    rows, note = results.largest_section(predicted)
    predicted = predicted[rows]
    about = {"units": units(counts=results.spatial_setup.get("expression", "counts") == "counts")}
    measured = _with_positions(predicted, predicted.X, about)
    imputed = _with_positions(predicted, predicted.layers[MODEL_NAME], about)
    figures = []
    for which, genes in zip(("most", "least"), results.extremes(results.held_out), strict=True):
        if genes:
            axes = pl.imputed(
                measured,
                imputed,
                genes,
                expression="normalized",
                spatial_key=key,
                figsize=_two_columns(predicted.obsm[key], len(genes)),
                size=POINT_AREA / predicted.n_obs,
                return_ax=True,
            )
            figures.append(make_figure(axes, f"The {which} reliable held-out genes: measured and imputed.{note}"))
    return figures


def _imputed_maps(results: Results) -> list[Figure]:
    """Draw unmeasured genes of `imputed` or, without one, of the model, which imputes them here."""
    imputed = results.imputed
    best, worst = results.extremes(results.unmeasured if imputed is None else results.imputed_genes)
    if imputed is None and best and results.model is not None:
        imputed = results.model.impute(genes=[*best, *worst], progress=False)
    if imputed is None or not best:
        return []
    key = _position_key(results, imputed)
    if key is None:
        return []
    rows, note = results.largest_section(imputed)
    figures = []
    for which, genes in zip(("most", "least"), (best, worst), strict=True):
        if genes:
            shown = imputed[rows, genes]
            shown = _with_positions(shown, shown.X, imputed.uns.get("stimpute", {}))
            nothing = _without_genes(shown)
            axes = pl.imputed(
                nothing,
                shown,
                genes,
                expression="normalized",
                spatial_key=key,
                ncols=2,
                figsize=_two_columns(shown.obsm[key], -(-len(genes) // 2)),
                size=POINT_AREA / shown.n_obs,
                return_ax=True,
            )
            figures.append(make_figure(axes, f"The {which} reliable imputed genes.{note}"))
    return figures


def _without_genes(adata: AnnData) -> AnnData:
    """Make spatial data of the same cells that measured none of the genes; expression needs at least one column."""
    zeros = np.zeros((adata.n_obs, 1), np.float32)
    return AnnData(zeros, obs=adata.obs[[]], var=pd.DataFrame(index=["(none)"]), obsm=dict(adata.obsm))


def _with_positions(adata: AnnData, values: np.ndarray, about: Mapping[str, Any]) -> AnnData:
    """Copy the gene table and positions of an AnnData, with other values in memory and what is known of them."""
    if hasattr(values, "compute"):  # a result that was streamed to disk
        values = values.compute()
    known = {"stimpute": {"units": about.get("units")}}
    obsm = dict(adata.obsm)
    return AnnData(np.asarray(values), obs=adata.obs[[]].copy(), var=adata.var.copy(), uns=known, obsm=obsm)


def _two_columns(coords: np.ndarray, n_rows: int) -> tuple[float, float]:
    """Return the size in inches of two columns of maps whose titles can be read on a phone."""
    width, height = np.ptp(np.asarray(coords)[:, :2], axis=0)
    aspect = float(np.clip(height / width, 0.4, 1.8)) if width > 0 else 1.0
    return 4.9, n_rows * (2.0 * aspect + 0.6)

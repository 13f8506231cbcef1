"""Section on the cells that the reference does not explain."""

from __future__ import annotations

import warnings

from anndata import AnnData

from stimpute import pl
from stimpute.report._page import Figure, Section, make_figure
from stimpute.report._results import Results

MEANING = (
    "At 1 the reference explains what sets cells like this one apart from the mean of the section; at 0 it explains "
    "them no better than that mean does. The type of such cells may be missing in the reference: do not trust imputed "
    "values there."
)


def explained_cells(results: Results) -> Section | None:
    """Say how many cells the reference does not explain, and where they are; None without both datasets."""
    model = results.model
    if model is None or not results.has_data:
        return None
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not explain")  # the section says so
        explained = model.get_explained()
    if explained.isna().all():
        return None
    share = float((explained.dropna() <= 0).mean())
    text = f"The reference explains {1 - share:.0%} of the cells; {share:.0%} are at 0 or below. {MEANING}"
    return Section("Cells that the reference explains", [text], [], _map(results, model.adata, explained.to_frame()))


def _map(results: Results, adata: AnnData, obs: object) -> list[Figure]:
    key = results.spatial_setup.get("spatial_key", "spatial")
    if key not in adata.obsm:
        return []
    rows, note = results.largest_section(adata)
    shown = AnnData(obs=obs, obsm={key: adata.obsm[key]})[rows]
    axes = pl.explained(shown, spatial_key=key, return_ax=True)
    return [make_figure(axes, f"How well the reference explains each cell; red: not.{note}")]

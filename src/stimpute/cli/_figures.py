"""Draw maps of imputed genes into files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from stimpute.cli._files import figure_names

if TYPE_CHECKING:
    import anndata as ad

    from stimpute import StImputeModel
    from stimpute.cli._console import Console

MAX_FIGURES = 24  # a command without --genes imputes thousands of genes


def has_positions(model: StImputeModel) -> bool:
    """Return whether the spatial data of a model have positions."""
    return model.adata is not None and model.spatial_setup["spatial_key"] in model.adata.obsm


def check_positions(model: StImputeModel) -> None:
    """Check that maps can be drawn.

    Raises
    ------
    ValueError
        If the spatial data have no positions.
    """
    if not has_positions(model):
        key = model.spatial_setup["spatial_key"]
        raise ValueError(f"--plots needs positions, but obsm has no {key!r}. Name them by --spatial-key KEY.")


def draw_genes(model: StImputeModel, imputed: ad.AnnData, folder: Path, console: Console) -> list[str]:
    """Draw one figure per gene, measured beside imputed and the width of intervals, for the most reliable genes.

    Parameters
    ----------
    model
        The model, which holds the spatial data.
    imputed
        What it imputed.
    folder
        Folder for the figures; made if it does not exist.
    console
        Where to print that genes were left out.

    Returns
    -------
    Names of the files.
    """
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    from stimpute import pl

    mpl.use("agg")
    folder.mkdir(exist_ok=True)
    ranked = imputed.var["reliability"].sort_values(ascending=False, kind="stable").index
    if len(ranked) > MAX_FIGURES:
        console.print(f"Drawing the {MAX_FIGURES} most reliable of {len(ranked)} genes. Choose others by --genes.")
    has_interval = "lower" in imputed.layers
    files = []
    for gene, name in figure_names(ranked[:MAX_FIGURES]).items():
        path = folder / name
        pl.imputed(model.adata, imputed, gene, interval=has_interval, save=path)
        plt.close("all")
        files.append(str(path))
    return files

"""Figures of `stimpute demo`."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import matplotlib.pyplot as plt
import pandas as pd

from stimpute import StImputeModel, pl, tl
from stimpute.cli._figures import has_positions

N_MAPS = 3
DPI = 200


class DemoFigures:
    """Figures of the demo, and the names of all files that were written."""

    def __init__(self, folder: Path, model: StImputeModel) -> None:
        self.folder = folder
        self.files: list[str] = []
        self.spatial = model.adata
        self.has_maps = has_positions(model)

    def draw_held_out(self, fold: tl.GeneFold, predicted: ad.AnnData, scores: pd.DataFrame) -> None:
        """Draw the accuracy of all held-out genes, and maps of the best, the middle and the worst one."""
        pl.accuracy(scores, save=self._path("accuracy.png"))
        is_pcc = (scores["method"] == tl.MODEL_NAME) & (scores["metric"] == "pcc")
        ranked = scores[is_pcc].sort_values("value", ascending=False)["gene"].tolist()
        genes = list(dict.fromkeys([ranked[0], ranked[len(ranked) // 2], ranked[-1]]))
        if self.has_maps:
            var = pd.DataFrame(index=fold.targets)
            measured = ad.AnnData(fold.truth, obs=predicted.obs, var=var, obsm=dict(predicted.obsm))
            path = self._path("held_out_genes.png")
            pl.imputed(measured, predicted, genes, expression="normalized", save=path)
        plt.close("all")

    def draw_history(self, model: StImputeModel) -> None:
        """Draw the training of a model."""
        pl.history(model, save=self._path("history.png"))
        plt.close("all")

    def draw_unmeasured(self, imputed: ad.AnnData, truth: ad.AnnData | None) -> None:
        """Draw the most reliable unmeasured genes, beside their truth where it is known."""
        if not self.has_maps:
            return
        ranked = imputed.var["reliability"].sort_values(ascending=False, kind="stable")
        genes = list(ranked.index[:N_MAPS])
        path = self._path("unmeasured_genes.png")
        if truth is None:
            pl.imputed(self.spatial, imputed, genes, save=path)
        else:
            axes = pl.imputed(truth, imputed, genes, expression="normalized", return_ax=True)
            for ax in axes:  # the simulated truth is not a measurement
                ax.set_title(ax.get_title().replace("measured", "truth"), fontsize="medium")
            axes[0].get_figure().savefig(path, bbox_inches="tight", dpi=DPI)
        plt.close("all")

    def _path(self, name: str) -> Path:
        self.files.append(str(self.folder / name))
        return self.folder / name

"""Hold the result of a cross-validation: predictions, scores, and how it was made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy.stats import spearmanr

from stimpute._messages import missing_key, name_list
from stimpute.tl._folds import Totals
from stimpute.tl._score import score, summarize

MODEL_NAME = "stimpute"  # of the model in tables of methods
NULL_NAME = "stimpute, reference permuted"  # of the null row
ALL_CELLS = "all cells"
WITHIN_GROUPS = "within groups"
GROUP_METRICS = ("pcc", "spearman", "mse")
REPR_METRICS = ("pcc", "spearman", "css", "mse", "cell_pcc")


@dataclass(frozen=True)
class CrossValidationSettings:
    """How a cross-validation was made.

    Attributes
    ----------
    recipe, hyperparameters, relations, reliability_metric
        Of the model.
    interval
        Share of the values that intervals should cover, or None.
    n_folds, folds, seed, totals
        Number of folds, those that were run, the seed, and over which genes totals were computed.
    spatial_setup, reference_setup
        Arguments of `setup_anndata`.
    versions
        Versions of packages.
    groupby
        Column of `obs` with the group of each cell, or None.
    """

    recipe: str
    hyperparameters: dict[str, Any]
    relations: list[str]
    reliability_metric: str
    interval: float | None
    n_folds: int
    folds: list[int]
    seed: int
    totals: Totals
    spatial_setup: dict[str, Any]
    reference_setup: dict[str, Any]
    versions: dict[str, str]
    groupby: str | None = None


@dataclass(frozen=True)
class CrossValidation:
    """Predictions of held-out genes, and how good they are.

    Attributes
    ----------
    genes
        Tidy: `method`, `gene`, `metric`, `value`.
    cells
        Cosine similarity and correlation of every cell over the held-out genes, indexed by the names of the cells:
        `method`, `metric`, `value`.
    predicted
        Cells × genes on the spatial scale: `X` is the measured truth, and there is one layer of predictions per
        method; `var` holds the model's `reliability` and `fold`.
    settings
        How it was made.
    groups
        As `genes`, within each group of cells: `method`, `gene`, `group`, `n_cells`, `metric`, `value`. None without
        groups; see :meth:`with_groups`.
    """

    genes: pd.DataFrame
    cells: pd.DataFrame
    predicted: AnnData
    settings: CrossValidationSettings
    groups: pd.DataFrame | None = None

    @property
    def summary(self) -> pd.DataFrame:
        """Mean over genes (and over cells, prefixed `cell_`), one row per method."""
        return summarize(self.genes).join(summarize(self.cells).add_prefix("cell_"))

    @property
    def best_other(self) -> str | None:
        """Method with the highest mean correlation beside the model; None without one. The null row does not count."""
        others = self.summary["pcc"].drop([MODEL_NAME, NULL_NAME], errors="ignore")
        return None if others.empty else str(others.idxmax())

    def with_groups(self, groupby: str) -> CrossValidation:
        """Return the same cross-validation, scored within groups of cells; nothing is trained.

        Parameters
        ----------
        groupby
            Column of `predicted.obs`, such as the cell type.

        Raises
        ------
        KeyError
            If there is no such column.
        """
        if groupby not in self.predicted.obs:
            raise missing_key(groupby, "predicted.obs", self.predicted.obs.columns)
        tables = []
        for method in self.genes["method"].unique():
            layer = self.predicted.layers[method]
            labels = list(self.predicted.obs[groupby])
            names = list(self.predicted.var_names)
            table = score(self.predicted.X, layer, names, metrics=GROUP_METRICS, groupby=labels)
            tables.append(table.assign(method=method))
        settings = replace(self.settings, groupby=groupby)
        return replace(self, groups=pd.concat(tables, ignore_index=True), settings=settings)

    def by_group(self, metric: str = "pcc") -> pd.DataFrame:
        """Compare the accuracy over all cells with that within groups of cells.

        Most of the correlation over all cells usually comes from differences between cell types. What is left within
        groups says whether the prediction tells cells of one type apart.

        Parameters
        ----------
        metric
            `"pcc"`, `"spearman"` or `"mse"`.

        Returns
        -------
        One column per method with means over genes, `n_cells`, and with intervals `coverage`, the share of measured
        values inside. Rows: `"all cells"`; `"within groups"`, the mean of the groups weighted by their cells; then
        each group, the largest first.

        Raises
        ------
        ValueError
            If there are no groups.
        KeyError
            If the metric was not computed within groups.
        """
        if self.groups is None:
            raise ValueError('There are no groups. Call `validation.with_groups("cell_type")`, and then this.')
        if metric not in GROUP_METRICS:
            raise missing_key(metric, "validation.groups['metric']", GROUP_METRICS)
        chosen = self.groups[self.groups["metric"] == metric]
        methods = list(self.genes["method"].unique())
        table = chosen.pivot_table(index="group", columns="method", values="value", sort=False, dropna=False)[methods]
        n_cells = chosen.groupby("group", sort=False)["n_cells"].first()
        table.insert(0, "n_cells", n_cells)
        inside = values_inside(self.predicted)
        if inside is not None:
            labels = self.predicted.obs[self.settings.groupby].astype(str).to_numpy()
            table["coverage"] = [inside[labels == group].mean() for group in table.index]
        overall = {"n_cells": self.predicted.n_obs, **self.summary[metric][methods]}
        if inside is not None:
            overall["coverage"] = inside.mean()
        rows = [pd.Series(overall, name=ALL_CELLS), _weighted_mean(table).rename(WITHIN_GROUPS)]
        joined = pd.concat([pd.DataFrame(rows), table])[list(table)]
        return joined.astype({"n_cells": int}).rename_axis(index=None, columns=None)

    def __repr__(self) -> str:
        settings = self.settings
        summary = self.summary
        shown = [name for name in REPR_METRICS if name in summary]
        lines = [
            f"CrossValidation of {settings.recipe!r}: {self.predicted.n_vars} held-out genes in {len(settings.folds)} "
            f"of {settings.n_folds} folds, {self.predicted.n_obs} cells, seed {settings.seed}",
            f"  relations    {', '.join(settings.relations) or 'none'}",
            summary[shown].round(3).to_string(),
            *self._findings(),
        ]
        return "\n".join(lines)

    def _findings(self) -> list[str]:
        """Say in a few lines what came out."""
        settings = self.settings
        lines = []
        pcc = self.genes[self.genes["metric"] == "pcc"].pivot(index="gene", columns="method", values="value")
        best = self.best_other
        if best is not None:
            n_better = int((pcc[MODEL_NAME] > pcc[best]).sum())
            better = f"{n_better} of {len(pcc)} genes"
            lines.append(f"  baselines    {MODEL_NAME} has a higher pcc than {best}, the best of them, on {better}")
        metric = settings.reliability_metric
        own = self.genes[(self.genes["method"] == MODEL_NAME) & (self.genes["metric"] == metric)]
        reliability = self.predicted.var["reliability"]
        observed = own.set_index("gene")["value"].reindex(reliability.index)
        if reliability.nunique() > 1 and observed.nunique() > 1:
            rank = spearmanr(reliability, observed).statistic
            lines.append(f"  reliability  rank correlation {rank:.2f} with the observed {metric}")
        inside = values_inside(self.predicted)
        if settings.interval is not None and inside is not None:
            lines.append(f"  intervals    {inside.mean():.1%} of the values inside, {settings.interval:.0%} requested")
        if self.groups is not None:
            table = self.by_group()
            groups = name_list(table.index[2:], 3)
            lines.append(
                f"  groups       pcc {table.loc[WITHIN_GROUPS, MODEL_NAME]:.3f} within {settings.groupby!r} ({groups})"
            )
        return lines


def _weighted_mean(table: pd.DataFrame) -> pd.Series:
    """Average groups with their numbers of cells as weights; groups without a value are left out."""
    weights = table["n_cells"]
    means = {"n_cells": weights.sum()}
    for name in table.columns.drop("n_cells"):
        has_value = table[name].notna()
        means[name] = np.nan
        if has_value.any():
            means[name] = np.average(table.loc[has_value, name], weights=weights[has_value])
    return pd.Series(means)


def values_inside(predicted: AnnData) -> np.ndarray | None:
    """Tell which measured values are inside their interval, shape (n_cells, n_genes); None without intervals."""
    layers = predicted.layers
    if not {"lower", "upper"} <= set(layers):
        return None
    return (layers["lower"] <= predicted.X) & (layers["upper"] >= predicted.X)


def score_genes(predicted: AnnData, methods: Sequence[str]) -> pd.DataFrame:
    """Score every gene by every method; `predicted` is that of a cross-validation."""
    names = list(predicted.var_names)
    tables = [score(predicted.X, predicted.layers[name], names).assign(method=name) for name in methods]
    return pd.concat(tables, ignore_index=True)


def score_cells(predicted: AnnData, methods: Sequence[str]) -> pd.DataFrame:
    """Score every cell by every method, with the names of the cells as index."""
    tables = []
    for name in methods:
        of_method = AnnData(predicted.layers[name], obs=predicted.obs[[]], var=predicted.var[[]])
        table = score(predicted, of_method, axis="cell", metrics=("css", "pcc"))
        tables.append(table.assign(method=name).set_index("cell"))
    return pd.concat(tables)

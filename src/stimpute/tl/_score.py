"""Compute all metrics at once, as a tidy table."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import anndata as ad
import numpy as np
import pandas as pd

import stimpute.tl.metrics as metric_functions
from stimpute._messages import name_list
from stimpute.tl.metrics._profiles import Axis, Matrix

METRICS: dict[str, Callable[..., np.ndarray]] = {
    name: getattr(metric_functions, name) for name in metric_functions.__all__
}
LOWER_IS_BETTER = frozenset({"js", "mse", "rmse_z"})


def score(
    truth: Matrix | ad.AnnData,
    predicted: Matrix | ad.AnnData,
    genes: Sequence[str] | None = None,
    *,
    axis: Axis = "gene",
    metrics: Sequence[str] = ("pcc", "spearman", "css", "mse", "ssim", "rmse_z", "js"),
) -> pd.DataFrame:
    """Compare predicted with measured expression by several metrics.

    Parameters
    ----------
    truth, predicted
        Expression on one scale, shape (n_cells, n_genes): two matrices with the same cells and genes, or two AnnData,
        which are matched by the names of cells and genes.
    genes
        Of two matrices, the names of the columns. Of two AnnData, the genes to compare; all shared genes if None.
    axis
        Compute one value per `"gene"` or per `"cell"`.
    metrics
        Names of functions in :mod:`stimpute.tl.metrics`.

    Returns
    -------
    Tidy table with columns `gene` (or `cell`), `metric` and `value`.

    Raises
    ------
    KeyError
        If a gene is missing.
    TypeError
        If one argument is an AnnData and the other is not.
    ValueError
        If a metric is unknown, or shapes, cells or genes do not match.
    """
    unknown = [name for name in metrics if name not in METRICS]
    if unknown:
        raise ValueError(f"Unknown `metrics` {unknown}; expected some of {sorted(METRICS)}.")
    if isinstance(truth, ad.AnnData) and isinstance(predicted, ad.AnnData):
        truth, predicted = _match_names(truth, predicted, genes)
        names = truth.obs_names if axis == "cell" else truth.var_names
        truth, predicted = truth.X, predicted.X
    elif isinstance(truth, ad.AnnData) or isinstance(predicted, ad.AnnData):
        raise TypeError("Found one AnnData and one matrix; expected two AnnData or two matrices.")
    else:
        names = _number_or_name(truth.shape, genes, axis)
    values = {name: METRICS[name](truth, predicted, axis=axis) for name in metrics}
    table = pd.DataFrame(values, index=names.rename(axis))
    return table.reset_index().melt(axis, var_name="metric")


def summarize(scores: pd.DataFrame) -> pd.DataFrame:
    """Average every metric over genes or cells.

    Parameters
    ----------
    scores
        Table from :func:`score`, or several of them below one another with a column `method`.

    Returns
    -------
    Methods in rows (or one row, `"mean"`), metrics in columns, in the order of `scores`.

    Raises
    ------
    KeyError
        If `scores` lacks a column.
    """
    missing = {"metric", "value"} - set(scores)
    if missing:
        raise KeyError(
            f"`scores` lacks the columns {sorted(missing)}; it has {list(scores)}. Pass what `stimpute.tl.score` "
            "returned."
        )
    if "method" not in scores:
        scores = scores.assign(method="mean")
    table = scores.pivot_table(index="method", columns="metric", values="value", aggfunc="mean", sort=False)
    return table.rename_axis(index=None, columns=None)


def _number_or_name(shape: tuple[int, int], genes: Sequence[str] | None, axis: Axis) -> pd.Index:
    """Name the genes or cells of a matrix: numbers as text, or the gene names that were given."""
    if genes is not None and len(genes) != shape[1]:
        raise ValueError(
            f"`genes` has {len(genes)} names, but `truth` has {shape[1]} columns; expected one per column."
        )
    if axis == "gene" and genes is not None:
        return pd.Index(genes)
    n_profiles = shape[0] if axis == "cell" else shape[1]
    return pd.Index([str(i) for i in range(n_profiles)])


def _match_names(
    truth: ad.AnnData, predicted: ad.AnnData, genes: Sequence[str] | None
) -> tuple[ad.AnnData, ad.AnnData]:
    """Select the same genes and cells from both, in the order of `predicted`."""
    shared = predicted.var_names[predicted.var_names.isin(truth.var_names)]
    missing = [] if genes is None else [gene for gene in genes if gene not in shared]
    if missing:
        raise KeyError(
            f"`genes`: {name_list(missing)} not in both `truth` and `predicted`. Use `genes=None` for all shared genes."
        )
    if len(shared) == 0:
        raise ValueError(
            f"No shared genes: `truth` has {name_list(truth.var_names, 3)}; `predicted` has "
            f"{name_list(predicted.var_names, 3)}. Use the same kind of gene names in both."
        )
    if len(truth) != len(predicted) or not predicted.obs_names.isin(truth.obs_names).all():
        raise ValueError(
            f"`truth` has {len(truth)} cells and `predicted` {len(predicted)}; expected the same `obs_names` in both."
        )
    columns = list(shared if genes is None else genes)
    if truth.obs_names.equals(predicted.obs_names):
        return truth[:, columns], predicted[:, columns]
    if not truth.obs_names.is_unique:
        raise ValueError(
            "Names of cells are repeated and in another order in `truth` and `predicted`, so that cells cannot be "
            "matched. Call `adata.obs_names_make_unique()` on both."
        )
    return truth[predicted.obs_names, columns], predicted[:, columns]

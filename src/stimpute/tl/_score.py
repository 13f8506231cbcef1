"""Compute all metrics at once, as a tidy table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import anndata as ad
import dask.array as da
import numpy as np
import pandas as pd
from scipy import sparse

import stimpute.tl.metrics as metric_functions
from stimpute._arguments import check_arguments
from stimpute._messages import missing_key, name_list, warn, with_article
from stimpute.data._annotations import in_memory, unbacked
from stimpute.tl.metrics._profiles import Axis, Matrix

METRICS: dict[str, Callable[..., np.ndarray]] = {
    name: getattr(metric_functions, name) for name in metric_functions.__all__
}
LOWER_IS_BETTER = frozenset({"js", "mse", "rmse_z"})
N_COMPARED = 1000  # cells whose values say whether they are counts
UNDEFINED_FOR_CONSTANT_GENES = ["pcc", "spearman", "rmse_z"]


def score(
    truth: Matrix | ad.AnnData,
    predicted: Matrix | ad.AnnData,
    genes: Sequence[str] | None = None,
    *,
    axis: Axis = "gene",
    metrics: Sequence[str] = ("pcc", "spearman", "css", "mse", "ssim", "rmse_z", "js"),
    groupby: str | Sequence[str] | None = None,
) -> pd.DataFrame:
    """Compare predicted with measured expression by several metrics, over all cells or within groups of cells.

    Most of the correlation over all cells usually comes from differences between cell types. `groupby` shows what is
    left within each type: whether the prediction tells cells of one type apart.

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
    groupby
        Column of `obs` of one of the two AnnData, or one label per cell in the order of `predicted`: compute every
        metric within each group. Cells without a label are left out.

    Returns
    -------
    Tidy table with columns `gene` (or `cell`), `metric` and `value`; with `groupby`, also `group` and `n_cells`, with
    the largest group first. Where a gene is constant in a group, `pcc`, `spearman` and `rmse_z` are NaN.

    Raises
    ------
    KeyError
        If a gene or the column of groups is missing.
    TypeError
        If one argument is an AnnData and the other is not, or `groupby` is a name and both are matrices.
    ValueError
        If a metric is unknown, or shapes, cells, genes or groups do not match; or groups are given with `axis="cell"`.

    Warns
    -----
    UserWarning
        If the truth holds counts, and the prediction does not.

    Examples
    --------
    >>> imputed = model.impute(genes=["Gad1"])
    >>> scores = stimpute.tl.score(stimpute.pp.measured_expression(spatial), imputed)
    """
    check_arguments(score, locals())
    unknown = [name for name in metrics if name not in METRICS]
    if unknown:
        raise ValueError(f"Unknown `metrics` {unknown}; expected some of {sorted(METRICS)}.")
    if groupby is not None and axis == "cell":
        raise ValueError('A cell is in one group: `groupby` needs `axis="gene"`.')
    if isinstance(truth, ad.AnnData) and isinstance(predicted, ad.AnnData):
        truth, predicted = _match_names(unbacked(truth), unbacked(predicted), genes)
        if isinstance(groupby, str):
            groupby = list(_read_groups(groupby, truth, predicted))
        names = truth.obs_names if axis == "cell" else truth.var_names
        truth, predicted = (in_memory(x) if isinstance(x, da.Array) else x for x in (truth.X, predicted.X))
    elif isinstance(truth, ad.AnnData) or isinstance(predicted, ad.AnnData):
        found = f"`truth` is {with_article(type(truth))} and `predicted` {with_article(type(predicted))}"
        raise TypeError(f"{found}; expected two AnnData or two matrices.")
    else:
        names = _number_or_name(truth.shape, genes, axis)
    if isinstance(groupby, str):
        raise TypeError(f"`groupby` is {groupby!r}; two matrices have no columns of cells. Pass one label per cell.")
    _warn_of_counts(truth, predicted)
    if groupby is not None:
        return _score_groups(truth, predicted, names, metrics, groupby)
    values = {name: METRICS[name](truth, predicted, axis=axis) for name in metrics}
    table = pd.DataFrame(values, index=names.rename(axis))
    return table.reset_index().melt(axis, var_name="metric")


def _warn_of_counts(truth: Matrix, predicted: Matrix) -> None:
    """Warn if the first cells of the truth hold counts, and those of the prediction do not."""
    if _holds_counts(truth) and not _holds_counts(predicted):
        warn(
            "`truth` holds integers, as counts do, and `predicted` does not; expected values on one scale. "
            "Log-normalize measured counts by `stimpute.pp.measured_expression(spatial)`.",
        )


def _holds_counts(matrix: Matrix) -> bool:
    """Tell whether the first cells hold integers alone, some of them above 1."""
    rows: Any = sparse.csr_array(matrix) if sparse.issparse(matrix) else np.asarray(matrix)
    first = rows[:N_COMPARED]
    values = first.data if sparse.issparse(first) else first
    return bool(values.max(initial=0) > 1) and np.array_equal(values, np.round(values))


def _read_groups(key: str, truth: ad.AnnData, predicted: ad.AnnData) -> pd.Series:
    """Read the group of each cell; both AnnData have the same cells in the same order."""
    for adata in (truth, predicted):
        if key in adata.obs:
            return adata.obs[key]
    raise missing_key(key, "truth.obs", truth.obs.columns, "Name the column of groups by `groupby=`.")


def _score_groups(
    truth: Matrix, predicted: Matrix, names: pd.Index, metrics: Sequence[str], groups: Sequence[str]
) -> pd.DataFrame:
    """Compute every metric of every gene within each group of cells."""
    labels = pd.Series(np.asarray(groups, dtype=object))
    if len(labels) != truth.shape[0]:
        raise ValueError(f"`groupby` has {len(labels)} labels; expected {truth.shape[0]}, one per cell.")
    truth, predicted = (sparse.csr_array(x) if sparse.issparse(x) else np.asarray(x) for x in (truth, predicted))
    tables = []
    for group, n_cells in labels.dropna().astype(str).value_counts().items():
        cells = np.flatnonzero(labels.astype(str) == group)
        of_group = truth[cells]
        values = {name: METRICS[name](of_group, predicted[cells]) for name in metrics}
        table = pd.DataFrame(values, index=names.rename("gene"))
        undefined = [name for name in UNDEFINED_FOR_CONSTANT_GENES if name in table]
        table.loc[_is_constant(of_group), undefined] = np.nan
        tables.append(table.reset_index().assign(group=group, n_cells=n_cells))
    if not tables:
        raise ValueError("`groupby` has no label. Name a column that says to which group each cell belongs.")
    return pd.concat(tables, ignore_index=True).melt(["gene", "group", "n_cells"], var_name="metric")


def _is_constant(matrix: np.ndarray | sparse.csr_array) -> np.ndarray:
    """Tell which genes have one value in all cells, shape (n_genes,)."""
    largest = matrix.max(axis=0)
    smallest = matrix.min(axis=0)
    if sparse.issparse(matrix):
        return largest.toarray().ravel() == smallest.toarray().ravel()
    return largest == smallest


def summarize(scores: pd.DataFrame) -> pd.DataFrame:
    """Average every metric over genes or cells, for each method and each group of cells.

    Parameters
    ----------
    scores
        Table from :func:`score`, or several of them below one another with a column `method`.

    Returns
    -------
    Methods in rows (or one row, `"mean"`), metrics in columns, in the order of `scores`. With groups of cells, groups
    in rows, or methods and groups.

    Raises
    ------
    KeyError
        If `scores` lacks a column.
    """
    check_arguments(summarize, locals())
    missing = {"metric", "value"} - set(scores)
    if missing:
        raise KeyError(
            f"`scores` lacks the columns {sorted(missing)}; it has {list(scores)}. Pass what `stimpute.tl.score` "
            "returned."
        )
    rows = [name for name in ("method", "group") if name in scores]
    if not rows:
        scores = scores.assign(method="mean")
        rows = ["method"]
    table = scores.pivot_table(index=rows, columns="metric", values="value", aggfunc="mean", sort=False)
    return table.rename_axis(index=None if len(rows) == 1 else rows, columns=None)


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
            f"{name_list(predicted.var_names, 3)}. Use the same kind of gene names in both. Measured genes are imputed "
            "if they are named: `model.impute(genes=[...])`."
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

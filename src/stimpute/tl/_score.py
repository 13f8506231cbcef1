"""All metrics at once, as a tidy table."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import anndata as ad
import numpy as np
import pandas as pd

from . import metrics
from .metrics._profiles import Axis, Matrix

METRICS: dict[str, Callable[..., np.ndarray]] = {name: getattr(metrics, name) for name in metrics.__all__}
LOWER_IS_BETTER = frozenset({"js", "mse", "rmse_z"})


def score(
    truth: Matrix | ad.AnnData,
    predicted: Matrix | ad.AnnData,
    genes: Sequence[str] | None = None,
    *,
    axis: Axis = "gene",
    metrics: Sequence[str] = ("pcc", "spearman", "css", "mse", "ssim", "rmse_z", "js"),
) -> pd.DataFrame:
    """Compare predicted with measured expression.

    Parameters
    ----------
    truth, predicted
        Expression [cells, genes] on one scale: two arrays with the same cells and genes, or two AnnData, which are
        brought together by name.
    genes
        Names of the columns of two arrays; of two AnnData, which genes to compare (all shared ones by default).
    axis
        One value for each ``"gene"`` or for each ``"cell"``.
    metrics
        Which functions of :mod:`stimpute.tl.metrics`.

    Returns
    -------
    Columns ``gene`` (or ``cell``), ``metric`` and ``value``.

    Raises
    ------
    ValueError
        If a metric is unknown or the two do not fit together.
    KeyError
        If a gene of ``genes`` is missing.
    """
    unknown = [m for m in metrics if m not in METRICS]
    if unknown:
        raise ValueError(f"metrics={unknown}: unknown; expected some of {sorted(METRICS)}.")
    if isinstance(truth, ad.AnnData) and isinstance(predicted, ad.AnnData):
        truth, predicted = _together(truth, predicted, genes)
        names = {"gene": truth.var_names, "cell": truth.obs_names}[axis]
        truth, predicted = truth.X, predicted.X
    elif isinstance(truth, ad.AnnData) or isinstance(predicted, ad.AnnData):
        raise ValueError("Found one AnnData and one array: expected two of the same kind.")
    else:
        if genes is not None and len(genes) != truth.shape[1]:
            raise ValueError(f"genes has {len(genes)} names and truth has {truth.shape[1]} columns: expected as many.")
        size = truth.shape[axis == "gene"]
        names = pd.Index(genes if axis == "gene" and genes is not None else [str(i) for i in range(size)])
    values = {m: METRICS[m](truth, predicted, axis=axis) for m in metrics}
    return pd.DataFrame(values, index=names.rename(axis)).reset_index().melt(axis, var_name="metric")


def summarise(scores: pd.DataFrame) -> pd.DataFrame:
    """Mean of every metric over genes or cells.

    Parameters
    ----------
    scores
        Tables of :func:`score`, put below one another with a column ``method`` to compare several.

    Returns
    -------
    Methods in rows (or one row, ``"mean"``), metrics in columns, in the order of ``scores``.

    Raises
    ------
    KeyError
        If ``scores`` lacks a column.
    """
    missing = {"metric", "value"} - set(scores)
    if missing:
        raise KeyError(
            f"scores lacks {sorted(missing)}, found {list(scores)}: expected what stimpute.tl.score returns."
        )
    if "method" not in scores:
        scores = scores.assign(method="mean")
    table = scores.pivot_table(index="method", columns="metric", values="value", aggfunc="mean", sort=False)
    return table.rename_axis(index=None, columns=None)


def _together(truth: ad.AnnData, predicted: ad.AnnData, genes: Sequence[str] | None) -> tuple[ad.AnnData, ad.AnnData]:
    """Both with the same genes and cells, in the order of ``predicted``."""
    shared = predicted.var_names[predicted.var_names.isin(truth.var_names)]
    missing = [g for g in genes if g not in shared] if genes is not None else []
    if missing:
        raise KeyError(
            f"genes: {missing[:5]} are not in both truth and predicted; leave genes=None for the shared ones."
        )
    if len(shared) == 0:
        raise ValueError(
            f"No shared genes: truth has {list(truth.var_names[:3])}, predicted {list(predicted.var_names[:3])}."
        )
    if len(truth) != len(predicted) or not predicted.obs_names.isin(truth.obs_names).all():
        raise ValueError(f"truth has {len(truth)} cells and predicted {len(predicted)}: expected the same obs_names.")
    columns = list(genes) if genes is not None else shared
    return truth[predicted.obs_names, columns], predicted[:, columns]

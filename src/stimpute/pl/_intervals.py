"""Plot coverage and width of prediction intervals."""

from __future__ import annotations

from typing import Unpack

import anndata as ad
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from stimpute._messages import check_count
from stimpute.pl._figure import COLORS, LIGHT_GREY, FigureOptions, axes_for, hide_spines, plot
from stimpute.pl._measured_pair import measured_pair
from stimpute.tl import CrossValidation
from stimpute.tl.metrics._profiles import Matrix

DEFAULT_LEVEL = 0.9


@plot
def intervals(
    result: CrossValidation | ad.AnnData | Matrix | pd.DataFrame,
    lower: Matrix | pd.DataFrame | None = None,
    upper: Matrix | pd.DataFrame | None = None,
    *,
    spatial: ad.AnnData | None = None,
    level: float | None = None,
    n_groups: int = 5,
    **figure: Unpack[FigureOptions],
) -> list[Axes]:
    """Plot the share of values inside their interval, and the width of the intervals, by mean expression of the genes.

    Parameters
    ----------
    result
        Result of :func:`stimpute.tl.cross_validate` with `interval=`; or of `model.impute(interval=...)` for measured
        genes, with `spatial`; or measured expression of held-out genes, shape (n_cells, n_genes), with `lower` and
        `upper`.
    lower, upper
        With measured expression: ends of the intervals, on the same scale and of the same shape.
    spatial
        With a result of `model.impute`: spatial data that measured the genes.
    level
        With measured expression: requested coverage, 0.9 if None. The other results record it.
    n_groups
        Number of groups of genes, equal in size, by mean expression.

    Raises
    ------
    TypeError
        If a result is combined with other values, or lacks those that it needs.
    ValueError
        If the result has no intervals, the shapes differ, or the level is not between 0 and 1.

    Examples
    --------
    >>> stimpute.pl.intervals(stimpute.tl.cross_validate(spatial, reference, interval=0.9))
    """
    check_count(1, n_groups=n_groups)
    if isinstance(result, ad.AnnData) or hasattr(result, "predicted"):
        if lower is not None or upper is not None or level is not None:
            raise TypeError("The result holds `lower`, `upper` and `level`; leave these arguments out.")
        truth, lower, upper, level = _read(result, spatial)
    else:
        truth = result
    if lower is None or upper is None:
        raise TypeError(
            "`lower` and `upper` are missing; pass both with measured values as `result`, or a cross-validation alone."
        )
    level = DEFAULT_LEVEL if level is None else level
    if not 0 < level < 1:
        raise ValueError(f"`level` is {level}; expected a share between 0 and 1, as in `model.impute(interval=...)`.")
    lower, upper = (_in_order_of(truth, bound, name) for name, bound in (("lower", lower), ("upper", upper)))
    genes = _summarize_genes(_dense(truth), _dense(lower), _dense(upper), n_groups)

    axes = axes_for(2, figure, size=(8, 3.4))
    coverage, width = axes
    _draw_groups(genes, "coverage", coverage)
    coverage.axhline(level, color=COLORS[1], linestyle="--", label=f"requested, {level:.0%}")
    coverage.set(title=f"Coverage, {genes['coverage'].mean():.1%} overall", ylabel="share of values inside")
    coverage.set_ylim(top=1.01)
    coverage.legend(frameon=False)
    _draw_groups(genes, "width", width)
    width.set(title="Width", ylabel="mean width of the interval")
    width.set_ylim(bottom=0)
    return axes


def _read(result: CrossValidation | ad.AnnData, spatial: ad.AnnData | None) -> tuple[Matrix, Matrix, Matrix, float]:
    """Return measured values, the ends of the intervals, and the level."""
    if isinstance(result, ad.AnnData):
        measured, values = measured_pair(result, spatial)
        level = result.uns.get("stimpute", {}).get("interval")
    else:
        measured = values = result.predicted
        level = result.settings.interval
    if level is None or not {"lower", "upper"} <= set(values.layers):
        raise ValueError("The result has no intervals; pass `interval=0.9` to `model.impute` or `tl.cross_validate`.")
    return measured.X, values.layers["lower"], values.layers["upper"], level


def _in_order_of(truth: Matrix | pd.DataFrame, bound: Matrix | pd.DataFrame, name: str) -> Matrix | pd.DataFrame:
    """Put the cells and genes of a table in the order of the measured ones."""
    if not isinstance(truth, pd.DataFrame) or not isinstance(bound, pd.DataFrame):
        return bound
    if truth.index.equals(bound.index) and truth.columns.equals(bound.columns):
        return bound
    if set(truth.index) != set(bound.index) or set(truth.columns) != set(bound.columns):
        raise ValueError(f"`{name}` has other cells or genes than the measured values; expected the same names.")
    if not bound.index.is_unique or not bound.columns.is_unique:
        raise ValueError(f"`{name}` is in another order than the measured values, and its names repeat.")
    return bound.loc[truth.index, truth.columns]


def _dense(matrix: Matrix | pd.DataFrame) -> np.ndarray:
    return np.asarray(matrix.toarray() if hasattr(matrix, "toarray") else matrix)


def _summarize_genes(truth: np.ndarray, lower: np.ndarray, upper: np.ndarray, n_groups: int) -> pd.DataFrame:
    """Return one row per gene; groups are numbered from 0, by mean expression."""
    if truth.ndim != 2 or not truth.shape == lower.shape == upper.shape:
        raise ValueError(
            f"Measured values, `lower` and `upper` have shapes {truth.shape}, {lower.shape} and {upper.shape}; "
            "expected three equal shapes (n_cells, n_genes)."
        )
    is_inside = (lower <= truth) & (truth <= upper)
    genes = pd.DataFrame(
        {"mean": truth.mean(axis=0), "coverage": is_inside.mean(axis=0), "width": (upper - lower).mean(axis=0)}
    )
    rank = genes["mean"].rank(method="first") - 1
    genes["group"] = (rank * min(n_groups, len(genes)) // len(genes)).astype(int)
    return genes


def _draw_groups(genes: pd.DataFrame, column: str, ax: Axes) -> None:
    """Draw a point per gene and a bar at the mean of each group."""
    groups = genes.groupby("group")
    # The genes of a group stand side by side.
    sizes = groups["group"].transform("size").to_numpy()
    offset = (groups.cumcount().to_numpy() + 0.5) / sizes - 0.5
    ax.plot(genes["group"] + 0.6 * offset, genes[column], "o", color=LIGHT_GREY, markersize=3)
    means = groups[column].mean()
    ax.hlines(means, means.index - 0.35, means.index + 0.35, color=COLORS[0], linewidth=2.5)
    labels = [f"{group['mean'].min():.2g} to\n{group['mean'].max():.2g}" for _, group in groups]
    ax.set_xticks(range(len(labels)), labels, fontsize="small")
    ax.set_xlabel("mean expression of the genes")
    hide_spines(ax)

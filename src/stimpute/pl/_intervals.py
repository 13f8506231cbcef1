"""Plot coverage and width of prediction intervals."""

from __future__ import annotations

from typing import Unpack, cast

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from stimpute._messages import check_count
from stimpute.pl._figure import COLORS, LIGHT_GREY, FigureOptions, axes_for, hide_spines, plot
from stimpute.tl import CrossValidation
from stimpute.tl.metrics._profiles import Matrix

DEFAULT_LEVEL = 0.9


@plot
def intervals(
    truth: CrossValidation | Matrix,
    lower: Matrix | None = None,
    upper: Matrix | None = None,
    *,
    level: float | None = None,
    n_groups: int = 5,
    **figure: Unpack[FigureOptions],
) -> list[Axes]:
    """Plot the share of values inside their interval, and the width of the intervals, by mean expression of the genes.

    Parameters
    ----------
    truth
        Result of :func:`stimpute.tl.cross_validate` with `interval=`; or measured expression of held-out genes, shape
        (n_cells, n_genes).
    lower, upper
        Ends of the intervals, on the scale of `truth` and of the same shape; not for a cross-validation.
    level
        Requested coverage, 0.9 if None. A cross-validation knows its own.
    n_groups
        Number of groups of genes, equal in size, by mean expression.

    Raises
    ------
    TypeError
        If a cross-validation is combined with other values, or a matrix has no `lower` and `upper`.
    ValueError
        If the cross-validation has no intervals, the shapes differ, or the level is not between 0 and 1.
    """
    check_count(1, n_groups=n_groups)
    if hasattr(truth, "predicted"):
        if lower is not None or upper is not None or level is not None:
            raise TypeError("A cross-validation holds `lower`, `upper` and `level`; pass it alone.")
        truth, lower, upper, level = _read(cast("CrossValidation", truth))
    if lower is None or upper is None:
        raise TypeError("`lower` and `upper` are missing; pass both with `truth`, or a cross-validation alone.")
    level = DEFAULT_LEVEL if level is None else level
    if not 0 < level < 1:
        raise ValueError(f"`level` is {level}; expected a share between 0 and 1, as in `model.impute(interval=...)`.")
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


def _read(validation: CrossValidation) -> tuple[Matrix, Matrix, Matrix, float]:
    predicted = validation.predicted
    level = validation.settings.interval
    if level is None or not {"lower", "upper"} <= set(predicted.layers):
        raise ValueError("The cross-validation has no intervals; call `tl.cross_validate(..., interval=0.9)`.")
    return predicted.X, predicted.layers["lower"], predicted.layers["upper"], level


def _dense(matrix: Matrix) -> np.ndarray:
    return np.asarray(matrix.toarray() if hasattr(matrix, "toarray") else matrix)


def _summarize_genes(truth: np.ndarray, lower: np.ndarray, upper: np.ndarray, n_groups: int) -> pd.DataFrame:
    """Return one row per gene; groups are numbered from 0, by mean expression."""
    if truth.ndim != 2 or not truth.shape == lower.shape == upper.shape:
        raise ValueError(
            f"`truth`, `lower` and `upper` have shapes {truth.shape}, {lower.shape} and {upper.shape}; expected three "
            "equal shapes (n_cells, n_genes)."
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

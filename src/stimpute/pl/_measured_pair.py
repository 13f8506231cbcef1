"""Bring imputed and measured values of the same genes together."""

from __future__ import annotations

import anndata as ad

from stimpute.data._result import check_same_cells
from stimpute.tl._measured import read_measured


def measured_pair(imputed: ad.AnnData, spatial: ad.AnnData | None) -> tuple[ad.AnnData, ad.AnnData]:
    """Return measured and imputed values of the genes that were measured, in the same order.

    Parameters
    ----------
    imputed
        Result of `model.impute`.
    spatial
        Spatial data of the same cells.

    Raises
    ------
    TypeError
        If there are no spatial data.
    ValueError
        If the cells differ, or no imputed gene was measured.
    """
    if spatial is None:
        raise TypeError("A result of `model.impute` holds no measured values; pass the spatial data by `spatial=`.")
    check_same_cells(spatial, imputed)
    measured = read_measured(spatial, imputed)
    both = imputed.var_names[imputed.var_names.isin(measured.var_names)]
    if len(both) == 0:
        raise ValueError(
            "No gene of the result was measured. Impute measured genes by name, which are then predicted as if they "
            'had not been measured: `model.impute(genes=["..."])`.'
        )
    chosen = imputed[:, both]
    return measured[:, both], chosen.to_memory() if imputed.isbacked else chosen

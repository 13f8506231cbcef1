"""Read measured expression as the model that imputed did."""

from __future__ import annotations

from typing import Any

import pandas as pd
from anndata import AnnData

from stimpute.data._expression import Expression, read_gene_names
from stimpute.data._result import recorded_setup
from stimpute.pp import measured_expression


def read_measured(
    spatial: AnnData, imputed: AnnData, layer: str | None = None, expression: Expression | None = None
) -> AnnData:
    """Log-normalize spatial data to the total of the result, with genes named as there.

    Parameters
    ----------
    spatial
        Spatial data, shape (n_cells, n_measured_genes).
    imputed
        Result of `model.impute`, which records how the spatial data were set up.
    layer, expression
        Layer and kind of the measured values. If both are None, those of the record; without a record, counts in `X`.
    """
    setup = recorded_setup(imputed)
    chosen: dict[str, Any] = {"layer": layer, "expression": expression or "counts"}
    if layer is None and expression is None:
        chosen.update({name: setup[name] for name in chosen if name in setup})
    record = imputed.uns.get("stimpute", {})
    counted = measured_names(spatial, imputed).intersection(record.get("input_genes", []))
    return measured_expression(
        spatial,
        gene_symbols=_gene_symbols(spatial, imputed),
        target_sum=record.get("target_sum"),
        input_genes=counted if len(counted) else None,  # of a result of other genes nothing is known
        **chosen,
    )


def measured_names(spatial: AnnData, imputed: AnnData) -> pd.Index:
    """Return the names of the measured genes as in the result."""
    return read_gene_names(spatial, _gene_symbols(spatial, imputed))


def _gene_symbols(spatial: AnnData, imputed: AnnData) -> str | None:
    """Return the recorded column of gene names, if the spatial data have it."""
    column = recorded_setup(imputed).get("gene_symbols")
    return column if column in spatial.var else None

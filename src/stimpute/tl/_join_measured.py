"""Join measured and imputed genes in one AnnData."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from stimpute._arguments import check_arguments
from stimpute.data._annotations import layers_by_name, unbacked
from stimpute.data._expression import Expression
from stimpute.data._result import check_same_cells, without_values
from stimpute.tl._measured import measured_names, read_measured


def join_measured(
    spatial: AnnData, imputed: AnnData, *, layer: str | None = None, expression: Expression | None = None
) -> AnnData:
    """Join measured genes and imputed genes, with a flag that tells them apart.

    Measured genes keep their measured values, log-normalized on the scale of the imputed ones. Predictions of measured
    genes are left out; they stay in `imputed`.

    Parameters
    ----------
    spatial
        Spatial data, shape (n_cells, n_measured_genes).
    imputed
        Result of `model.impute` for the same cells.
    layer, expression
        Layer with the measured values, and whether they are `"counts"` or `"normalized"`. If both are None, as the
        model was set up, which the result records.

    Returns
    -------
    AnnData, cells × (measured genes, then imputed genes), dense. `var["imputed"]` is True for imputed genes. `var` has
    the columns of both, such as gene ids and `reliability`; `layers` those of `imputed`, NaN for measured genes.
    `obs`, `obsm`, `obsp` and the palettes and graphs in `uns` are those of `spatial`.

    Raises
    ------
    KeyError
        If the layer is missing.
    ValueError
        If the two AnnData have different cells.

    Examples
    --------
    >>> joined = stimpute.tl.join_measured(spatial, model.impute(genes=["Rorb"]))
    >>> scanpy.pl.embedding(joined, "spatial", color=["Gad1", "Rorb"])
    """
    check_arguments(join_measured, locals())
    spatial, imputed = unbacked(spatial), unbacked(imputed)
    check_same_cells(spatial, imputed)
    measured = read_measured(spatial, imputed, layer, expression)
    new = imputed[:, ~imputed.var_names.isin(measured.var_names)]
    joined = without_values(spatial, _join_var(spatial, imputed, new.var), dict(imputed.uns.get("stimpute", {})))
    joined.X = _join_columns(measured.X.toarray(), new.X)
    for name, values in layers_by_name(new).items():
        nothing = np.full(measured.shape, np.nan, np.float32)
        joined.layers[name] = _join_columns(nothing, values)
    return joined


def _join_var(spatial: AnnData, imputed: AnnData, new: pd.DataFrame) -> pd.DataFrame:
    """Join the gene tables; columns that only one of them has are empty for the genes of the other."""
    names = measured_names(spatial, imputed)
    measured = spatial.var.copy()
    if not spatial.var_names.equals(names):
        measured["gene_id"] = spatial.var_names
    measured.index = names
    joined = pd.concat([measured.assign(imputed=False, measured=True), new.assign(imputed=True, measured=False)])
    for name in joined:
        if joined[name].dtype == object:  # such as True, False and nothing, which a file could not store
            converted = joined[name].convert_dtypes()
            if not isinstance(converted.dtype, pd.StringDtype):
                joined[name] = converted
            elif joined[name].isna().any():
                joined[name] = joined[name].astype("category")
    return joined


def _join_columns(left: np.ndarray, right: Any) -> Any:
    """Put two matrices side by side; the result is lazy if the right one is."""
    if hasattr(right, "compute"):
        import dask.array as da

        return da.concatenate([da.from_array(left), right], axis=1)
    return np.concatenate([left, np.asarray(right, dtype=np.float32)], axis=1)

"""Log-normalize measured expression, for comparison with imputed values."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd
from anndata import AnnData

from stimpute._arguments import check_arguments
from stimpute._messages import check_at_least, name_list
from stimpute.data._expression import Expression, read_expression
from stimpute.data._result import log1p_record


def measured_expression(
    spatial: AnnData,
    *,
    layer: str | None = None,
    expression: Expression = "counts",
    gene_symbols: str | None = None,
    target_sum: float | None = None,
    input_genes: Iterable[str] | None = None,
) -> AnnData:
    """Log-normalize spatial counts by their totals over the measured genes, the scale of imputed values.

    This is exactly the scale of a result where `target_sum` and `input_genes` are those of `imputed.uns["stimpute"]`.
    Without them it is for the cells of the training, if all measured genes are input.

    Parameters
    ----------
    spatial
        Spatial data. They are not changed.
    layer
        Layer to read; `X` if None.
    expression
        `"counts"`: divide by the total of the cell, multiply by `target_sum`, take log1p. `"normalized"`: keep the
        values as they are.
    gene_symbols
        Column of `var` with the gene names; `var_names` if None.
    target_sum
        Total count that each cell is scaled to; the median of these cells if None.
    input_genes
        Genes that totals count; all if None. Names that the data lack are left out.

    Returns
    -------
    A new AnnData: `X` is CSR, float32, shape (n_cells, n_measured_genes); `obs` and `obsm` are those of `spatial`.

    Raises
    ------
    KeyError
        If the layer or the column does not exist.
    ValueError
        If `expression` is unknown, the values are not what it says, `target_sum` is below 1, or the data have none of
        `input_genes`.

    Examples
    --------
    >>> measured = stimpute.pp.measured_expression(spatial)
    """
    check_arguments(measured_expression, locals())
    check_at_least(1, target_sum=target_sum)
    measured = read_expression(spatial, layer=layer, expression=expression, gene_symbols=gene_symbols)
    counted = None if input_genes is None else list(input_genes)
    if counted is not None and not measured.genes.isin(counted).any():
        raise ValueError(
            f"The data have none of the `input_genes` {name_list(counted)}; expected names as in "
            f"{name_list(measured.genes)}. Name their column by `gene_symbols=`."
        )
    return AnnData(
        measured.log_normalized(target_sum, counted),
        obs=spatial.obs.copy(),
        var=pd.DataFrame(index=measured.genes),
        obsm={key: values.copy() for key, values in spatial.obsm.items()},
        uns={"log1p": log1p_record(spatial, counts=expression == "counts")},
    )

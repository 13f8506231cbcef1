"""List what travels with a model."""

from __future__ import annotations

import numpy as np
import pandas as pd

from stimpute._arguments import check_arguments
from stimpute.data._arrays import declared_arrays
from stimpute.model import StImputeModel
from stimpute.share._tensors import FIT, NETWORKS, collect


def contents(model: StImputeModel) -> pd.DataFrame:
    """List every array that a saved or shared model holds, so that you can decide whether you may share it.

    Beside these arrays a model holds the names of its genes and of batches and datasets, its settings and its training
    history, but no names, positions or other annotations of cells. Data are included only on request.

    Parameters
    ----------
    model
        A trained model.

    Returns
    -------
    One row per array, with `shape`, `dtype`, `kilobytes` and `about`.

    Raises
    ------
    RuntimeError
        If the model is not trained.

    Examples
    --------
    >>> stimpute.share.contents(model)[["shape", "about"]]
    """
    check_arguments(contents, locals())
    model.predictor(need_reference=False)  # raises if the model is not trained
    about = {FIT + entry.name: entry.shape.about for entry in declared_arrays(model.recipe.fit_type)}
    rows = {}
    for name, value in collect(model).items():
        rows[name] = {
            "shape": value.shape,
            "dtype": str(value.dtype),
            "kilobytes": np.round(value.nbytes / 1024, 1),
            "about": "weights of a network" if name.startswith(NETWORKS) else about[name],
        }
    return pd.DataFrame.from_dict(rows, orient="index")

"""Table 1: what the pairs hold."""

from __future__ import annotations

import numpy as np
import pandas as pd
from _pairs import Pair
from benchmarks.paper._page import Page
from benchmarks.paper._study import Study

ORDER = 0


def measure(pair: Pair, seed: int) -> pd.DataFrame:
    """Count cells, genes and molecules."""
    rows = []
    for side, adata in (("spatial", pair.spatial), ("reference", pair.reference)):
        total = np.asarray(adata.X.sum(1)).ravel()
        detected = np.asarray((adata.X > 0).sum(1)).ravel()
        rows.append(
            {
                "data": side,
                "cells": adata.n_obs,
                "genes": adata.n_vars,
                "median count per cell": np.median(total),
                "median genes per cell": np.median(detected),
                "zeros": 1 - detected.sum() / (adata.n_obs * adata.n_vars),
            }
        )
    return pd.DataFrame(rows).assign(**{"shared genes": pair.spatial.n_vars})


def show(results: pd.DataFrame, page: Page) -> None:
    """Write one table."""
    page.table(results.drop(columns="seed").set_index(["pair", "data"]), "Cells and genes of each pair")


STUDY = Study(
    title="The data",
    paper="Table 1",
    question="What do the pairs hold? Spatial data are cut to the genes that both datasets have.",
    measure=measure,
    show=show,
    seeds=(0,),
    n_cells=None,
)

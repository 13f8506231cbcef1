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
    """Write one table, and what is small in these data."""
    shown = results.drop(columns="seed").set_index(["pair", "data"])
    shown["zeros"] = shown["zeros"].map("{:.0%}".format)
    page.table(shown, "Cells and genes of each pair", digits=1)
    page.text(
        "The references of OSMFISH and OSMFISH_VISP have no gene but the 33 of the section, and that of STARMAP_V1 has "
        "500: there is little from which relations of genes could be learned, and these pairs cannot show what a "
        "whole-transcriptome reference would."
    )


STUDY = Study(
    title="The data",
    paper="Table 1",
    question="What do the pairs hold? Spatial data are cut to the genes that both datasets have.",
    measure=measure,
    show=show,
    seeds=(0,),
    n_cells=None,
)

"""Does reliability notice noise? `python benchmarks/noise.py --pair OSMFISH --cells 1000`.

Zeng et al. (2024) add noise to predictions and see their reliability fall. Here a held-out gene is joined by copies of
itself whose reference values change places between more and more cells, so that their predictions get noisier from
the source. The table has the reliability of the copies beside the correlation with the truth that they reach.
"""

from __future__ import annotations

import argparse
import logging
import warnings
from dataclasses import replace
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
from _methods import stimpute
from _pairs import load_pair
from _results import section, show

from stimpute import tl
from stimpute.tl import GeneFold
from stimpute.tl.metrics import pcc

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


def with_noisy_copies(fold: GeneFold, seed: int) -> GeneFold:
    """Ask for every target once per share of cells that exchange its values in the reference."""
    random, values = np.random.default_rng(seed), fold.reference[:, fold.targets].X.toarray()
    blocks, names = [], []
    for share in SHARES:
        rows = np.flatnonzero(random.random(len(values)) < share)
        block = values.copy()
        block[rows] = random.permuted(block[rows], axis=0)
        blocks.append(sp.csr_matrix(block))
        names += [f"{gene}, {share:.0%} noise" for gene in fold.targets]
    var = pd.DataFrame(index=[*fold.reference.var_names, *names])
    x = sp.hstack([fold.reference.X, *blocks], format="csr")
    reference = ad.AnnData(x, obs=fold.reference.obs, var=var)
    return replace(fold, reference=reference, targets=names, truth=np.tile(fold.truth, len(SHARES)))


def rows(name: str, n_cells: int | None, seed: int) -> list[dict]:
    """One row per share of noise: means over the genes, and how many genes have become less reliable."""
    pair = load_pair(name, n_cells)
    method = stimpute("crossfit", full=True, seed=seed)
    found = []
    for plain in tl.gene_folds(pair.spatial, pair.reference, seed=seed):
        fold = with_noisy_copies(plain, seed)
        prediction = method(fold)
        observed = pcc(fold.truth, prediction.expression)
        found.append(np.stack([prediction.reliability, observed]).reshape(2, len(SHARES), -1))
    reliability, observed = np.concatenate(found, axis=-1)
    return [
        {
            "pair": name,
            "cells exchanged": f"{share:.0%}",
            "reliability": reliability[index].mean(),
            "observed PCC": observed[index].mean(),
            "genes lowered": (reliability[index] < reliability[0]).mean() if share else np.nan,
        }
        for index, share in enumerate(SHARES)
    ]


def main() -> None:
    """Run, print and, with `--out`, append a section to a Markdown file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pair", nargs="+", default=["OSMFISH", "MERFISH_HYPOTHALAMUS", "STARMAP_V1"])
    parser.add_argument("--cells", type=int, help="number of spatial cells to draw; all if not given")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    table = pd.DataFrame([row for name in args.pair for row in rows(name, args.cells, args.seed)])
    show(section("Reliability under noise, crossfit", table.round(3)), args.out)


if __name__ == "__main__":
    main()

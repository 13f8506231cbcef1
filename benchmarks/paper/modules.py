"""Modules of co-expressed genes: Fig. S10, S11."""

from __future__ import annotations

from collections.abc import Iterator

import anndata as ad
import numpy as np
import pandas as pd
from _pairs import Pair
from benchmarks.paper._modules_page import PERMUTED, REFERENCE, show_agreement, show_named
from benchmarks.paper._page import Page
from benchmarks.paper._predictions import by_method, folds, held_out, unmeasured, unmeasured_fold
from benchmarks.paper._study import Study
from scipy.stats import spearmanr
from sklearn.metrics import adjusted_rand_score

from stimpute import tl

ORDER = 55
GROUPS = (("C1qa", "C1qb"), ("Lyz2", "Pf4"), ("Lyz2", "Ccl24"), ("Pf4", "Ccl24"), ("Pax3", "Pax7"), ("Irx3", "Irx5"))
NAMED = sorted({gene for group in GROUPS for gene in group})
N_NEAREST = 5


def measure(pair: Pair, seed: int) -> pd.DataFrame:
    """Compare modules of measured and predicted genes, and find the partners that the paper names."""
    rows = [{"part": "agreement", **row} for row in _agreement(pair, seed)]
    rows += [{"part": "named", **row} for row in _named(pair, seed)]
    return pd.DataFrame(rows)


def _agreement(pair: Pair, seed: int) -> Iterator[dict]:
    """Compare the correlations among measured genes with those among predictions of the same genes."""
    predicted = held_out(pair, seed)
    rng = np.random.default_rng(seed)
    matrices = by_method(predicted) | {PERMUTED: rng.permuted(predicted.X, axis=0)}
    matrices[REFERENCE] = _reference_values(pair, seed, list(predicted.var_names))
    truth = np.corrcoef(predicted.X.T)
    upper = np.triu_indices(predicted.n_vars, 1)
    n_neighbors = min(10, predicted.n_vars // 4)
    modules = _modules(predicted.X, n_neighbors, seed)
    for name, values in matrices.items():
        correlation = np.nan_to_num(np.corrcoef(values.T))
        found = _modules(values, n_neighbors, seed)
        yield {
            "method": name,
            "modules": found.max() + 1,
            "modules measured": modules.max() + 1,
            "ari": adjusted_rand_score(modules, found),
            "correlation of correlations": spearmanr(truth[upper], correlation[upper]).statistic,
            "nearest found": _nearest_found(truth, correlation),
            "mean absolute correlation": np.abs(correlation[upper]).mean(),
            "measured mean absolute correlation": np.abs(truth[upper]).mean(),
        }


def _modules(values: np.ndarray, n_neighbors: int, seed: int) -> np.ndarray:
    return tl.coexpression_modules(ad.AnnData(values), n_neighbors=n_neighbors, seed=seed)["module"].to_numpy()


def _reference_values(pair: Pair, seed: int, genes: list[str]) -> np.ndarray:
    """Return genes of the reference, log-normalized, shape (n_reference, n_genes)."""
    parts = {}
    for fold in folds(pair, seed):
        parts |= dict(zip(fold.targets, fold.dense.targets.T, strict=True))
    return np.column_stack([parts[gene] for gene in genes])


def _nearest_found(truth: np.ndarray, correlation: np.ndarray) -> float:
    """Compute how often the gene that correlates most is among the nearest five by the predictions."""
    truth, correlation = (matrix - 9 * np.eye(len(matrix)) for matrix in (truth, correlation))
    nearest = np.argsort(-correlation, axis=1)[:, :N_NEAREST]
    return float((nearest == truth.argmax(1)[:, None]).any(1).mean())


def _named(pair: Pair, seed: int) -> Iterator[dict]:
    """Rank the second gene of a group among the genes that correlate with the first one."""
    fold = unmeasured_fold(pair, NAMED)
    everything = set(pair.reference.var_names) | set(fold.targets if fold else [])
    for first, second in GROUPS:
        has = {gene: gene in everything for gene in (first, second)}
        yield {"pair of genes": f"{first}, {second}", "method": "in the data", "both": all(has.values())}
    predicted = unmeasured(pair, seed, NAMED)
    if predicted is None or fold is None:
        return
    matrices = by_method(predicted) | {REFERENCE: fold.dense.targets}
    for name, values in matrices.items():
        correlation = np.nan_to_num(np.corrcoef(values.T))
        modules = _modules(values, 10, seed)
        shares = np.bincount(modules) / len(modules)
        for first, second in GROUPS:
            if {first, second} <= set(predicted.var_names):
                i, j = predicted.var_names.get_indexer([first, second])
                yield {
                    "pair of genes": f"{first}, {second}",
                    "method": name,
                    "rank": int((np.delete(correlation[i], i) > correlation[i, j]).sum()) + 1,
                    "correlation of the two": correlation[i, j],
                    "same module": bool(modules[i] == modules[j]),
                    "same module by chance": float((shares**2).sum()),
                    "n_genes": len(modules),
                    "modules": modules.max() + 1,
                }


def show(results: pd.DataFrame, page: Page) -> None:
    """Write tables and verdicts."""
    show_agreement(results[results["part"] == "agreement"], page)
    show_named(results[results["part"] == "named"], page)


STUDY = Study(
    title="Modules of co-expressed genes",
    paper="Fig. S10, S11",
    question="Do genes that are expressed together come out together when they are predicted?",
    measure=measure,
    show=show,
    seeds=(0,),
)

"""Predict genes of a pair by several methods, for the studies that ask what predictions are good for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import anndata as ad
import numpy as np
import scanpy as sc
from _methods import Predict, baselines, stimpute
from _pairs import Pair, with_proteins
from peers import _measure
from references import read_reference
from scipy import sparse

from stimpute import tl
from stimpute.tl import GeneFold

MEASURED = "measured"
RECIPES = ("paper", "crossfit")
OURS = "ours and kNN"  # the part of a study that needs no other environment
SYSTEMS = {"SpaGE": "spage", "stPlus": "stplus"}  # stPlus is the paper's second best
PARTS = (OURS, *SYSTEMS)
FURTHER = {"TransImpLR": "transimp_lr", "gimVI": "gimvi", "Tangram": "tangram"}  # in Fig. 3
PEERS = ("kNN", *SYSTEMS)
CONTROL = ", reference permuted"
LARGER_REFERENCES = {"OSMFISH": "OSMFISH/reference_mop500"}  # where the reference has no gene but those of the section
N_UNMEASURED = 2000


def methods(seed: int) -> dict[str, Predict]:
    """Make both recipes, kNN, and the controls.

    In a control the reference values of the genes to predict are permuted among the cells, each gene by itself: what is
    still found does not come from what the reference knows of them.
    """
    made = {name: stimpute(name, seed=seed) for name in RECIPES}
    made["kNN"] = baselines()["kNN"]
    return made | {f"{name}{CONTROL}": _permuted_first(made[name], seed) for name in RECIPES}


def _permuted_first(predict: Predict, seed: int) -> Predict:
    return lambda fold: predict(replace(fold, reference=permute(fold.reference, fold.targets, seed)))


def permute(reference: ad.AnnData, genes: Sequence[str], seed: int) -> ad.AnnData:
    """Exchange the values of some genes among the cells, each gene by itself."""
    rng = np.random.default_rng(seed)
    permuted = reference.copy()
    matrix = sparse.csc_matrix(permuted.X)
    for gene in permuted.var_names.get_indexer(genes):
        part = slice(matrix.indptr[gene], matrix.indptr[gene + 1])
        rows = rng.choice(matrix.shape[0], part.stop - part.start, replace=False)
        matrix.indices[part] = np.sort(rows)
        matrix.data[part] = rng.permutation(matrix.data[part])
    permuted.X = matrix.tocsr()
    return permuted


def folds(pair: Pair, seed: int) -> list[GeneFold]:
    """Split the shared genes into five folds; the reference has the protein vectors of the pair."""
    return tl.gene_folds(pair.spatial, with_proteins(pair.reference, pair), seed=seed, spatial_setup=pair.setup)


def _predict(pair: Pair, folds: list[GeneFold], seed: int, part: str) -> list[dict[str, np.ndarray]]:
    """Predict folds by the methods of a part: one dictionary per fold. A system has a process of its own."""
    if system := (SYSTEMS | FURTHER).get(part):
        answers = _measure.kept(system, pair.name, seed, folds) or _measure.answers(system, folds, seed)
        return [{part: np.nan_to_num(answer.prediction["expression"])} for answer in answers]
    return [{name: predict(fold).expression for name, predict in methods(seed).items()} for fold in folds]


def held_out(pair: Pair, seed: int, part: str = OURS) -> ad.AnnData:
    """Predict every measured gene with its fold held out, by the methods of a part.

    Returns
    -------
    The measurement, log-normalized, and one layer per method, cells × genes.
    """
    parts = []
    made = folds(pair, seed)
    for fold, layers in zip(made, _predict(pair, made, seed, part), strict=True):
        parts.append(ad.AnnData(fold.truth, layers=layers).copy())
        parts[-1].var_names = fold.targets
        parts[-1].obs_names = fold.spatial.obs_names
    predicted = ad.concat(parts, axis=1)
    predicted.obs = pair.spatial.obs.copy()
    if "spatial" in pair.spatial.obsm:  # which a pair of the paper may lack
        predicted.obsm["spatial"] = np.asarray(pair.spatial.obsm["spatial"])[:, :2]
    return predicted[:, sorted(predicted.var_names)].copy()


def by_method(predicted: ad.AnnData) -> dict[str, np.ndarray]:
    """Return the predictions of every method; AnnData 0.13 lists the measurement among them, with the name None."""
    return {name: values for name, values in predicted.layers.items() if name is not None}


def unmeasured_fold(pair: Pair, always: Sequence[str] = ()) -> GeneFold | None:
    """Return all measured genes as input, and genes of the reference that were not measured as targets; None if none.

    Parameters
    ----------
    always
        Genes to take, if they are there, beside the 2000 that vary most in the reference.
    """
    reference = pair.reference
    if pair.name in LARGER_REFERENCES:
        reference = read_reference(LARGER_REFERENCES[pair.name])
    counted = np.asarray((reference.X > 0).sum(0)).ravel()
    candidates = reference.var_names[counted >= 3].difference(pair.spatial.var_names)
    if candidates.empty:
        return None
    table = _variability(reference)[candidates].sort_values(ascending=False)
    chosen = set(table.index[:N_UNMEASURED]) | set(candidates.intersection(always))
    setups = pair.setup, {"expression": "counts"}
    inputs = pair.spatial[:, pair.spatial.var_names.isin(reference.var_names[counted > 0])].copy()
    no_truth = np.zeros((inputs.n_obs, 0))
    return GeneFold(0, inputs, with_proteins(reference, pair), sorted(chosen), no_truth, *setups)


def _variability(reference: ad.AnnData):
    """Compute the normalized dispersion of every gene, as scanpy does."""
    normalized = ad.AnnData(reference.X.copy(), var=reference.var[[]])
    sc.pp.normalize_total(normalized)
    sc.pp.log1p(normalized)
    return sc.pp.highly_variable_genes(normalized, inplace=False).set_axis(reference.var_names)["dispersions_norm"]


def unmeasured(pair: Pair, seed: int, always: Sequence[str] = (), part: str = OURS) -> ad.AnnData | None:
    """Predict genes that were not measured; one layer per method, cells × genes. None if there are none."""
    fold = unmeasured_fold(pair, always)
    if fold is None:
        return None
    [layers] = _predict(pair, [fold], seed, part)
    predicted = ad.AnnData(next(iter(layers.values())), layers=layers, obs=pair.spatial.obs)
    predicted.var_names = fold.targets
    return predicted

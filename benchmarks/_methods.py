"""Define the methods of the accuracy table: functions from a fold of genes to predictions."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np

from stimpute import pp, tl
from stimpute.recipes import Recipe, get_recipe
from stimpute.tl import GeneFold

INTERVAL = 0.9


@dataclass(frozen=True)
class Prediction:
    """Predicted expression, cells × held-out genes, and what else a method predicts."""

    expression: np.ndarray
    lower: np.ndarray | None = None
    upper: np.ndarray | None = None
    reliability: np.ndarray | None = None
    matched: np.ndarray | None = None


Predict = Callable[[GeneFold], Prediction]
Prepare = Callable[[ad.AnnData], ad.AnnData]


def stimpute(
    recipe: str | Recipe = "crossfit",
    *,
    full: bool = False,
    prepare: Prepare | None = None,
    seed: int = 0,
    **kwargs: Any,
) -> Predict:
    """Make the method of a recipe.

    `prepare` changes the reference of a fold first; `full` adds intervals and matched variance, if the recipe has them.
    """
    can = (recipe if isinstance(recipe, Recipe) else get_recipe(recipe)).capabilities

    def predict(fold: GeneFold) -> Prediction:
        if prepare is not None:
            fold = replace(fold, reference=prepare(fold.reference))
        train = {"enable_progress_bar": False, "seed": seed}
        model = tl.fit_fold(fold, train_kwargs=train, recipe=recipe, **kwargs)
        interval = INTERVAL if full and can.intervals else None
        result = model.impute(genes=fold.targets, interval=interval, progress=False)
        matched = None
        if full and can.variance_matching:
            matched = model.impute(genes=fold.targets, variance="matched", progress=False).X
        reliability = result.var["reliability"].to_numpy()
        return Prediction(result.X, result.layers.get("lower"), result.layers.get("upper"), reliability, matched)

    return predict


def baselines() -> dict[str, Predict]:
    """Make the constant, the calibrated reference mean and kNN."""
    return {name: _as_prediction(method) for name, method in tl.BASELINES.items()}


def _as_prediction(method: Callable[[GeneFold], np.ndarray]) -> Predict:
    return lambda fold: Prediction(np.asarray(method(fold), dtype=np.float32))


def ablations(seed: int) -> dict[str, Predict]:
    """Leave out or permute each part of `crossfit`."""
    variants: dict[str, dict[str, Any]] = {
        "attention only (no gene graph)": {"relations": []},
        "graph only (no attention)": {"use_attention": False},
        "co-expression graph": {"relations": ["coexpression"]},
        "ESM-2 graph": {"relations": ["protein"]},
        "both, ESM-2 PERMUTED": {"prepare": permuted_proteins(seed)},
        "PERMUTED ESM-2 alone": {"relations": ["protein"], "prepare": permuted_proteins(seed)},
        "co-expression as plain relation": {"relations": ["profiles"], "prepare": profiles_as_relation(None)},
        "PERMUTED co-expression": {"relations": ["profiles"], "prepare": profiles_as_relation(seed)},
        "no spatial neighbors": {"use_space": False},
        "trained in-sample (no masking)": {"mask_genes": False},
    }
    return {f"crossfit, {name}": stimpute(seed=seed, **options) for name, options in variants.items()}


def permuted_proteins(seed: int) -> Prepare:
    """Give every gene that has a protein vector the vector of another gene."""

    def prepare(reference: ad.AnnData) -> ad.AnnData:
        reference = reference.copy()
        with_protein = np.flatnonzero(reference.var["has_protein"])
        vectors = np.array(reference.varm["protein"])
        vectors[with_protein] = vectors[np.random.default_rng(seed).permutation(with_protein)]
        reference.varm["protein"] = vectors
        return reference

    return prepare


def profiles_as_relation(seed: int | None) -> Prepare:
    """Store reference profiles as gene vectors, whose cosine is co-expression; permuted among genes with a seed."""

    def prepare(reference: ad.AnnData) -> ad.AnnData:
        reference = reference.copy()
        total = np.maximum(np.asarray(reference.X.sum(1)).ravel(), 1)
        profiles = np.log1p(reference.X.toarray() * (np.median(total) / total)[:, None]).T.astype(np.float32)
        profiles -= profiles.mean(1, keepdims=True)
        profiles /= np.maximum(np.linalg.norm(profiles, axis=1, keepdims=True), 1e-6)
        if seed is not None:
            profiles = profiles[np.random.default_rng(seed).permutation(len(profiles))]
        vectors = dict(zip(reference.var_names, profiles, strict=True))
        pp.add_protein_embeddings(reference, vectors, key_added="profiles")
        return reference

    return prepare


def peers() -> tuple[dict[str, Predict], dict[str, str]]:
    """Find the peers that are installed, and why the others are not run."""
    from peers._environments import FOLDER, HERE
    from peers._measure import PEERS

    sys.path.append(str(FOLDER))
    found, missing = {}, {}
    for name in PEERS:
        try:
            found |= adapter(HERE / f"{name}.py")
        except ImportError as error:
            missing[name] = str(error)
    return found, missing


def adapter(path: Path) -> dict[str, Predict]:
    """Read a method from a file with a `NAME` and a `predict(fold)`, such as those in `peers/`."""
    module = runpy.run_path(str(path))
    return {module["NAME"]: _as_prediction(module["predict"])}

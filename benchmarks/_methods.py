"""The methods of the accuracy table, each a function from a fold of genes to predictions."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np

from stimpute.tl._cross_validate import BASELINE_METHODS
from stimpute.tl._folds import GeneFold, fold_model, forget

INTERVAL = 0.9


@dataclass(frozen=True)
class Prediction:
    """Expression, cells × held-out genes, and what else a method says of it."""

    expression: np.ndarray
    lower: np.ndarray | None = None
    upper: np.ndarray | None = None
    reliability: np.ndarray | None = None
    matched: np.ndarray | None = None


Predict = Callable[[GeneFold], Prediction]


def stimpute(recipe: str = "crossfit", *, full: bool = False, prepare=None, seed: int = 0, **kwargs: Any) -> Predict:
    """The model; `prepare` changes the reference of a fold first, `full` asks for everything that it can say."""

    def predict(fold: GeneFold) -> Prediction:
        if prepare is not None:
            fold = GeneFold(fold.spatial, prepare(fold.reference), fold.targets, fold.truth, fold.setup)
        model = fold_model(fold, recipe=recipe, **kwargs)
        model.train(enable_progress_bar=False, seed=seed)
        if not full:
            result = model.impute(genes=fold.targets, progress=False)
            forget(model)
            return Prediction(result.X, reliability=result.var["reliability"].to_numpy())
        result = model.impute(genes=fold.targets, interval=INTERVAL, progress=False)
        matched = model.impute(genes=fold.targets, spread="matched", progress=False).X
        forget(model)
        reliability = result.var["reliability"].to_numpy()
        return Prediction(result.X, result.layers["lower"], result.layers["upper"], reliability, matched)

    return predict


def baselines() -> dict[str, Predict]:
    """Constant, calibrated reference mean and kNN."""
    return {name: (lambda fold, m=method: Prediction(m(fold))) for name, method in BASELINE_METHODS.items()}


def ablations(seed: int) -> dict[str, Predict]:
    """What each part of `crossfit` is worth."""
    variants: dict[str, dict[str, Any]] = {
        "attention only (no gene graph)": {"relations": []},
        "graph only (no attention)": {"attention": False},
        "co-expression graph": {"relations": ["coexpression"]},
        "ESM-2 graph": {"relations": ["protein"]},
        "both, ESM-2 PERMUTED": {"prepare": permuted_proteins(seed)},
        "PERMUTED ESM-2 alone": {"relations": ["protein"], "prepare": permuted_proteins(seed)},
        "co-expression as plain relation": {"relations": ["profiles"], "prepare": profiles_as_relation(None)},
        "PERMUTED co-expression": {"relations": ["profiles"], "prepare": profiles_as_relation(seed)},
        "no cells around": {"space": False},
        "trained in-sample (no hiding)": {"hide": False},
    }
    return {f"crossfit, {name}": stimpute(seed=seed, **options) for name, options in variants.items()}


def permuted_proteins(seed: int) -> Callable[[ad.AnnData], ad.AnnData]:
    """Give every gene that has a protein the protein of another."""

    def prepare(reference: ad.AnnData) -> ad.AnnData:
        reference = reference.copy()
        known = np.flatnonzero(reference.var["has_protein"])
        vectors = np.array(reference.varm["protein"])
        vectors[known] = vectors[np.random.default_rng(seed).permutation(known)]
        reference.varm["protein"] = vectors
        return reference

    return prepare


def profiles_as_relation(seed: int | None) -> Callable[[ad.AnnData], ad.AnnData]:
    """Register reference profiles as gene vectors, so that their cosine is co-expression; permuted with a seed."""

    def prepare(reference: ad.AnnData) -> ad.AnnData:
        reference = reference.copy()
        total = np.maximum(np.asarray(reference.X.sum(1)).ravel(), 1)
        profiles = np.log1p(reference.X.toarray() * (np.median(total) / total)[:, None]).T.astype(np.float32)
        profiles -= profiles.mean(1, keepdims=True)
        profiles /= np.maximum(np.linalg.norm(profiles, axis=1, keepdims=True), 1e-6)
        if seed is not None:
            profiles = profiles[np.random.default_rng(seed).permutation(len(profiles))]
        reference.varm["profiles"] = profiles
        reference.var["has_profiles"] = True
        relations = reference.uns.setdefault("stimpute", {}).setdefault("relations", {})
        relations["profiles"] = {"kind": "vectors", "varm": "profiles", "known": "has_profiles"}
        return reference

    return prepare


def peers() -> tuple[dict[str, Predict], dict[str, str]]:
    """The peers that are installed, and why the others are not run."""
    found, missing = {}, {}
    for path in sorted((Path(__file__).parent / "peers").glob("[a-z]*.py")):
        try:
            found |= adapter(path)
        except ImportError as error:
            missing[path.stem] = str(error)
    return found, missing


def adapter(path: Path) -> dict[str, Predict]:
    """A method from a file with a `NAME` and a `predict(fold)`, as those in `peers/` are."""
    module = runpy.run_path(str(path))
    return {module["NAME"]: lambda fold: Prediction(np.asarray(module["predict"](fold), dtype=np.float32))}

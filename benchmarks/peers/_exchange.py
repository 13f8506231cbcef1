"""Give folds of genes to another process through files, and take its predictions back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np


@dataclass(frozen=True)
class VisibleFold:
    """What a system may see of a fold; the truth is not there.

    Attributes
    ----------
    number
        Number of the fold.
    spatial
        Counts of the training genes, with `obsm["spatial"]`.
    reference
        Counts of all genes of the reference.
    targets
        Names of the genes to predict.
    spatial_setup, reference_setup
        Arguments of `setup_anndata`.
    """

    number: int
    spatial: ad.AnnData
    reference: ad.AnnData
    targets: list[str]
    spatial_setup: dict[str, Any]
    reference_setup: dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """What a system returned for all folds, and what that cost.

    Attributes
    ----------
    predictions
        Per fold `expression` of shape (n_cells, n_targets), and `lower` and `upper` of systems with intervals.
    cost
        `name` of the system, `cpu_seconds` of its predictions, with those of its own processes, `peak_gib` of memory,
        `device`, and `versions` of what it used.
    """

    predictions: list[dict[str, np.ndarray]]
    cost: dict[str, Any]


def write_folds(folder: Path, folds: Sequence[Any]) -> None:
    """Write what may be seen of each fold; the reference, which is the same for all, once."""
    folds[0].reference.write_h5ad(folder / "reference.h5ad")
    for fold in folds:
        fold.spatial.write_h5ad(folder / f"spatial-{fold.number}.h5ad")
        about = {name: getattr(fold, name) for name in ("number", "targets", "spatial_setup", "reference_setup")}
        (folder / f"fold-{fold.number}.json").write_text(json.dumps(about))


def read_folds(folder: Path) -> list[VisibleFold]:
    """Read the folds; each has its own copy of the reference."""
    folds = []
    for path in sorted(folder.glob("fold-*.json")):
        about = json.loads(path.read_text())
        spatial = ad.read_h5ad(folder / f"spatial-{about['number']}.h5ad")
        folds.append(VisibleFold(spatial=spatial, reference=ad.read_h5ad(folder / "reference.h5ad"), **about))
    return folds


def write_answer(folder: Path, answer: Answer) -> None:
    """Write predictions as arrays and the cost as JSON."""
    for number, prediction in enumerate(answer.predictions):
        np.savez(folder / f"prediction-{number}.npz", **prediction)
    (folder / "cost.json").write_text(json.dumps(asdict(answer)["cost"]))


def read_answer(folder: Path) -> Answer:
    """Read what :func:`write_answer` wrote."""
    paths = sorted(folder.glob("prediction-*.npz"))
    return Answer([dict(np.load(path)) for path in paths], json.loads((folder / "cost.json").read_text()))

"""Give a fold of genes to another process through files, and take its prediction back."""

from __future__ import annotations

import json
from dataclasses import dataclass
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
    """What a system returned for a fold, and what that cost.

    Attributes
    ----------
    prediction
        `expression` of shape (n_cells, n_targets), and `lower` and `upper` of systems with intervals.
    cost
        `name` of the system, `cpu_seconds` of its prediction, with those of its own processes, `peak_gib` of memory,
        `device`, and `versions` of what it used.
    """

    prediction: dict[str, np.ndarray]
    cost: dict[str, Any]

    def write(self, path: Path) -> None:
        """Write one file, which is there only when it is whole."""
        partial = path.with_suffix(".partial.npz")
        np.savez_compressed(partial, cost=json.dumps(self.cost), **self.prediction)
        partial.replace(path)

    @classmethod
    def read(cls, path: Path) -> Answer:
        """Read it."""
        with np.load(path) as arrays:
            content = dict(arrays)
        cost = json.loads(str(content.pop("cost")))
        return cls(content, cost)


def write_fold(folder: Path, fold: Any) -> None:
    """Write what may be seen of a fold."""
    folder.mkdir(parents=True)
    fold.reference.write_h5ad(folder / "reference.h5ad")
    fold.spatial.write_h5ad(folder / "spatial.h5ad")
    about = {name: getattr(fold, name) for name in ("number", "targets", "spatial_setup", "reference_setup")}
    (folder / "fold.json").write_text(json.dumps(about))


def read_fold(folder: Path) -> VisibleFold:
    """Read it."""
    about = json.loads((folder / "fold.json").read_text())
    spatial, reference = (ad.read_h5ad(folder / f"{name}.h5ad") for name in ("spatial", "reference"))
    return VisibleFold(spatial=spatial, reference=reference, **about)

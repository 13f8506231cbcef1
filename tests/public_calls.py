"""One valid call of every public function and method, on data small enough for a test."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from small import QUIET, bare, fit, set_up, small_pair

from stimpute import StImputeModel, share, tl

MODULES = ("", "pp", "tl", "tl.metrics", "pl", "datasets", "share", "report")
READ_NO_DATA = (  # they take files, names and numbers
    *("pp.embed_proteins", "pp.fetch_proteins", "pp.read_fasta", "datasets.read", "datasets.synthetic_tissue"),
    *("datasets.merfish_hypothalamus", "datasets.osmfish_cortex", "datasets.starmap_visual_cortex"),
    *("datasets.paper_pair", "datasets.paper_pairs"),
)
SLOW = ("explore", "tl.clustering_scores", "report.write", "pl.joint_umap")
FOLDS = {"n_folds": 2, "folds": [0], "progress": False, "train_kwargs": QUIET | {"max_epochs": 1}, "n_steps": 5}


@dataclass
class World:
    """Data and results that the calls take."""

    folder: Path
    spatial: AnnData
    reference: AnnData
    model: StImputeModel
    imputed: AnnData
    validation: tl.CrossValidation

    @classmethod
    def make(cls, folder: Path) -> World:
        """Make everything once."""
        spatial, reference = set_up(*small_pair(n_cells=60, n_reference=90, n_measured=12, n_unmeasured=4))
        model = fit(spatial, reference, "crossfit", {"max_epochs": 1}, n_steps=5, n_metacells=20)
        imputed = model.impute(genes=list(reference.var_names), interval=0.9, progress=False)
        validation = tl.cross_validate(bare(spatial), bare(reference), interval=0.8, n_metacells=20, **FOLDS)
        model.save(folder / "model")
        share.save(model, folder / "shared")
        spatial.obs["explained"] = np.linspace(-0.1, 1, spatial.n_obs)
        return cls(folder, spatial, reference, model, imputed, validation)

    @property
    def data(self) -> dict[str, AnnData]:
        """Everything that no call may change."""
        return {
            "spatial": self.spatial,
            "reference": self.reference,
            "imputed": self.imputed,
            "predicted": self.validation.predicted,
        }

    @property
    def fold(self) -> tl.GeneFold:
        """A fold of the genes."""
        return tl.gene_folds(self.spatial, self.reference, n_folds=2)[0]

    def path(self, name: str) -> Path:
        """Return the path of a file or folder that does not exist."""
        return self.folder / f"{len(list(self.folder.iterdir()))} {name}"

    def both(self) -> dict[str, AnnData]:
        """Return measured and imputed data as arguments."""
        return {"spatial": self.spatial, "imputed": self.imputed}


def metric(world: World) -> dict[str, Any]:
    """Compare two matrices."""
    values = world.validation.predicted
    return {"truth": values.X, "predicted": values.layers["stimpute"]}


def network(world: World) -> pd.DataFrame:
    """Join two genes of the reference by an edge."""
    return pd.DataFrame([world.reference.var_names[:2]])


def several(world: World) -> dict[str, AnnData]:
    """Return two references by name."""
    return {"first": world.reference, "second": world.reference[:, 2:].copy()}


# Arguments of each function, from the world. Data that the call is meant to change are copies.
FUNCTIONS: dict[str, Callable[[World], dict[str, Any]]] = {
    "explore": lambda w: {"model": w.model, "progress": False},
    "pp.add_gene_network": lambda w: {"reference": w.reference.copy(), "edges": network(w), "name": "pairs"},
    "pp.add_protein_embeddings": lambda w: {
        "reference": w.reference.copy(),
        "embeddings": dict.fromkeys(w.reference.var_names[:5], np.ones(3)),
    },
    "pp.embed_proteins": lambda w: {"sequences": {"A": "MK"}, "model": "no such model"},
    "pp.fetch_proteins": lambda w: {"genes": ["Rorb"], "organism": "mouse", "url": "http://localhost:1"},
    "pp.join_references": lambda w: {"references": several(w)},
    "pp.marker_reference": lambda w: {"markers": pd.DataFrame({"cell_type": ["a", "b"], "gene": ["A", "B"]})},
    "pp.measured_expression": lambda w: {"spatial": w.spatial},
    "pp.read_fasta": lambda w: {"path": "no such file"},
    "tl.clustering_scores": lambda w: {**w.both(), "labels": "cell_type", "n_pcs": 5, "resolutions": [1.0]},
    "tl.coexpression_modules": lambda w: {"imputed": w.imputed, "n_neighbors": 3},
    "tl.cross_validate": lambda w: {"spatial": w.spatial, "reference": w.reference, "n_metacells": 20, **FOLDS},
    "tl.fit_fold": lambda w: {"fold": w.fold, "train_kwargs": FOLDS["train_kwargs"], "n_metacells": 20, "n_steps": 5},
    "tl.gene_folds": lambda w: {"spatial": w.spatial, "reference": w.reference, "n_folds": 2},
    "tl.impute": lambda w: {"spatial": w.spatial, "reference": w.reference, "method": "knn"},
    "tl.join_measured": lambda w: w.both(),
    "tl.morans_i": lambda w: w.both(),
    "tl.permute_targets": lambda w: {"fold": w.fold},
    "tl.reference_ablation": lambda w: {"spatial": w.spatial, "references": several(w), "n_metacells": 20, **FOLDS},
    "tl.relation_ablation": lambda w: {
        **{"spatial": w.spatial, "reference": w.reference, "n_permutations": 1, "n_metacells": 20},
        **FOLDS,
    },
    "tl.score": lambda w: {"truth": w.validation.predicted, "predicted": w.imputed},
    "tl.summarize": lambda w: {"scores": w.validation.genes},
    "tl.to_spatialdata": lambda w: w.both(),
    **{f"tl.metrics.{name}": metric for name in tl.metrics.__all__},
    "pl.accuracy": lambda w: {"scores": w.validation},
    "pl.explained": lambda w: {"adata": w.spatial},
    "pl.gene_neighbors": lambda w: {"reference": w.model, "gene": w.reference.var_names[0]},
    "pl.history": lambda w: {"model": w.model},
    "pl.imputed": lambda w: {**w.both(), "genes": [w.spatial.var_names[0]]},
    "pl.intervals": lambda w: {"result": w.validation},
    "pl.joint_umap": lambda w: {
        "latent_spatial": w.model.get_latent_representation(),
        "latent_reference": w.model.get_latent_representation(dataset="reference"),
    },
    "pl.reliability": lambda w: {"imputed": w.imputed},
    "datasets.merfish_hypothalamus": lambda w: {"data_dir": "no such folder"},
    "datasets.osmfish_cortex": lambda w: {"data_dir": "no such folder"},
    "datasets.paper_pair": lambda w: {"name": "osmFISH_Zeisel", "data_dir": "no such folder"},
    "datasets.paper_pairs": lambda w: {},
    "datasets.read": lambda w: {"path": "no such file.h5ad"},
    "datasets.starmap_visual_cortex": lambda w: {"data_dir": "no such folder"},
    "datasets.synthetic_tissue": lambda w: {"n_cells": 20, "n_reference": 20, "n_measured": 5, "n_missing_proteins": 1},
    "share.contents": lambda w: {"model": w.model},
    "share.load": lambda w: {"path": w.folder / "shared"},
    "share.save": lambda w: {"model": w.model, "path": w.path("shared"), "save_reference": True},
    "share.to_hub": lambda w: {"model": w.model, "path": w.path("hub"), "accuracy": w.validation},
    "report.write": lambda w: {"path": w.path("page.html"), "model": w.model, "validation": w.validation, "n_maps": 1},
}
OF_MODEL: dict[str, Callable[[World], dict[str, Any]]] = {
    "setup_anndata": lambda w: {"adata": w.spatial},
    "setup_mudata": lambda w: {"mdata": MuData({"spatial": bare(w.spatial), "rna": bare(w.reference)})},
    "from_mudata": lambda w: {"mdata": MuData({"spatial": w.spatial, "rna": w.reference})},
    "release": lambda w: {},
    "train": lambda w: QUIET | {"max_epochs": 1},
    "impute": lambda w: {"genes": [w.reference.var_names[0]], "progress": False},
    "check_request": lambda w: {},
    "estimate": lambda w: {},
    "gene_reliability": lambda w: {},
    "get_latent_representation": lambda w: {"adata": w.reference},
    "get_neighbors": lambda w: {"n_neighbors": 3},
    "get_explained": lambda w: {},
    "transfer_labels": lambda w: {"key": "cell_type", "n_neighbors": 3},
    "save": lambda w: {"dir_path": w.path("model"), "save_anndata": True, "save_reference": True},
    "load": lambda w: {"dir_path": w.folder / "model", "adata": w.spatial, "reference": w.reference},
    "to_device": lambda w: {"device": "cpu"},
}
CALLS = FUNCTIONS | {f"StImputeModel.{name}": arguments for name, arguments in OF_MODEL.items()}
CALLS["StImputeModel"] = lambda w: {"spatial": w.spatial, "reference": w.reference}


def function_of(name: str) -> Callable:
    """Return the function of a name in `CALLS`; methods are not bound."""
    if name.startswith("StImputeModel."):
        return getattr(StImputeModel, name.partition(".")[2])
    module, _, function = f"stimpute.{name}".rpartition(".")
    return getattr(importlib.import_module(module), function)


def call(name: str, world: World, arguments: dict[str, Any]) -> Any:
    """Make a call of `CALLS` with these arguments."""
    function = function_of(name)
    if "self" in inspect.signature(function).parameters:
        return function(world.model, **arguments)
    return function(**arguments)


def public_functions() -> set[str]:
    """List all public functions, by the names of `CALLS`."""
    names = set()
    for module in MODULES:
        package = importlib.import_module(f"stimpute.{module}".rstrip("."))
        for name in package.__all__:
            if inspect.isfunction(getattr(package, name)):
                names.add(f"{module}.{name}".lstrip("."))
    return names

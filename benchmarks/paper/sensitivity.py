"""Change one hyperparameter at a time (Fig. 5b, S15)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from _methods import Prepare, stimpute
from _pairs import Pair
from benchmarks.paper._held_out import cell_types, make_folds, predict, summarize
from benchmarks.paper._sensitivity_page import show
from benchmarks.paper._study import Study

from stimpute import pp

ORDER = 60
PAPER: dict[str, list[Any]] = {
    "autoencoder_epochs": [10, 60, 100],
    "graph_epochs": [5, 20, 50],
    "retraining_epochs": [1, 5, 10, 30],
    "lr": [0.001, 0.003, 0.03],
    "n_latent": [25, 50, 200],
    "n_layers": [1, 3],
    "n_hidden": [25, 100],
    "n_neighbors": [10, 20, 100],
    "n_rounds": [1, 3],
    "alpha": [0.0, 0.3, 0.5, 0.9, 1.0],
    "similarity_weight": [0.5, 1.0, 4.0],
    "degree": [3, 5, 10],
}
CROSSFIT: dict[str, list[Any]] = {
    "n_steps": [100, 600],
    "lr": [0.003, 0.03],
    "autoencoder_lr": [0.001, 0.01],
    "n_latent": [16, 64],
    "n_hidden": [8, 32],
    "n_metacells": [100, 200, 800],
    "n_spatial_neighbors": [5, 20],
    "n_folds": [3, 10],
    "batch_size": [64, 256],
    "error_weight": [0.0, 1.0],
    "masked_share": [(0.1, 0.3), (0.3, 0.7)],
    "ridge": [0.3, 3.0],
}
PARTS = tuple([f"paper; {name}" for name in PAPER] + [f"crossfit; {name}" for name in CROSSFIT])


def nearest_proteins(degree: int, genes: list[str]) -> Prepare:
    """Keep each shared gene's most similar proteins as edges of equal weight, as a relation `degree`."""

    def prepare(reference):
        reference = reference.copy()
        known = [gene for gene in genes if reference.var.loc[gene, "has_protein"]]
        vectors = np.asarray(reference[:, known].varm["protein"], dtype=float)
        vectors = vectors - vectors.mean(0)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        similarity = vectors @ vectors.T
        np.fill_diagonal(similarity, -np.inf)
        nearest = np.argsort(-similarity, axis=1)[:, :degree]
        edges = [(known[i], known[j]) for i, row in enumerate(nearest) for j in row]
        pp.add_gene_network(reference, pd.DataFrame(edges, columns=["gene", "other"]), "degree")
        return reference

    return prepare


def measure(pair: Pair, seed: int, part: str) -> pd.DataFrame:
    """Score the values of one hyperparameter, on the folds of all studies."""
    recipe, option = part.split("; ")
    values = (PAPER if recipe == "paper" else CROSSFIT)[option]
    folds = make_folds(pair, seed)
    tables = []
    for value in values:
        options: dict[str, Any] = {option: value}
        if option == "degree":
            options = {"prepare": nearest_proteins(value, list(pair.spatial.var_names)), "relations": ["degree"]}
        method = stimpute(recipe, seed=seed, **options)
        table = summarize(predict(folds, method), recipe, cell_types(pair))
        tables.append(table.assign(option=option, value=str(value)))
    return pd.concat(tables, ignore_index=True)


STUDY = Study(
    title="Sensitivity to hyperparameters",
    paper="Fig. 5b, S15",
    question="Does the result depend on the choice of hyperparameters?",
    measure=measure,
    show=show,
    pairs=("OSMFISH", "SYNTHETIC"),
    seeds=(0,),
    parts=PARTS,
)

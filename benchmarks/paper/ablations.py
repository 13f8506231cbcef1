"""Leave out or permute each part of both recipes (Fig. 5a, S13, S14)."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
from _methods import Prepare, ablations, permuted_proteins, stimpute
from _pairs import Pair
from benchmarks.paper._ablations_page import CONTROLS, ONLY_MASKING, show
from benchmarks.paper._calibrate import calibrated
from benchmarks.paper._compare import SIMULATED
from benchmarks.paper._held_out import cell_types, make_folds, predict, score_genes, summarize
from benchmarks.paper._study import Study
from benchmarks.paper._variants import CoEmbedding, WithoutGraph, WithoutMasks

from stimpute import pp
from stimpute.tl._permute_relation import PERMUTED_COEXPRESSION, permute_relation

ORDER = 50
PAPER = {
    "paper, no GNN": {"recipe": WithoutGraph(alpha=0.0)},
    "paper, no ESM-2 (co-expression)": {"relations": ["coexpression"]},
    "paper, no L_sim": {"similarity_weight": 0.0},
    "paper, no L_res": {"residual_weight": 0.0},
    "paper, co-embedding": {"recipe": CoEmbedding(mmd_weight=0.0)},
    "paper, co-embedding with MMD": {"recipe": CoEmbedding(mmd_weight=1.0)},
    "paper, PERMUTED vectors": {"prepare": "permuted vectors"},
    "paper, centered vectors": {"prepare": "centered vectors"},
    "paper, centered and PERMUTED vectors": {"prepare": "centered and permuted vectors"},
    "paper, PERMUTED co-expression": {"prepare": "permuted graph", "relations": [PERMUTED_COEXPRESSION]},
    "paper, RANDOM weights": {"prepare": "random", "relations": ["random"]},
    "paper, EQUAL weights": {"prepare": "equal", "relations": ["equal"]},
}
CROSSFIT = (*ablations(0), ONLY_MASKING)
SEVERAL_SEEDS = (*CONTROLS, "paper, no L_sim", "paper, no L_res")  # the main claim, and the losses


def center(reference: ad.AnnData) -> ad.AnnData:
    """Subtract the mean vector from the protein vectors, whose cosines are nearly equal without."""
    reference = reference.copy()
    vectors = np.array(reference.varm["protein"])
    has_protein = reference.var["has_protein"].to_numpy()
    vectors[has_protein] -= vectors[has_protein].mean(0)
    reference.varm["protein"] = vectors
    return reference


def preparation(name: str, shared: list[str], seed: int) -> Prepare:
    """Return the change of the reference that a control needs."""
    if name == "permuted vectors":
        return permuted_proteins(seed)
    if name == "centered vectors":
        return center
    if name == "centered and permuted vectors":
        return lambda reference: permuted_proteins(seed)(center(reference))

    def prepare(reference):
        random = np.random.default_rng(seed)
        if name == "permuted graph":
            position = np.flatnonzero(reference.var_names.isin(shared))
            return permute_relation(reference, "coexpression", position, random, {}, centered=False)
        reference = reference.copy()
        n_genes = reference.n_vars
        vectors = random.exponential(size=(n_genes, 8)) if name == "random" else np.ones((n_genes, 8))
        named = dict(zip(reference.var_names, vectors.astype(np.float32), strict=True))
        pp.add_protein_embeddings(reference, named, key_added=name)
        return reference

    return prepare


def measure(pair: Pair, seed: int, part: str) -> pd.DataFrame:
    """Score one variant on the folds of all studies."""
    if part == ONLY_MASKING:
        method = stimpute(WithoutMasks(), seed=seed)
    elif part in CROSSFIT:
        method = ablations(seed)[part]
    else:
        options = {"recipe": "paper", **PAPER[part]}
        if "prepare" in options:
            options["prepare"] = preparation(options["prepare"], list(pair.spatial.var_names), seed)
        method = stimpute(seed=seed, **options)
    held = predict(make_folds(pair, seed), method)
    of_calibrated = score_genes(calibrated(held))[["css", "mse"]].add_suffix("_calibrated")
    return summarize(held, part, cell_types(pair)).merge(of_calibrated.reset_index(), on="gene", how="left")


STUDY = Study(
    title="The importance of each module",
    paper="Fig. 5a, S13, S14, Table S4",
    question="What is each part worth, and is its content worth more than the same numbers at the wrong genes?",
    measure=measure,
    show=show,
    all_cells=("OSMFISH_VISP",),  # the cells of the paper
    parts=(*PAPER, *CROSSFIT),
    one_seed=(SIMULATED, *(part for part in (*PAPER, *CROSSFIT) if part not in SEVERAL_SEEDS)),
)

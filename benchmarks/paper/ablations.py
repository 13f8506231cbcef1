"""Leave out or permute each part of both recipes (Fig. 5a, S13, S14)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from _methods import Prepare, ablations, permuted_proteins, stimpute
from _pairs import Pair
from benchmarks.paper import _cache, accuracy
from benchmarks.paper._compare import add_verdict, paired, with_deviation
from benchmarks.paper._held_out import cell_types, make_folds, predict, summarize
from benchmarks.paper._page import Page
from benchmarks.paper._study import Study
from benchmarks.paper._variants import CoEmbedding, WithoutGraph, WithoutMasks

from stimpute import pp
from stimpute.tl._relation_ablation import PERMUTED_COEXPRESSION, permute_relation

ORDER = 50
PAPER = {
    "paper, no GNN": {"recipe": WithoutGraph(alpha=0.0)},
    "paper, no ESM-2 (co-expression)": {"relations": ["coexpression"]},
    "paper, no L_sim": {"similarity_weight": 0.0},
    "paper, no L_res": {"residual_weight": 0.0},
    "paper, co-embedding": {"recipe": CoEmbedding(mmd_weight=0.0)},
    "paper, co-embedding with MMD": {"recipe": CoEmbedding(mmd_weight=1.0)},
    "paper, PERMUTED vectors": {"prepare": "permuted vectors"},
    "paper, PERMUTED co-expression": {"prepare": "permuted graph", "relations": [PERMUTED_COEXPRESSION]},
    "paper, RANDOM weights": {"prepare": "random", "relations": ["random"]},
    "paper, EQUAL weights": {"prepare": "equal", "relations": ["equal"]},
}
ONLY_MASKING = "crossfit, only masking undone"
CROSSFIT = (*ablations(0), ONLY_MASKING)


def preparation(name: str, shared: list[str], seed: int) -> Prepare:
    """Return the change of the reference that a control needs."""
    if name == "permuted vectors":
        return permuted_proteins(seed)

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
    return summarize(predict(make_folds(pair, seed), method), part, cell_types(pair))


CLAIMS = {
    "The GNN improves the prediction": ("paper, no GNN", "Fig. 5a"),
    "ESM-2 improves the prediction (against co-expression)": ("paper, no ESM-2 (co-expression)", "Fig. 5a"),
    "ESM-2 says which genes are related (against permuted vectors)": ("paper, PERMUTED vectors", "Fig. 5a"),
    "The gene graph says which genes are related (against equal weights)": ("paper, EQUAL weights", "Fig. 5a"),
    "L_sim improves the prediction": ("paper, no L_sim", "S13"),
    "L_res improves the prediction": ("paper, no L_res", "S13"),
    "Without co-embedding and MMD the prediction is as good or better": ("paper, co-embedding with MMD", "S14"),
}
OWN_CLAIMS = {
    "Masking genes in training helps": "crossfit, trained in-sample (no masking)",
    "Masking genes in training helps, apart from leaving a gene out of its own messages": ONLY_MASKING,
    "Messages from measured genes help": "crossfit, attention only (no gene graph)",
    "Attention to the reference helps": "crossfit, graph only (no attention)",
    "ESM-2 adds to co-expression": "crossfit, co-expression graph",
    "ESM-2 is better than its permutation beside co-expression": "crossfit, both, ESM-2 PERMUTED",
    "Spatial neighbors help": "crossfit, no spatial neighbors",
}


def show(results: pd.DataFrame, page: Page) -> None:
    """Write the variants beside the full recipes, which the study of accuracy measured."""
    full = _cache.read("accuracy", accuracy.STUDY)
    if len(full):
        full = full[full["method"].isin(["paper", "crossfit"]) & (full["totals"] == "input")]
    everything = pd.concat([full, results], ignore_index=True)
    page.text(
        'Variants in capitals are controls that the paper lacks: "PERMUTED" has the same numbers at the wrong genes, '
        '"RANDOM weights" has random positive similarities, "EQUAL weights" gives every gene the mean of all others. '
        "If a control is as good as the recipe, the content of the relation is not what helps."
    )
    for column in ("pcc", "css", "mse"):
        page.table(with_deviation(everything, column), f"Mean {column.upper()} over genes, leak-free totals")
    for recipe in ("paper", "crossfit"):
        variants = [name for name in everything["method"].unique() if name.startswith(f"{recipe},")]
        found = paired(everything, "pcc", recipe, variants)
        page.table(found, f"`{recipe}` compared with its variants, gene by gene (PCC)", digits=4)
    _judge(everything, page)


def _judge(everything: pd.DataFrame, page: Page) -> None:
    for claim, (variant, where) in CLAIMS.items():
        for column in ("css", "pcc"):
            tests = paired(everything, column, "paper", [variant])
            add_verdict(page, f"{claim} ({column.upper()})", where, tests)
    for claim, variant in OWN_CLAIMS.items():
        tests = paired(everything, "pcc", "crossfit", [variant])
        add_verdict(page, f"{claim} (PCC)", "docs", tests)
    like_for_like = paired(
        everything, "pcc", "crossfit, co-expression as plain relation", ["crossfit, PERMUTED co-expression"]
    )
    claim = "WHICH genes are co-expressed matters (plain co-expression against its permutation, PCC)"
    add_verdict(page, claim, "docs", like_for_like)


STUDY = Study(
    title="The importance of each module",
    paper="Fig. 5a, S13, S14, Table S4",
    question="What is each part worth, and is its content worth more than the same numbers at the wrong genes?",
    measure=measure,
    show=show,
    all_cells=("OSMFISH_VISP",),  # the cells of the paper
    parts=(*PAPER, *CROSSFIT),
)

"""Write the section on ablations, and what it says on the central claim of the paper."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
from benchmarks.paper import _cache, accuracy
from benchmarks.paper._compare import (
    add_verdict,
    add_verdict_of_no_gain,
    describe,
    is_better,
    paired,
    show_tests,
    with_deviation,
)

if TYPE_CHECKING:
    from benchmarks.paper._page import Page

NO_PROTEINS = "paper, no ESM-2 (co-expression)"
CONTROLS = {
    "paper, PERMUTED vectors": "its own permutation",
    "paper, EQUAL weights": "equal weights",
    "paper, no GNN": "no network at all",
}
ONLY_MASKING = "crossfit, only masking undone"
CLAIMS = {
    "The GNN improves the prediction": ("paper, no GNN", "Fig. 5a"),
    "ESM-2 improves the prediction (against co-expression)": (NO_PROTEINS, "Fig. 5a"),
    "ESM-2 says which genes are related (against permuted vectors)": ("paper, PERMUTED vectors", "Fig. 5a"),
    "The gene graph says which genes are related (against equal weights)": ("paper, EQUAL weights", "Fig. 5a"),
    "L_sim improves the prediction": ("paper, no L_sim", "S13"),
    "L_res improves the prediction": ("paper, no L_res", "S13"),
}
CO_EMBEDDING = "paper, co-embedding with MMD"
NO_GAIN = {
    "ESM-2 adds nothing to co-expression": "crossfit, co-expression graph",
    "ESM-2 is no better than its permutation beside co-expression": "crossfit, both, ESM-2 PERMUTED",
}
OWN_CLAIMS = {
    "Masking genes in training helps": "crossfit, trained in-sample (no masking)",
    "Masking genes in training helps, apart from leaving a gene out of its own messages": ONLY_MASKING,
    "Messages from measured genes help": "crossfit, attention only (no gene graph)",
    "Attention to the reference helps": "crossfit, graph only (no attention)",
    "Spatial neighbors help": "crossfit, no spatial neighbors",
}


def show(results: pd.DataFrame, page: Page) -> None:
    """Write the variants beside the full recipes, which the study of accuracy measured, on the same seeds."""
    everything = pd.concat([_full_recipes(results), results], ignore_index=True)
    page.text(
        'Variants in capitals are controls that the paper lacks: "PERMUTED" has the same numbers at the wrong genes, '
        '"RANDOM weights" has random positive similarities, "EQUAL weights" gives every gene the mean of all others. '
        "If a control is as good as the recipe, the content of the relation is not what helps."
    )
    for column in ("pcc", "css", "mse"):
        caption = f"Mean {column.upper()} over genes, leak-free totals"
        page.table(with_deviation(everything, column), caption, folded=column != "pcc")
    for recipe in ("paper", "crossfit"):
        variants = [name for name in everything["method"].unique() if name.startswith(f"{recipe},")]
        tests = paired(everything, "pcc", recipe, variants)
        if len(tests):
            page.table(show_tests(tests), f"`{recipe}` compared with its variants, gene by gene (PCC)", folded=True)
    _judge(everything, page)
    _summarize(everything, page)


def _full_recipes(results: pd.DataFrame) -> pd.DataFrame:
    full = _cache.read("accuracy", accuracy.STUDY)
    if not len(full):
        return full
    full = full[full["method"].isin(["paper", "crossfit"]) & (full["totals"] == "input")]
    return full.merge(results[["pair", "seed"]].drop_duplicates())


def _judge(everything: pd.DataFrame, page: Page) -> None:
    for claim, (variant, where) in CLAIMS.items():
        for column in ("css", "pcc"):
            tests = paired(everything, column, "paper", [variant])
            add_verdict(page, f"{claim} ({column.upper()})", where, tests)
    tests = paired(everything, "css", CO_EMBEDDING, ["paper"])
    add_verdict_of_no_gain(page, "Co-embedding and MMD bring no improvement (CSS)", "S14", tests)
    for claim, variant in OWN_CLAIMS.items():
        tests = paired(everything, "pcc", "crossfit", [variant])
        add_verdict(page, f"{claim} (PCC)", "docs", tests)
    for claim, variant in NO_GAIN.items():
        tests = paired(everything, "pcc", "crossfit", [variant])
        add_verdict_of_no_gain(page, f"{claim} (PCC)", "docs", tests)
    plain, permuted = "crossfit, co-expression as plain relation", "crossfit, PERMUTED co-expression"
    claim = (
        "WHICH genes are co-expressed matters (plain co-expression against its permutation, PCC; our docs: on one pair)"
    )
    add_verdict(page, claim, "docs", paired(everything, "pcc", plain, [permuted]))


def _summarize(everything: pd.DataFrame, page: Page) -> None:
    """Say in the first lines of the page what was found on the central claim: that ESM-2 improves imputation."""
    tests = {column: paired(everything, column, "paper", [NO_PROTEINS]) for column in ("css", "pcc")}
    if not all(len(found) for found in tests.values()):
        return
    n_better = sum(int(is_better(found).sum()) for found in tests.values())
    n_tests = sum(len(found) for found in tests.values())
    outcome = {0: "is not reproduced", n_tests: "is reproduced"}.get(n_better, "is reproduced in part")
    is_one = tests["pcc"].index.unique("pair").size == 1
    data = "On the one pair that was measured so far" if is_one else "With the data that we have"
    lines = [
        f"**{data}, the central claim of the paper {outcome} by our implementation.** The claim is that a gene network "
        'made from a protein language model (ESM-2) improves imputation. For `recipe="paper"`, which follows the text '
        "of the paper, this is the gain by ESM-2, with 95 % intervals over genes:\n",
        *(f"- against co-expression, {column.upper()}: {describe(found)}" for column, found in tests.items()),
    ]
    for variant, words in CONTROLS.items():
        found = paired(everything, "pcc", "paper", [variant])
        if len(found):
            lines.append(f"- against {words}, PCC: {describe(found)}")
    page.summary = "\n".join(lines)

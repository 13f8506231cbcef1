"""Write the section on ablations, and what it says on the central claim of the paper."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
from benchmarks.paper import _cache, accuracy
from benchmarks.paper._compare import (
    ALPHA,
    ASKED_HERE,
    add_verdict,
    add_verdict_of_no_change,
    add_verdict_of_no_gain,
    count,
    is_better,
    is_too_few,
    is_worse,
    paired,
    show_tests,
    wide,
    with_deviation,
    write_difference,
    write_seeds,
)

if TYPE_CHECKING:
    from benchmarks.paper._page import Page

METRICS = ("css", "mse", "pcc")
CALIBRATED = "mse_calibrated"
LABELS = {"css": "CSS", "mse": "MSE", "pcc": "PCC", CALIBRATED: "MSE, levels calibrated alike"}
OF_THE_PAPER = ("css", "mse")  # of its Fig. 5a and S13
NO_PROTEINS = "paper, no ESM-2 (co-expression)"
PERMUTED = "paper, PERMUTED vectors"
CONTROLS = {
    NO_PROTEINS: "co-expression",
    PERMUTED: "its own permutation",
    "paper, EQUAL weights": "equal weights",
    "paper, no GNN": "no network at all",
}
DECIDING = (NO_PROTEINS, PERMUTED)
ONLY_MASKING = "crossfit, only masking undone"
NO_GRAPH = "crossfit, attention only (no gene graph)"
CENTERED, CENTERED_PERMUTED = "paper, centered vectors", "paper, centered and PERMUTED vectors"
CLAIMS = {
    "The GNN improves the prediction": ("paper, no GNN", "Fig. 5a"),
    "ESM-2 improves the prediction (against co-expression)": (NO_PROTEINS, "Fig. 5a"),
    "ESM-2 says which genes are related (against permuted vectors)": (PERMUTED, ASKED_HERE),
    "The gene graph says which genes are related (against equal weights)": ("paper, EQUAL weights", ASKED_HERE),
    "L_sim improves the prediction": ("paper, no L_sim", "S13"),
    "L_res improves the prediction": ("paper, no L_res", "S13"),
}
UNCHANGED = ("paper, no L_sim", "css")  # what the paper says of it
REPORTED = {"paper, no GNN": (-4, 5), NO_PROTEINS: (-2, 3), "paper, no L_res": (-20, 36), "paper, no L_sim": (0, 3)}
CO_EMBEDDING = {"without MMD": "paper, co-embedding", "with MMD": "paper, co-embedding with MMD"}
NO_GAIN = {
    "ESM-2 adds nothing to co-expression": "crossfit, co-expression graph",
    "ESM-2 is no better than its permutation beside co-expression": "crossfit, both, ESM-2 PERMUTED",
}
OWN_CLAIMS = {
    "Masking genes in training helps": "crossfit, trained in-sample (no masking)",
    "Masking genes in training helps, apart from leaving a gene out of its own messages": ONLY_MASKING,
    "Messages from measured genes help": NO_GRAPH,
    "Attention to the reference helps": "crossfit, graph only (no attention)",
    "Spatial neighbors help": "crossfit, no spatial neighbors",
}


def show(results: pd.DataFrame, page: Page) -> None:
    """Write the variants beside the full recipes, which the study of accuracy measured, on the same seeds."""
    everything = pd.concat([_full_recipes(results), results], ignore_index=True)
    page.text(
        'Variants in capitals are controls that the paper lacks: "PERMUTED" has the same numbers at the wrong genes, '
        '"RANDOM weights" relates random genes, by random positive similarities, "EQUAL weights" gives every gene the '
        "mean of all others. "
        "If a control is as good as the recipe, the content of the relation is not what helps."
    )
    page.text(
        "The cosines of raw ESM-2 vectors are nearly equal for all pairs of genes, so that the graph is close to equal "
        'weights. "Centered vectors" have the mean vector subtracted, which the text of the paper does not do: a fair '
        "chance for what ESM-2 knows, compared with their own permutation. CSS and MSE depend on the level of a gene, "
        "too; the calibrated "
        "MSE, in which all variants get their levels in the same way, shows what is left of a gain in shape."
    )
    for column, label in LABELS.items():
        caption = f"Mean {label} over genes, leak-free totals; rows rest on different seeds"
        page.table(with_deviation(everything, column), caption, folded=True)
    for recipe in ("paper", "crossfit"):
        variants = [name for name in everything["method"].unique() if name.startswith(f"{recipe},")]
        variants = [name for name in variants if name not in (CENTERED, CENTERED_PERMUTED)]
        tests = paired(everything, "pcc", recipe, variants)
        if len(tests):
            caption = f"`{recipe}` compared with its variants, gene by gene, on the seeds that both have (PCC)"
            page.table(show_tests(tests), caption)
    _show_reported(everything, page)
    _judge(everything, page)
    _summarize(everything, page)


def _full_recipes(results: pd.DataFrame) -> pd.DataFrame:
    full = _cache.read("accuracy", accuracy.STUDY)
    if not len(full):
        return full
    full = full[full["method"].isin(["paper", "crossfit"]) & (full["totals"] == "input")]
    return full.merge(results[["pair", "seed"]].drop_duplicates())


def _show_reported(everything: pd.DataFrame, page: Page) -> None:
    """Show how much the mean CSS and MSE change without a part, beside the percentages in the text of the paper."""
    genes = everything[everything["axis"] == "gene"]
    rows = []
    for variant, reported in REPORTED.items():
        for column, percent in zip(OF_THE_PAPER, reported, strict=True):
            values = genes[genes["method"].isin(["paper", variant])].pivot_table(
                index=["pair", "seed", "gene"], columns="method", values=column
            )
            if variant in values and "paper" in values:
                change = values.dropna().groupby("pair", sort=False).mean()
                change = 100 * (change[variant] / change["paper"] - 1)
                rows += [(variant, column.upper(), f"{percent:+} %", pair, f"{x:+.1f} %") for pair, x in change.items()]
    table = pd.DataFrame(rows, columns=["without", "metric", "the paper", "pair", "change"])
    if len(table):
        table = table.set_index(["without", "metric", "the paper", "pair"])["change"]
        caption = (
            "Change of the mean over genes when a part is left out (the paper writes of a decrease of both metrics, "
            "which we read as a lower CSS and a higher MSE)"
        )
        page.table(wide(table, "pair").fillna(""), caption)


def _judge(everything: pd.DataFrame, page: Page) -> None:
    for claim, (variant, where) in CLAIMS.items():
        for column in LABELS:
            tests = paired(everything, column, "paper", [variant])
            source = where if column in OF_THE_PAPER else ASKED_HERE
            if (variant, column) == UNCHANGED:
                add_verdict_of_no_change(page, "L_sim leaves the CSS unchanged", source, tests)
            else:
                add_verdict(page, f"{claim} ({LABELS[column]})", source, tests)
    for column in LABELS:
        tests = paired(everything, column, CENTERED, [CENTERED_PERMUTED])
        claim = f"Centered ESM-2 vectors say which genes are related (against their permutation) ({LABELS[column]})"
        add_verdict(page, claim, ASKED_HERE, tests)
    for words, variant in CO_EMBEDDING.items():
        tests = paired(everything, "css", variant, ["paper"])
        add_verdict_of_no_gain(page, f"Co-embedding {words} brings no improvement (CSS)", "S14", tests)
    for claim, variant in OWN_CLAIMS.items():
        tests = paired(everything, "pcc", "crossfit", [variant])
        add_verdict(page, f"{claim} (PCC)", "docs", tests)
    for claim, variant in NO_GAIN.items():
        tests = paired(everything, "pcc", "crossfit", [variant])
        add_verdict_of_no_gain(page, f"{claim} (PCC)", "docs", tests)
    plain, permuted = "crossfit, co-expression as plain relation", "crossfit, PERMUTED co-expression"
    claim = "A permuted relation still helps, compared with no relation (permuted co-expression, PCC)"
    add_verdict(page, claim, "docs", paired(everything, "pcc", permuted, [NO_GRAPH]))
    claim = "WHICH genes are co-expressed matters (plain co-expression against its permutation, PCC)"
    add_verdict(page, claim, "docs", paired(everything, "pcc", plain, [permuted]))


def _summarize(everything: pd.DataFrame, page: Page) -> None:
    """Say in the first lines of the page what was found on the central claim: that ESM-2 improves imputation.

    The control decides: what permuted vectors do as well does not come from the proteins.
    """
    tests = {
        (words, column): paired(everything, column, "paper", [variant])
        for variant, words in CONTROLS.items()
        for column in LABELS
    }
    without, control = (pd.concat([tests[CONTROLS[name], column] for column in METRICS]) for name in DECIDING)
    if not (len(without) and len(control)):
        return
    outcome = "is reproduced in part"
    if not is_better(control).any() or not is_better(without).any():
        outcome = "is not reproduced"
    elif is_better(control).all() and is_better(without).all():
        outcome = "is reproduced"
    few = is_too_few(control.index.get_level_values("pair"))
    data = "On the one section that was measured so far" if few else "With the data that we have"
    counted = [_count(tests, CONTROLS[variant]) for variant in DECIDING]
    alone = "The comparison with co-expression alone would be read as support in part. "
    page.summary = "\n".join(
        [
            f"**{data}, the central claim of the paper {outcome} by our implementation.** The claim is that a gene "
            "network made from a protein language model (ESM-2) improves imputation. For "
            '`recipe="paper"`, which follows the text of the paper, ESM-2 is better than co-expression, significantly '
            f"and with every seed, on {counted[0]} pairs (of three sections: osmFISH has two references), and better "
            f"than the same vectors at the wrong genes on {counted[1]} pairs. This control "
            "decides: a gain that permuted vectors bring as well does not come from what ESM-2 knows of a protein. "
            f"{alone if is_better(without).any() else ''}{_of_centered(everything)}The "
            "gain by ESM-2, with 95 % "
            f"intervals over genes (bold: p < {ALPHA}, by ranks and corrected, and the same sign with every seed, so "
            "that an interval can exclude zero without being bold, or include zero and be bold where most genes gain "
            "little and few lose much; where no difference was found, the interval says how large one could be):\n",
            _write_gains(tests),
        ]
    )


def _of_centered(everything: pd.DataFrame) -> str:
    """Say what ESM-2 brings where its vectors have their mean subtracted; nothing if that was not measured."""
    tests = {("", column): paired(everything, column, CENTERED, [CENTERED_PERMUTED]) for column in LABELS}
    counted = _count(tests, "")
    if not counted:
        return ""
    seeds = write_seeds(pd.concat(tests.values()))
    found = "With centered vectors, which the paper does not have, it is better than its permutation on"
    return f"{found} {counted} pairs; {seeds}. "


def _count(tests: dict[tuple[str, str], pd.DataFrame], words: str) -> str:
    """Count the pairs on which ESM-2 is better than one control, and worse, metric by metric."""
    texts = []
    for column, label in LABELS.items():
        found = tests[words, column]
        n_worse = is_worse(found).sum()
        against = f", worse on {n_worse}" if n_worse else ""
        texts += [f"{is_better(found).sum()} of {len(found)}{against} ({label})"] if len(found) else []
    return ", ".join(texts)


def _write_gains(tests: dict[tuple[str, str], pd.DataFrame]) -> str:
    """Write one row per control and metric, one column per pair."""
    rows = []
    for (words, column), found in tests.items():
        cells = {"compared with": words, "metric": LABELS[column], "better/worse": count(found)}
        for (pair, _), row in found.iterrows():
            text = write_difference(row)
            cells[pair] = f"**{text}**" if row["p"] < ALPHA and row["agree"] else text
        rows.append(cells | {"seeds": f"{found['seeds'].min():.0f}"} if len(found) else cells)
    table = pd.DataFrame(rows).fillna("")
    last = ["better/worse", "seeds"]
    return table[[*table.columns.drop(last), *last]].to_markdown(index=False, disable_numparse=True)

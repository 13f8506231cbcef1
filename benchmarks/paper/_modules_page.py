"""Write the section on modules of co-expressed genes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
from benchmarks.paper._compare import judge, real, wide
from benchmarks.paper._predictions import CONTROL, PEERS
from benchmarks.paper._scalars import ASKED_HERE, RULE, add_verdict, differences, seeds_of

if TYPE_CHECKING:
    from benchmarks.paper._page import Page

STRUCTURE = "correlation of correlations"
REFERENCE = "reference itself"
PERMUTED = "measured, cells permuted"
STRONG = 1.2  # times the measured mean absolute correlation
NEAR = 0.01  # share of the genes within which a partner must rank
SHOWN = ("paper", f"paper{CONTROL}", "crossfit", f"crossfit{CONTROL}", *PEERS, REFERENCE)
GENES = "pair of genes"
DATA = {"Fig. S10": "MouseBrain", "Fig. S11": "osmFISH_Zeisel"}
CLAIMS = {
    "C1qa and C1qb come out together": ("Fig. S11", ["C1qa, C1qb"]),
    "Lyz2, Pf4 and Ccl24 come out together": ("Fig. S11", ["Lyz2, Pf4", "Lyz2, Ccl24", "Pf4, Ccl24"]),
    "Pax3 and Pax7 come out together": ("Fig. S10", ["Pax3, Pax7"]),
    "Irx3 and Irx5 come out together": ("Fig. S10", ["Irx3, Irx5"]),
}


def show_agreement(found: pd.DataFrame, page: Page) -> None:
    """Compare correlations among measured genes with those among predictions of the same genes."""
    if found.empty:
        return
    page.text(
        "First the measured genes, each predicted with its fold held out, where there is a truth: do the genes that "
        "are expressed together in the section come out together? Modules are clusters of the graph of the most "
        f'correlated genes. "{REFERENCE}" is the co-expression among the reference cells, before any method was used; '
        f'"{PERMUTED}" is chance. {seeds_of(found)} {RULE}'
    )
    for pair, of_pair in found.groupby("pair", sort=False):
        groups = of_pair.groupby("method", sort=False)
        table = groups[["modules", "ari", STRUCTURE, "nearest found"]].mean().rename(columns={"ari": "ARI of modules"})
        absolute = groups[["mean absolute correlation", "measured mean absolute correlation"]].mean()
        table["strength"] = absolute.iloc[:, 0] / absolute.iloc[:, 1]
        n_modules = of_pair["modules measured"].mean()
        page.table(table, f"{pair}: co-expression compared with that of the measured genes ({n_modules:.0f} modules)")
    page.text(
        "Correlation of correlations: Spearman over all pairs of genes. Nearest found: share of the genes whose most "
        "correlated gene is among the five that correlate most in the prediction. Strength: mean absolute correlation "
        "of two genes, divided by that of the measured genes; above 1, predicted genes look more co-expressed than "
        "they are, so that a network of predicted genes has too many edges."
    )
    _judge_agreement(found, page)


def _judge_agreement(found: pd.DataFrame, page: Page) -> None:
    chance = differences(found, STRUCTURE, "paper", [PERMUTED])
    claim = "Predicted genes keep the co-expression of the measured genes (`paper`, above chance)"
    add_verdict(page, claim, "Fig. S10, S11", chance)
    for recipe in ("paper", "crossfit"):
        claim = f"Co-expression of genes predicted by `{recipe}` is closer to the section than that of the reference"
        add_verdict(page, claim, ASKED_HERE, differences(found, STRUCTURE, recipe, [REFERENCE]))
    strength = found.assign(strength=found["mean absolute correlation"] / found["measured mean absolute correlation"])
    strength = real(strength[strength["method"] == "crossfit"]).groupby("pair", sort=False)["strength"].mean()
    text = "; ".join(f"{pair}: {value:.2f} times as strong" for pair, value in strength.items())
    rule = f"rule: {STRONG} times as strong as measured"
    claim = f"Correlations among imputed genes are not co-expression (`crossfit`; {rule})"
    if len(strength):
        page.verdict(claim, "docs", judge(list(strength > STRONG), strength.index), text)


def show_named(named: pd.DataFrame, page: Page) -> None:
    """Show where the genes that the paper names come out."""
    if named.empty:
        return
    is_there = named[named["method"] == "in the data"]
    has_both = wide(is_there.groupby([GENES, "pair"], sort=False)["both"].any(), "pair")
    page.text(
        "Then the genes that the paper names. They were not measured in the section, so that there is no truth; the "
        "paper takes it from the literature. The question here is whether the second gene is near the first one among "
        "all predicted genes, and whether that says more than the reference, from which both were predicted."
    )
    page.table(has_both.replace({True: "yes", False: "no"}), "Does the reference have both genes?")
    ranked = named[named["rank"].notna()] if "rank" in named else named[:0]
    if len(ranked):
        caption = (
            "Rank of the second gene among the genes that correlate with the first one, with the number of genes; "
            "* in the same module"
        )
        page.table(_ranks(ranked), caption)
        text = "; ".join(
            f"{pair}: {share:.2f}"
            for pair, share in ranked.groupby("pair", sort=False)["same module by chance"].mean().items()
        )
        page.text(f"Two random genes are in the same module with a probability of ({text}).")
    for recipe in ("paper", "crossfit"):
        _judge_named(ranked, recipe, page)


def _ranks(ranked: pd.DataFrame) -> pd.DataFrame:
    groups = ranked[ranked["method"].isin(SHOWN)].groupby(["pair", GENES, "method"], sort=False)
    rank = groups["rank"].mean().round().astype(int).astype(str)
    is_same = groups["same module"].apply(lambda same: "*" if same.astype(bool).all() else "")
    table = wide(rank + is_same, "method").fillna("")
    table = table[[name for name in SHOWN if name in table]]
    table.insert(0, "genes", groups["n_genes"].first().groupby(["pair", GENES], sort=False).first())
    return table


def _judge_named(ranked: pd.DataFrame, recipe: str, page: Page) -> None:
    for claim, (where, groups) in CLAIMS.items():
        chosen = ranked[ranked[GENES].isin(groups)] if len(ranked) else ranked
        if chosen.empty:
            text = f"No reference here has both genes (the paper: {DATA[where]})."
            if recipe == "paper":
                page.verdict(claim, where, "cannot be tested", text)
            continue
        near = (chosen["rank"] <= NEAR * chosen["n_genes"]) & chosen["same module"].astype(bool)
        found = real(chosen.assign(near=near)).groupby(["pair", GENES, "method"], sort=False)
        table = found.agg(near=("near", "all"), rank=("rank", "mean"), n=("n_genes", "first")).reset_index()
        ours = table[table["method"] == recipe].set_index(["pair", GENES])
        control = table[table["method"] == f"{recipe}{CONTROL}"].set_index(["pair", GENES])["rank"].reindex(ours.index)
        text = "; ".join(_describe(row, table) for _, row in ours.reset_index().iterrows())
        rule = (
            f" (`{recipe}`; rule: among the nearest {NEAR:.0%} of the genes, in the same module, and nearer than with "
            "the reference permuted)"
        )
        is_so = ours["near"] & (ours["rank"] < control)
        source = where if recipe == "paper" else ASKED_HERE
        page.verdict(claim + rule, source, judge(list(is_so), ours.index.get_level_values("pair")), text)


def _describe(row: pd.Series, table: pd.DataFrame) -> str:
    text = f"{row['pair']}, {row[GENES]}: rank {row['rank']:.0f} of {row['n']:.0f}"
    same = table[(table["pair"] == row["pair"]) & (table[GENES] == row[GENES])].set_index("method")["rank"]
    others = {REFERENCE: "in the reference itself", f"{row['method']}{CONTROL}": "with the reference permuted"}
    beside = [f"{text} {same[name]:.0f}" for name, text in others.items() if name in same]
    return text + (f" ({', '.join(beside)})" if beside else "")

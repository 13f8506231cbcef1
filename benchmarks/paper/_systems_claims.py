"""Judge what the paper says of its own accuracy and speed, and of the other systems."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import pandas as pd
from benchmarks.paper import _scalars
from benchmarks.paper._compare import (
    SIMULATED,
    add_verdict_without_test,
    count,
    describe,
    is_better,
    is_worse,
    judge,
    paired,
    show_many,
    wide,
)
from benchmarks.paper._scalars import MARGIN, differences
from peers import _measure

if TYPE_CHECKING:
    from benchmarks.paper._page import Page

CROSSFIT, PAPER = "stimpute, crossfit", "stimpute, paper"
NAMES = {system: _measure.name_of(system) for system in _measure.SYSTEMS if system not in _measure.OURS}
PEERS = tuple(name for system, name in NAMES.items() if system not in _measure.VARIANTS)
RIVALS = ("kNN", *PEERS)
SPAGE, TRANSIMP, STPLUS, GIMVI, TANGRAM, NOVOSPARC = (
    NAMES[system] for system in ("spage", "transimp_lr", "stplus", "gimvi", "tangram", "novosparc")
)
UNIPORT, UNIPORT_LESS = NAMES["uniport"], NAMES["uniport_3000"]
NOT_IN_THE_PAPER = ("kNN", NAMES["transimp"])
GENE_CLAIMS = {
    "css": ("CSS by gene", "Fig. 2b"),
    "mse": ("MSE by gene, and so by cell", "Fig. 2c, 2d"),
    "mse_calibrated": ("MSE by gene, all calibrated alike", "asked here"),
}
MOST_VARIABLE = 100  # genes
AS_FAST = 2  # times the CPU seconds of another system
RULE = (
    "By gene, verdicts rest on paired tests over genes, with the correction of Holm. By cell there is one number per "
    f"pair and seed: a system is better if it is ahead by more than {MARGIN} with every seed. Two systems are similar "
    f"on a pair if their means differ by at most {MARGIN}. A claim on one system needs two pairs with that system."
)


def missing(genes: pd.DataFrame) -> str:
    """Name the rivals that were not measured on a real pair."""
    measured = set(zip(genes["method"], genes["pair"], strict=True))
    pairs_without = defaultdict(list)
    for pair in (pair for pair in genes["pair"].unique() if pair != SIMULATED):
        names = [name.split(" (")[0] for name in RIVALS if (name, pair) not in measured]
        pairs_without[", ".join(names)].append(pair)
    texts = [f"{names} on {', '.join(pairs)}" for names, pairs in pairs_without.items() if names]
    return "; ".join(texts) or "none"


def add_verdicts(genes: pd.DataFrame, cells: pd.DataFrame, page: Page) -> None:
    """Compare both recipes with all rivals, and judge the paper's other sentences on Fig. 2, S2 and S6."""
    page.text(RULE)
    genes, cells = (table[table["pair"] != SIMULATED] for table in (genes, cells))
    _judge_paper(genes, cells, page)
    _judge_others(genes, cells, page)
    _judge_starmap(genes, page)
    _judge_speed(cells, page)
    _judge_crossfit(genes, cells, page)


def _note(genes: pd.DataFrame, column: str = "pcc") -> str:
    """Name the rivals for which a column is missing."""
    return f"; not measured: {missing(genes.reindex(columns=['pair', 'method', column]).dropna())}"


def _in_the_paper(tests: pd.DataFrame) -> str:
    """Count the comparisons with the systems of the paper alone."""
    others = tests.index.get_level_values("compared with")
    return f"; without {' and '.join(NOT_IN_THE_PAPER)}: {count(tests[~others.isin(NOT_IN_THE_PAPER)])}"


def _judge_paper(genes: pd.DataFrame, cells: pd.DataFrame, page: Page) -> None:
    note = _note(genes)
    for column, (text, where) in GENE_CLAIMS.items():
        claim = f"`paper` predicts better than every other system that was measured ({text})"
        tests = _paired(genes, column, PAPER, RIVALS)
        note_of_claim = _note(genes, column)
        if column == "mse":
            alike = _paired(genes, "mse_calibrated", PAPER, RIVALS)
            note_of_claim = f"; all calibrated alike, which leaves the shape: {count(alike)}{note_of_claim}"
        _add(page, claim, where, tests, _in_the_paper(tests) + note_of_claim)
    claim = "`paper` predicts better than every other system that was measured (CSS by cell)"
    _add_of_cells(page, claim, "Fig. 2a", differences(cells, "cell_css", PAPER, RIVALS), note)
    others = [name for name in RIVALS if name != GIMVI]
    claim = "Where all get log-normalized values, `paper` is better than every other system (CSS by cell)"
    note_of_claim = f"; without gimVI, which needs counts; the reference is rescaled for `paper` alone{note}"
    _add_of_cells(page, claim, "S4", differences(cells, "cell_css", PAPER, others), note_of_claim)
    others = [name for name in RIVALS if name != STPLUS]
    claim = f"`paper` has a higher PCC than every other system but {STPLUS}"
    tests = _paired(genes, "pcc", PAPER, others)
    _add(page, f"{claim} (by gene)", "Fig. S2", tests, _in_the_paper(tests) + note)
    _add_of_cells(page, f"{claim} (by cell)", "Fig. S2", differences(cells, "cell_pcc", PAPER, others), note)
    for table, column, text in ((genes, "pcc", "by gene"), (cells, "cell_pcc", "by cell")):
        claim = f"`paper` is similar to {STPLUS} in PCC ({text})"
        _add_similar(page, claim, "Fig. S2", differences(table, column, PAPER, [STPLUS]))


def _judge_others(genes: pd.DataFrame, cells: pd.DataFrame, page: Page) -> None:
    claim = f"{TANGRAM} has the highest MSE of the systems of the paper's comparison"
    _add_extreme(page, claim, "Fig. 2c, 2d", genes, "mse", TANGRAM)
    claim = f"{STPLUS} has the highest CSS of the other systems (by cell)"
    _add_extreme(page, claim, "Fig. 2a", cells, "cell_css", STPLUS)
    claim = f"{TRANSIMP} has the highest CSS of the other systems (by gene)"
    _add_extreme(page, claim, "Fig. 2b", genes, "css", TRANSIMP)
    claim = f"{STPLUS} has a higher CSS than gimVI (by cell)"
    _add_of_cells(page, claim, "Fig. 2a", differences(cells, "cell_css", STPLUS, [GIMVI]))
    claim = f"gimVI has a lower MSE than {STPLUS}"
    _add(page, claim, "Fig. 2c", _paired(genes, "mse", GIMVI, [STPLUS]))
    uniport = UNIPORT if UNIPORT in set(cells["method"]) else UNIPORT_LESS
    for name in (uniport, NOVOSPARC):
        claim = f"`paper` has a higher CSS than {name} (by cell)"
        _add_of_cells(page, claim, "Fig. 2a", differences(cells, "cell_css", PAPER, [name]))
    claim = f"{SPAGE} and {TRANSIMP} are similar in CSS (by cell)"
    _add_similar(page, claim, "Fig. 2a", differences(cells, "cell_css", SPAGE, [TRANSIMP]))


def _add_extreme(page: Page, claim: str, where: str, table: pd.DataFrame, column: str, name: str) -> None:
    """Judge whether a system has the highest mean of those of the paper, on the pairs where all were measured."""
    means = wide(table.groupby(["pair", "method"], sort=False)[column].mean(), "method")
    peers = [peer for peer in PEERS if peer in means and peer not in NOT_IN_THE_PAPER]
    if name in peers:
        complete = means[peers].dropna()
        gains = complete[name] - complete.drop(columns=name).max(axis=1)
        add_verdict_without_test(page, claim, where, gains, f" above the next of {len(peers)} systems")


def _judge_starmap(genes: pd.DataFrame, page: Page) -> None:
    """Judge whether every method has its lowest CSS on the section by STARmap."""
    means = wide(genes.groupby(["method", "pair"], sort=False)["css"].mean(), "pair")
    here = [pair for pair in means if pair.upper().startswith("STARMAP")]
    if here and len(means.columns) > len(here):
        complete = means.dropna()
        lowest = complete[here].max(axis=1) < complete.drop(columns=here).min(axis=1)
        claim = "All methods are poor on STARmap (CSS by gene; here: lower than on every other technology)"
        text = f"so for {lowest.sum()} of {len(lowest)} methods on {', '.join(here)}, our STARmap data, no test"
        page.verdict(claim, "Fig. 2b", judge([lowest.all()] * len(here), here), text)
        _judge_most_variable(genes[genes["pair"].isin(here)], complete.drop(columns=here).min(axis=1), page)


def _judge_most_variable(genes: pd.DataFrame, elsewhere: pd.Series, page: Page) -> None:
    """Judge whether that is so for the most variable genes of the section, too; by the reference, which all see."""
    groups = genes.groupby(["pair", "method", "seed"], sort=False)
    is_variable = groups["reference_std"].rank(ascending=False, method="first") <= MOST_VARIABLE
    means = wide(genes[is_variable].groupby(["method", "pair"], sort=False)["css"].mean(), "pair").max(axis=1)
    lowest = (means < elsewhere).reindex(elsewhere.index)
    claim = (
        f"All methods are poor on STARmap even on its {MOST_VARIABLE} most variable genes (CSS by gene; here: by the "
        "reference, lower than for all genes of every other technology)"
    )
    ours = ", ".join(f"{name} {means[name]:.3f} ({elsewhere[name]:.3f})" for name in (CROSSFIT, PAPER) if name in means)
    text = f"so for {lowest.sum()} of {len(lowest)} methods; {ours}; in brackets the lowest elsewhere; no test"
    pairs = genes["pair"].unique()
    page.verdict(claim, "S1", judge([lowest.all()] * len(pairs), pairs), text)


def _judge_speed(cells: pd.DataFrame, page: Page) -> None:
    """Compare CPU seconds: the paper measured samples of up to 1.3 million cells."""
    seconds = cells[cells["device"] == "cpu"].groupby(["pair", "method"], sort=False)["cpu_seconds"].mean()
    seconds = wide(seconds, "method")
    where = f"with {_measure.N_CELLS} cells on one CPU thread"
    claim = f"The speed of `paper` is like that of gimVI and {STPLUS}, or better"
    claim += f" ({where}; rule: at most {AS_FAST} times their CPU seconds)"
    _add_speed(page, claim, seconds, [GIMVI, STPLUS], at_most=AS_FAST)
    claim = f"`paper` is slower than {TRANSIMP} ({where})"
    _add_speed(page, claim, seconds, [TRANSIMP], at_most=None)


def _add_speed(page: Page, claim: str, seconds: pd.DataFrame, others: list[str], at_most: float | None) -> None:
    """Judge the ratio of CPU seconds: at most so much, or above 1."""
    if PAPER not in seconds:
        return
    pairs, yes, texts = [], [], []
    for other in (name for name in others if name in seconds):
        for pair, both in seconds[[PAPER, other]].dropna().iterrows():
            ratio = both[PAPER] / both[other]
            pairs.append(pair)
            yes.append(ratio <= at_most if at_most else ratio > 1)
            texts.append(f"{pair}: {both[PAPER]:.0f} s against {both[other]:.0f} s of {other}")
    if yes:
        larger = "the paper measured up to 1.3 million cells, on graphics cards; with 16,000: see the page on cost"
        evidence = f"{'; '.join(texts)}; {larger}"
        page.verdict(claim, "Fig. S6", judge(yes, pairs), evidence)


def _judge_crossfit(genes: pd.DataFrame, cells: pd.DataFrame, page: Page) -> None:
    claim = "`crossfit` predicts better than every other system that was measured"
    texts = {"pcc": "PCC by gene", **{column: text for column, (text, _) in GENE_CLAIMS.items()}}
    texts["ssim"] = "SSIM by gene, without matched variance"
    for column, text in texts.items():
        tests = _paired(genes, column, CROSSFIT, (PAPER, *RIVALS))
        _add(page, f"{claim} ({text})", "docs", tests, _note(genes, column))
    for column, text in (("cell_css", "CSS by cell"), ("cell_pcc", "PCC by cell")):
        found = differences(cells, column, CROSSFIT, (PAPER, *RIVALS))
        _add_of_cells(page, f"{claim} ({text})", "docs", found, _note(genes))


def _paired(genes: pd.DataFrame, column: str, first: str, others: list[str] | tuple[str, ...]) -> pd.DataFrame:
    return paired(genes.reindex(columns=["pair", "seed", "method", "gene", column]), column, first, others)


def _add(page: Page, claim: str, where: str, tests: pd.DataFrame, note: str = "") -> None:
    """Add "the first is better", judged from paired tests."""
    if len(tests):
        pairs = tests.index.get_level_values("pair")
        verdict = judge(list(is_better(tests)), pairs, list(is_worse(tests)))
        page.verdict(claim, where, verdict, describe(tests) + note)
        show_many(tests, claim, page)
    else:
        page.verdict(claim, where, "not measured yet", "")


def _add_of_cells(page: Page, claim: str, where: str, found: pd.DataFrame, note: str = "") -> None:
    """Add "the first is better", judged from one number per pair and seed."""
    _add_scalars(page, claim, where, found, found["better"], note, found["worse"])


def _add_similar(page: Page, claim: str, where: str, found: pd.DataFrame) -> None:
    """Add "both are similar": their means differ by at most the margin."""
    _add_scalars(page, claim, where, found, found["difference"].abs() <= MARGIN, "")


def _add_scalars(
    page: Page, claim: str, where: str, found: pd.DataFrame, yes: pd.Series, note: str, no: pd.Series | None = None
) -> None:
    if len(found):
        verdict = judge(list(yes), found.index.get_level_values("pair"), None if no is None else list(no))
        page.verdict(claim, where, verdict, _scalars.describe(found) + note)
    else:
        page.verdict(claim, where, "not measured yet", "")

"""The rules of the verdicts, the order in which they are shown, and what counts as measured."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from benchmarks.paper import _beside, _cache, _compare, _cost_claims, _page, _patterns_page, _verdicts, cost, systems
from benchmarks.paper._page import Page
from benchmarks.paper._study import Task, tasks_of
from peers import _measure, _score
from peers._exchange import Answer


def per_gene(ours, other):
    """Make the values of one pair for two methods, one per gene."""
    columns = {"pair": "OSMFISH", "seed": 0, "gene": [f"gene{i}" for i in range(len(ours))]}
    return pd.concat([pd.DataFrame({**columns, "method": name, "pcc": v}) for name, v in (("a", ours), ("b", other))])


@pytest.mark.parametrize("sign", [1, -1])
def test_a_method_is_better_where_its_mean_and_its_ranks_agree(sign):
    values = np.linspace(0.1, 0.5, 20)
    clear = _compare.paired(per_gene(values + sign * 0.1, values), "pcc", "a")
    assert bool(_compare.is_better(clear).item()) == (sign > 0)
    assert bool(_compare.is_worse(clear).item()) == (sign < 0)
    one_gene_against = values + sign * 0.01
    one_gene_against[0] -= sign * 10  # turns the mean, and not the ranks
    unclear = _compare.paired(per_gene(one_gene_against, values), "pcc", "a")
    assert unclear["p"].item() < _compare.ALPHA
    assert not _compare.is_better(unclear).item()
    assert not _compare.is_worse(unclear).item()


@pytest.mark.parametrize(
    ("gains", "least", "expected"),
    [
        ([0.1, 0.2], 0, "holds"),
        ([0.1, -0.2], 0, "mixed"),
        ([0.1, 0.01], 0.05, "holds in part"),
        ([0.1, -0.1], 0.05, "mixed"),
        ([-0.1, -0.2], 0, "does not hold"),
        ([0.1, -0.3], -0.2, "holds in part"),  # a loss that is allowed has no opposite
    ],
)
def test_a_loss_in_one_section_makes_a_claim_mixed(gains, least, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(_page, "DOCS", tmp_path)
    page = Page(tmp_path)
    pairs = pd.Series([*gains, -9.0], index=["OSMFISH", "STARMAP_V1", _compare.SIMULATED])
    _compare.add_verdict_without_test(page, "claim", "S1", pairs, least=least)
    assert [verdict["verdict"] for verdict in page.verdicts] == [expected]


def test_verdicts_stand_in_the_order_of_the_figures():
    places = ["S10", "Fig. 5a", "S3", "Fig. 2e, S7", "Fig. 2b"]
    verdicts = [
        {"claim": place, "where": place, "verdict": "holds", "evidence": "", "study": "accuracy"} for place in places
    ]
    text = "\n".join(_verdicts.tables(verdicts))
    found = sorted(places, key=lambda place: text.index(f"| {place} "))
    assert found == ["Fig. 2b", "Fig. 2e, S7", "Fig. 5a", "S3", "S10"]


def test_further_seeds_are_read_where_one_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(_cache, "RESULTS", tmp_path)
    study = replace(systems.STUDY, parts=("kNN", "gimvi"), pairs=("OSMFISH",), one_seed=("OSMFISH gimvi",))
    asked = [(task.part, task.seed) for task in tasks_of("systems", study) if task.pair == "OSMFISH"]
    assert asked == [("kNN", 0), ("kNN", 1), ("kNN", 2), ("gimvi", 0)]
    for seed in (0, 2):
        path = _cache.path_of(Task("systems", "OSMFISH", seed, "gimvi"))
        path.parent.mkdir(exist_ok=True)
        pd.DataFrame({"method": ["gimVI"], "pcc": [0.1]}).to_csv(path, index=False)
    assert list(_cache.read("systems", study)["seed"]) == [0, 2]
    assert _cache.coverage("systems", study).loc["gimvi", "OSMFISH"] == "0, 2"


def fold(number, targets, cells):
    spatial = SimpleNamespace(obs_names=pd.Index(cells))
    return SimpleNamespace(number=number, targets=targets, spatial=spatial)


def test_answers_are_kept_for_the_same_genes_and_cells_alone(tmp_path, monkeypatch):
    folds = [fold(number, [f"gene{number}"], ["x", "y"]) for number in range(_measure.N_FOLDS)]
    monkeypatch.setattr(_measure, "PARTS", tmp_path)
    monkeypatch.setattr(_measure, "folds_of", lambda pair, seed: folds)
    assert _measure.kept("spage", "OSMFISH", 0, folds[:2]) == []
    monkeypatch.setattr(Answer, "read", lambda path: path.name)
    for one in folds[:2]:
        path = _measure.path_of("spage", "OSMFISH", 0, one.number)
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert _measure.kept("spage", "OSMFISH", 0, folds[:2]) == ["spage-0.npz", "spage-1.npz"]
    assert _measure.kept("spage", "OSMFISH", 0, folds[:3]) == []
    assert _measure.kept("spage", "OSMFISH", 0, [fold(0, ["other"], ["x", "y"])]) == []
    assert _measure.kept("spage", "OSMFISH", 0, [fold(0, ["gene0"], ["y", "x"])]) == []


def test_larger_tissues_are_measured_until_a_system_fails(monkeypatch):
    def answer(system, folds, seed, limit_s):
        n_cells = folds[0].spatial.n_obs
        if n_cells == 60:
            raise (
                subprocess.TimeoutExpired("child", limit_s) if system == "stplus" else RuntimeError("gimvi failed: No")
            )
        assert not set(folds[0].targets) & set(folds[0].spatial.var_names)
        return [Answer({}, {"name": "a system", "cpu_seconds": 1.0 * n_cells, "peak_gib": 0.5})]

    monkeypatch.setattr(cost, "SIZES", (30, 60, 90))
    monkeypatch.setattr(_measure, "answers", answer)
    table = cost.measure(None, 0, "stplus")
    assert list(table["cells"]) == [30, 60]
    assert table["seconds"].iloc[0] == 30
    assert list(table["error"].dropna()) == ["more than 10 min"]
    assert list(cost.measure(None, 0, "gimvi")["error"].dropna()) == ["No"]


def test_a_gain_is_over_the_real_pairs_that_both_methods_have():
    rows = [("OSMFISH", "a", 0.6), ("OSMFISH", "b", 0.5), ("STARMAP_V1", "a", 0.3), ("STARMAP_V1", "b", 0.25)]
    rows += [("MERFISH_HYPOTHALAMUS", "a", 0.9), (_compare.SIMULATED, "a", 0.1), (_compare.SIMULATED, "b", 0.9)]
    table = pd.DataFrame(rows, columns=["pair", "method", "css"])
    assert _beside.gain_over(table, "css", "a", "b") == "+20.0% (2 pairs)"
    assert _beside.gain_over(table, "css", "a", "c") == ""
    assert _beside.less_than(table.assign(css=10 * table["css"]), "css", "b", "a") == "0.75 (2 pairs)"
    assert _beside.mean_of(table, "css", "a") == "0.60 (3 pairs)"
    assert _beside.mean_of(table, "css", "c") == ""


def test_speed_is_compared_on_the_largest_section_of_the_paper_recipe_and_another():
    rows = [(1000, "paper", 5.0), (4000, "paper", 30.0), (4000, "stPlus", 10.0), (9000, "stPlus", 90.0)]
    rows += [(1000, "SpaGE", 1.0), (4000, "crossfit", 1.0), (64_000, "paper", 99.0), (64_000, "crossfit", 2.0)]
    costs = pd.DataFrame(rows, columns=["cells", "method", "seconds"])
    page, empty = Page(), Page()
    _cost_claims.add_speed(costs, page)
    assert "With 4,000 cells the CPU seconds of `paper` are 3.0 times those of stPlus." in page.parts[0]
    (verdict,) = page.verdicts
    assert "like that of gimVI" in verdict["claim"]
    assert (verdict["verdict"], verdict["evidence"][:29]) == ("does not hold", "30 s against 10 s of stPlus (")
    _cost_claims.add_speed(costs[:2], empty)
    assert not empty.parts


def test_levels_are_compared_gene_by_gene():
    truth = np.array([[0.0, 1.0], [2.0, 3.0]])
    ratios = _score._ratios(SimpleNamespace(truth=truth, predicted=np.column_stack([2 * truth[:, 0], [2.0, 2.0]])))
    np.testing.assert_allclose(ratios["mean_ratio"], [2, 1])
    np.testing.assert_allclose(ratios["sd_ratio"], [2, 0])


def test_tangram_is_asked_for_more_and_the_others_for_less(tmp_path, monkeypatch):
    monkeypatch.setattr(_page, "DOCS", tmp_path)
    page = Page(tmp_path)
    levels = {"Tangram": 3.0, "TransImpLR": 0.5, "gimVI (200 epochs)": 0.4}
    rows = [
        {"pair": pair, "seed": 1, "method": name, "gene": gene, "mean_ratio": level, "sd_ratio": level}
        for pair in ("OSMFISH", "STARMAP_V1")
        for gene in ("Rorb", "Slc32a1", "Gfap")
        for name, level in levels.items()
    ]
    without = {"pair": "OSMFISH", "seed": 0, "method": "Tangram", "gene": "Rorb"}  # made before there were ratios
    table = pd.DataFrame([*rows, without])
    table.loc[(table["pair"] == "STARMAP_V1") & (table["gene"] == "Slc32a1"), "mean_ratio"] = 2.0
    _patterns_page._show_systems(table, page)
    assert [verdict["verdict"] for verdict in page.verdicts] == ["holds", "mixed"]
    assert "STARMAP_V1, TransImpLR: 2.00" in page.verdicts[1]["evidence"]
    without_one = table[(table["pair"] == "OSMFISH") | (table["method"] != "Tangram")]
    _patterns_page._show_systems(without_one, page)
    assert [verdict["verdict"] for verdict in page.verdicts[2:]] == ["too few data"] * 2
    _patterns_page._show_systems(table[["pair", "seed", "method", "gene"]], page)  # nothing was measured
    assert [verdict["verdict"] for verdict in page.verdicts[4:]] == ["not measured yet"] * 2

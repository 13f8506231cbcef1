"""The page on the paper is made from tables of any studies, whole or in part; nothing is measured here."""

import re
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stimpute.recipes import _registry

ROOT = Path(__file__).parents[1]
pytestmark = [
    pytest.mark.skipif(not (ROOT / "benchmarks").is_dir(), reason="runs in the repository"),
    pytest.mark.slow,
]
GENES = [f"gene{i}" for i in range(8)]
METHODS = ("measured", "paper", "crossfit", "kNN", "SpaGE", "paper, reference permuted", "crossfit, reference permuted")
QUANTILES = ("mean", "lowest 5 %", "lower quarter", "median", "upper quarter", "highest 5 %")
SCORES = ["css", "js", "mse", "pcc", "rmse_z", "spearman", "ssim", "r2", "pcc_partial", "pcc_within"]
CALIBRATED = ["css_calibrated", "mse_calibrated", "js_calibrated", "r2_calibrated", "pcc_calibrated"]
OTHERS = ["reliability", "reference_mean", "reference_std", "post_hoc", "post_hoc_noisy"]


@pytest.fixture(scope="module")
def paper():
    """The package of the studies; the recipes that it registers are removed afterwards."""
    registered = dict(_registry._registered)
    sys.path.insert(0, str(ROOT))
    from benchmarks.paper import _cache, _page, _study

    yield _page, _cache, _study.all_studies()
    sys.path.remove(str(ROOT))
    _registry._registered.clear()
    _registry._registered.update(registered)


def numbers(columns, n_rows, seed):
    random = np.random.default_rng(seed)
    return pd.DataFrame(random.uniform(0.1, 0.9, (n_rows, len(columns))), columns=list(columns))


def grid(**levels):
    return pd.DataFrame(list(product(*levels.values())), columns=list(levels))


def with_numbers(table, columns, seed):
    return table.join(numbers(columns, len(table), seed))


def by_gene_and_cell(methods, seed):
    genes = grid(method=methods, gene=GENES).assign(axis="gene", fold=np.tile(np.arange(8) % 2, len(methods)))
    cells = grid(method=methods, gene=QUANTILES).assign(axis="cell")
    table = pd.concat([genes, cells], ignore_index=True)
    return with_numbers(table, [*SCORES, *CALIBRATED, *OTHERS], seed)


def split(part):
    name, rest = part.split("; ")
    return [name] if name != "plain" else ["kNN", "ridge", "constant"], rest


def accuracy(pair, seed, part):
    name = part.removesuffix(", published totals")
    plain = ["constant", "reference mean, calibrated", "kNN", "ridge", "ridge + mean of the visible panel"]
    oracles = ["the gene itself, learned in other cells (oracle)"]
    methods = {"plain": plain, "own values": oracles}.get(name, [name])
    return by_gene_and_cell(methods, seed).assign(totals="input" if name == part else "all")


def data(pair, seed, part):
    columns = ["cells", "genes", "median count per cell", "median genes per cell", "zeros"]
    used = {"cells used": 100, "genes used": 10, "of these with a vector": 5}
    return with_numbers(grid(data=["spatial", "reference"]), columns, seed).assign(**used)


def nulls(pair, seed, part):
    methods, null = split(part)
    return by_gene_and_cell(methods, seed).assign(null=null)


def reserved(pair, seed, part):
    methods, percent = split(part)
    table = by_gene_and_cell(methods, seed).assign(percent=int(percent.split()[0]))
    cells = ["all cells", "cells that were trained on", "cells that were not trained on"]
    return pd.concat([table.assign(cells=name) for name in (cells if len(methods) == 1 else cells[:1])])


def another_section(pair, seed, part):
    recipes = [f"{part}, trained on this section", f"{part}, trained on the other animal"]
    return by_gene_and_cell(["kNN", "constant"] if part == "plain" else recipes, seed)


def preprocessing(pair, seed, part):
    methods, variant = split(part)
    return by_gene_and_cell(methods, seed).assign(preprocessing=variant)


def reliability(pair, seed, part):
    return with_numbers(grid(exchanged=[0, 0.5, 1], gene=GENES), ["reliability", "pcc"], seed).assign(method=part)


def ablations(pair, seed, part):
    return by_gene_and_cell([part], seed)


def sensitivity(pair, seed, part):
    recipe, option = part.split("; ")
    tables = [by_gene_and_cell([recipe], seed).assign(option=option, value=value) for value in ("1", "2")]
    return pd.concat(tables)


def systems(pair, seed, part):
    methods = ["constant", "kNN", "SpaGE", "stimpute, crossfit", "stimpute, paper"]
    columns = [*SCORES, "css_calibrated", "mse_calibrated", "ssim_calibrated", "js_calibrated", "cell_pcc", "cell_css"]
    columns += ["cell_pcc_calibrated", "cell_css_calibrated"]
    columns += ["cpu_seconds", "wall_seconds", "peak_gib", "coverage", "above_zero", "width"]
    table = with_numbers(grid(method=methods, gene=[*GENES, ""]), columns, seed)
    whole = table["gene"] == ""
    table = table.assign(device=np.where(whole, "cpu", None), error=None)
    return pd.concat([table, pd.DataFrame([{"method": "stPlus", "error": "RuntimeError: no CUDA"}])])


def clusters(methods, seed):
    table = grid(method=methods, resolution=[0.25, 0.5, 1.0, 1.5, 2.0])
    columns = ["ari", "fmi", "completeness", "ami", "homogeneity", "nmi", "v_measure"]
    return with_numbers(table, columns, seed).assign(n_clusters=5)


def clustering(pair, seed, part):
    table = clusters([*METHODS, "measured, labels permuted"], seed).assign(part="scores")
    if seed:
        return table
    maps = grid(part=["map"], method=["measured", "paper", "crossfit"], cell_type=["a", "b"])
    return pd.concat([table, with_numbers(maps, ["x", "y"], seed)])


def unmeasured(pair, seed, part):
    tables = [clusters(METHODS[1:], seed).assign(genes=name) for name in ("all genes, PCA", "50 most variable genes")]
    panel = ["measured", "measured, genes of the reference only", "measured, labels permuted"]
    return pd.concat([*tables, clusters(panel, seed)]).assign(n_genes=50)


def modules(pair, seed, part):
    columns = ["ari", "correlation of correlations", "nearest found", "mean absolute correlation"]
    columns.append("measured mean absolute correlation")
    agreement = with_numbers(grid(method=[*METHODS[1:], "reference itself", "measured, cells permuted"]), columns, seed)
    agreement = agreement.assign(part="agreement", modules=3, **{"modules measured": 4})
    named = grid(**{"pair of genes": ["C1qa, C1qb", "Lyz2, Pf4"], "method": ["in the data", *METHODS[1:]]})
    named = with_numbers(named, ["correlation of the two", "same module by chance"], seed).assign(
        part="named", both=True
    )
    return pd.concat([agreement, named.assign(rank=2, n_genes=50, modules=3, **{"same module": True})])


def patterns(pair, seed, part):
    genes = ["Rorb", "Gfap"]
    columns = ["pcc", "css", "mse", "ssim", "PCC within types", "mean, predicted / measured"]
    columns += ["sd, predicted / measured", "Moran's I measured", "Moran's I"]
    tables = [with_numbers(grid(part=["scores"], method=METHODS[1:], gene=genes), columns, seed)]
    regions = grid(part=["regions"], method=METHODS, gene=genes, region=["layer 2", "layer 4"])
    tables.append(with_numbers(regions, ["mean"], seed))
    if seed == 0:
        maps = [f"{gene}, {name}" for gene in genes for name in ("measured", "paper", "crossfit")]
        tables.append(numbers(["x", "y", *maps], 5, seed).assign(part="map"))
    return pd.concat(tables)


def downstream(pair, seed, part):
    columns = ["type accuracy", "markers per type", "marker rank", "top markers found", "false markers", "domain ARI"]
    columns += ["Moran's I", "Moran's I higher", "Moran's I rank"]
    table = with_numbers(grid(method=[*METHODS, "measured, cells permuted"]), columns, seed)
    return table.assign(types=5, genes=8)


def ligand_receptor(pair, seed, part):
    columns = ["significant", "of these measured", "of the measured, found", "rank correlation of scores"]
    table = grid(
        genes=["random pairs of genes", "Pnoc, Oprl1"],
        method=[*METHODS, "measured, cells permuted", "measured, in half of the cells"],
    )
    return with_numbers(table, columns, seed).assign(tests=100)


def needs(pair, seed, part):
    levels = [("all", "all"), ("shared genes", "5"), ("shared genes", "10"), ("reference cells", "100")]
    levels += [("depth of the reference", "50%"), ("cells of the section", "100")]
    levels += [("noise in positions, cell distances", "1"), ("clusters of the reference, of 8", "4")]
    table = grid(level=levels, method=["crossfit", "paper", "kNN"])
    table[["needs", "level"]] = table["level"].tolist()
    metrics = ["pcc", "spearman", "css", "mse"]
    table = with_numbers(table, [*metrics, *(f"{name}, all data" for name in metrics)], seed)
    return table.assign(genes=10, cells=100, refused=0.0, **{"reference cells": 100})


def cost(pair, seed, part):
    table = grid(cells=[1000, 4000, 16_000], method=[part])
    stages = ["train_seconds", "impute_seconds", "seconds", "cpu_seconds", "peak_gib", "gib"]
    return with_numbers(table, stages, seed)


MADE_UP = {
    function.__name__: function
    for function in (accuracy, data, nulls, reserved, another_section, preprocessing, reliability, ablations)
    + (sensitivity, systems, clustering, unmeasured, modules, patterns, downstream, ligand_receptor, needs, cost)
}


def keep(cache, task):
    """Write a made-up table where a measured one would be."""
    path = cache.path_of(task)
    path.parent.mkdir(parents=True, exist_ok=True)
    MADE_UP[task.study](task.pair, task.seed, task.part).to_csv(path, index=False)
    path.with_suffix(".json").write_text('{"commit": "1234567"}')


@pytest.fixture
def only_text(monkeypatch, paper):
    """Save no figures: that takes time."""
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda *given, **options: None)


def test_every_study_has_its_parts(paper):
    *_, studies = paper
    assert set(studies) == set(MADE_UP)
    for name, study in studies.items():
        assert study.title, name
        assert "?" in study.question, name
        assert len(set(study.parts)) == len(study.parts), name


def pages_of(docs):
    """Join the page with the verdicts and those of the studies."""
    return "\n".join(path.read_text() for path in [docs / "paper.md", *sorted((docs / "paper").glob("*.md"))])


def test_page_of_all_studies(paper, tmp_path, monkeypatch, only_text):
    page, cache, studies = paper
    from benchmarks.paper._study import tasks_of
    from benchmarks.paper._verdicts import ORDER

    monkeypatch.setattr(cache, "RESULTS", tmp_path / "results")
    for name, study in studies.items():
        pairs = [pair for pair in ("OSMFISH", "MERFISH_HYPOTHALAMUS", "SYNTHETIC") if pair in study.pairs]
        for task in tasks_of(name, study):
            if task.pair in pairs[:2] and task.seed == 0:
                keep(cache, task)
    written = page.write_page(tmp_path)
    text = pages_of(tmp_path)
    for name, study in studies.items():
        assert f"[{study.title}](paper/{name}.md)" in (tmp_path / "paper.md").read_text()
        assert (tmp_path / "paper" / f"{name}.md").read_text().startswith(f"# {study.title}\n")
    assert "nan" not in re.findall(r"\w+", text)
    assert {verdict["verdict"] for verdict in written.verdicts} <= set(ORDER)


@pytest.mark.parametrize("n_parts", [1, 2])
def test_sections_of_studies_that_were_measured_in_part(n_parts, paper, tmp_path, monkeypatch, only_text):
    page, cache, studies = paper
    from benchmarks.paper._study import Task

    monkeypatch.setattr(cache, "RESULTS", tmp_path / "results")
    for name, study in studies.items():
        for part in study.parts[-n_parts:]:
            keep(cache, Task(name, study.pairs[0], 0, part))
    written = page.write_page(tmp_path)
    assert "**Measured in part**" in pages_of(tmp_path)
    tested = [verdict for verdict in written.verdicts if "OSMFISH:" in verdict["evidence"]]
    sources = [verdict["evidence"] for verdict in tested if verdict["verdict"] in ("holds", "holds in part")]
    assert all("RESULTS.md" in evidence for evidence in sources)  # one pair is too few


def test_page_without_results(paper, tmp_path, monkeypatch):
    page, cache, studies = paper
    monkeypatch.setattr(cache, "RESULTS", tmp_path / "results")
    written = page.write_page(tmp_path)
    missing = [verdict["claim"] for verdict in written.verdicts if verdict["verdict"] == "not measured yet"]
    assert missing == [study.title for study in studies.values()]


def test_page_is_made_from_the_results_that_are_kept(paper, tmp_path, only_text):
    page, *_ = paper
    page.write_page(tmp_path)
    made, kept = (pages_of(folder) for folder in (tmp_path, ROOT / "docs"))
    without_commits = [re.sub(r", commit [0-9a-f, ]+\.", ".", text) for text in (made, kept)]
    assert without_commits[0] == without_commits[1], "run `python -m benchmarks.paper --page`"
    figures = re.findall(r"{figure} (\S+)", kept)
    assert len(figures) <= 20
    assert all((ROOT / "docs" / path.removeprefix("../")).stat().st_size < 150_000 for path in figures)


def test_verdicts_name_losses_and_count_a_section_once(paper):
    from benchmarks.paper._compare import judge

    pairs = ["OSMFISH", "STARMAP_V1", "SYNTHETIC"]
    assert judge([True, True, False], pairs) == "holds"
    assert judge([True, False, True], pairs, [False, True, False]) == "mixed"
    assert judge([True, False, True], pairs) == "holds in part"
    assert judge([False, False, True], pairs, [True, False, False]) == "does not hold"
    assert judge([True, True], ["OSMFISH", "OSMFISH_VISP"]) == "too few data"
    assert judge([], []) == "too few data"


def permuted_is_as_good(pair, seed, part):
    """Make up ablations in which ESM-2 beats co-expression, and its permutation does, too."""
    table = by_gene_and_cell([part], seed)
    worse = part == "paper, no ESM-2 (co-expression)"
    table["mse"] += worse
    table[["css", "pcc"]] -= worse
    return table


@pytest.mark.parametrize("is_control_better", [True, False])
def test_the_control_decides_on_the_central_claim(is_control_better, paper, tmp_path, monkeypatch, only_text):
    page, cache, studies = paper
    from benchmarks.paper._study import Task

    monkeypatch.setattr(cache, "RESULTS", tmp_path / "results")
    monkeypatch.setitem(MADE_UP, "ablations", permuted_is_as_good)
    for pair in ("OSMFISH", "MERFISH_HYPOTHALAMUS"):
        keep(cache, Task("accuracy", pair, 0, "paper"))
        for part in ("paper, no ESM-2 (co-expression)", "paper, PERMUTED vectors"):
            keep(cache, Task("ablations", pair, 0, part))
        if not is_control_better:
            path = cache.path_of(Task("ablations", pair, 0, "paper, PERMUTED vectors"))
            table = pd.read_csv(path)
            table.assign(mse=table["mse"] + 2, css=table["css"] - 2, pcc=table["pcc"] - 2).to_csv(path, index=False)
    summary = page.write_page(tmp_path).summary
    assert "2 of 2 (CSS), 2 of 2 (MSE), 2 of 2 (PCC)" in summary
    assert ("is not reproduced" in summary) == is_control_better
    assert ("is reproduced by" in summary) != is_control_better


def test_page_with_a_pair_of_the_paper(paper, tmp_path, monkeypatch, only_text):
    page, cache, studies = paper
    from benchmarks.paper._study import PAPER_PAIRS, Task

    monkeypatch.setattr(cache, "RESULTS", tmp_path / "results")
    for name in ("data", "accuracy", "ablations", "reserved"):
        for part, pair in product(studies[name].parts, ("MERFISH_HYPOTHALAMUS", "osmFISH_Zeisel", "Xenium_GSM5051495")):
            keep(cache, Task(name, pair, 0, part))
    written = page.write_page(tmp_path)
    assert set(PAPER_PAIRS) >= {"osmFISH_Zeisel", "Xenium_GSM5051495"}
    assert "osmFISH_Zeisel" in (tmp_path / "paper" / "accuracy.md").read_text()
    claims = {verdict["claim"]: verdict["evidence"] for verdict in written.verdicts}
    assert any("Xenium_GSM5051495 was measured" in evidence for evidence in claims.values())


@pytest.fixture(scope="module")
def fold(paper):
    """One fold of the synthetic tissue."""
    from stimpute import datasets, tl

    tissue = datasets.synthetic_tissue(n_cells=150, n_reference=200)
    return tl.gene_folds(tissue.spatial, tissue.reference)[0]


def test_ridge_chooses_its_settings_without_the_held_out_genes(fold):
    from dataclasses import replace

    from benchmarks.paper._rivals import WEIGHTS, ridge, ridge_and_panel_mean, ridge_scores

    from stimpute.tl.metrics import pcc

    predicted = ridge_and_panel_mean(fold)
    assert predicted.shape == fold.truth.shape
    assert np.array_equal(predicted, ridge_and_panel_mean(replace(fold, truth=np.zeros_like(fold.truth))))
    reached = [pcc(fold.truth, scores).mean() for scores in ridge_scores(fold, WEIGHTS)]
    assert np.mean(reached) < pcc(fold.truth, predicted).mean() <= max(reached) + 0.01
    assert pcc(fold.truth, ridge(fold)).mean() > 0.2


def test_composition_of_the_reference_is_shifted(fold):
    from benchmarks.paper.needs import _clusters, other_proportions

    labels = _clusters(fold)
    most = (labels == np.bincount(labels).argmax()).sum()
    others = len(labels) - most
    left = [level.change(fold, np.random.default_rng(0)).reference.n_obs for level in other_proportions(fold)]
    assert others <= left[1] <= left[0] < len(labels)
    assert most <= left[2] < most + others / 2


def test_best_other_system_counts_where_the_cells_are_the_same(paper, tmp_path, monkeypatch):
    _, cache, studies = paper
    from benchmarks.paper._accuracy_figures import best_others
    from benchmarks.paper._study import Task

    monkeypatch.setattr(cache, "RESULTS", tmp_path)
    for pair in ("OSMFISH", "STARMAP_V1"):
        keep(cache, Task("systems", pair, 0, "kNN"))
    measured = cache.read("systems", studies["systems"])
    knn = measured[(measured["method"] == "kNN") & measured["gene"].notna()].assign(axis="gene")
    assert list(best_others(knn).index) == ["OSMFISH", "STARMAP_V1"]
    assert set(best_others(knn)["method"]) == {"SpaGE"}
    other_cells = knn.assign(pcc=knn["pcc"].where(knn["pair"] == "OSMFISH", knn["pcc"] + 0.01))
    assert list(best_others(other_cells).index) == ["OSMFISH"]


def test_null_rows_and_true_rows_have_the_same_cells(paper):
    *_, studies = paper
    assert studies["nulls"].all_cells == studies["accuracy"].all_cells
    assert studies["nulls"].n_cells == studies["accuracy"].n_cells


def test_a_claim_against_peers_is_judged_where_all_of_them_were_measured(paper):
    from benchmarks.paper._against_peers import PEERS, judge_complete

    rows = [(pair, peer) for pair in ("OSMFISH", "STARMAP_V1") for peer in PEERS]
    results = pd.DataFrame([*rows, ("OSMFISH_VISP", PEERS[0])], columns=["pair", "method"])
    better = results.assign(better=results["pair"] != "OSMFISH_VISP").set_index(["pair", "method"])["better"]
    verdict, missing = judge_complete(better, results)
    assert verdict == "holds"
    assert f"without {', '.join(PEERS[1:])} on OSMFISH_VISP" in missing
    few = results[results["pair"] != "STARMAP_V1"]
    assert judge_complete(better[results["pair"].to_numpy() != "STARMAP_V1"], few)[0] == "too few data"


def test_a_system_that_is_not_installed_is_no_result(paper, monkeypatch, tmp_path):
    from peers import _measure

    *_, studies = paper
    failed = type("Done", (), {"returncode": 1, "stderr": "Traceback\nModuleNotFoundError: No module named 'tissue'"})
    monkeypatch.setattr(_measure, "PARTS", tmp_path)
    monkeypatch.setattr(_measure, "folds_of", lambda pair, seed: [None] * _measure.N_FOLDS)
    monkeypatch.setattr(_measure, "write_fold", lambda folder, fold: folder.mkdir())
    monkeypatch.setattr(_measure.subprocess, "run", lambda *given, **options: failed)
    pair = type("Pair", (), {"name": "OSMFISH"})
    with pytest.raises(_measure.NotInstalledError, match="--install"):
        studies["systems"].measure(pair, 0, "spage")
    assert not list(tmp_path.rglob("*.error"))
    failed.stderr = "RuntimeError: no CUDA"
    assert list(studies["systems"].measure(pair, 0, "spage")["error"]) == ["RuntimeError: no CUDA"]


def test_a_pair_with_other_cells_gets_its_bars_from_the_study_of_systems(paper, tmp_path, monkeypatch):
    page, cache, studies = paper
    from benchmarks.paper._accuracy_figures import draw_front
    from benchmarks.paper._study import Task

    monkeypatch.setattr(cache, "RESULTS", tmp_path)
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda *given, **options: None)
    for pair in ("OSMFISH", "OSMFISH_VISP"):
        keep(cache, Task("systems", pair, 0, "kNN"))
        for part in ("crossfit", "paper", "plain"):
            keep(cache, Task("accuracy", pair, 0, part))
        keep(cache, Task("nulls", pair, 0, "crossfit; reference values of the gene permuted"))
    free = cache.read("accuracy", studies["accuracy"])
    measured = cache.read("systems", studies["systems"])
    same = measured[(measured["method"] == "kNN") & measured["gene"].notna() & (measured["pair"] == "OSMFISH")]
    free = pd.concat([free[(free["method"] != "kNN") | (free["pair"] != "OSMFISH")], same.assign(axis="gene")])
    written = page.Page(tmp_path)
    draw_front(free, written)
    assert "OSMFISH_VISP: ridge and both lines are from the study of accuracy" in written.front
    assert "OSMFISH:" not in written.front
    assert "reference values" in written.front


def test_dots_have_a_panel_for_each_pair_and_metric(paper):
    from benchmarks.paper._figures import dots, over_genes

    genes = with_numbers(
        grid(pair=["OSMFISH", "STARMAP_V1"], seed=[0, 1], method=["paper", "kNN"], gene=GENES), ["pcc"], 0
    )
    found = over_genes(genes, "pcc", ["pair", "method"])
    chosen = genes[(genes["pair"] == "OSMFISH") & (genes["method"] == "paper")]
    row = found[(found["pair"] == "OSMFISH") & (found["method"] == "paper")].iloc[0]
    assert row["mean"] == pytest.approx(chosen["pcc"].mean())
    assert row["half"] == pytest.approx(1.96 * chosen.groupby("seed")["pcc"].sem().mean())
    table = pd.concat([found.assign(metric=name, row=found["method"], series="all") for name in ("PCC", "CSS")])
    lines = found[found["method"] == "kNN"].assign(metric="PCC", label="kNN")
    assert [len(dots(table, lines, side_by_side=way).axes) for way in (False, True)] == [4, 4]
    shapes = [dots(table, side_by_side=way).axes[0].get_gridspec().get_geometry() for way in (False, True)]
    assert shapes == [(2, 2), (1, 4)]


def test_scores_that_need_no_gene_are_named(paper):
    from benchmarks.paper._without_the_gene import without_the_gene

    results = pd.DataFrame(
        [
            ("OSMFISH", "measured", 0.4),
            ("OSMFISH", "paper, reference permuted", 0.5),
            ("STARMAP_V1", "measured", 0.4),
            ("STARMAP_V1", "crossfit, reference permuted", 0.1),
        ],
        columns=["pair", "method", "ari"],
    )
    text = without_the_gene(results, {"ari": "ARI"})
    assert "OSMFISH (0.500 of paper, reference permuted, 0.400 measured)" in text
    assert "STARMAP_V1" not in text
    assert without_the_gene(results[results["pair"] == "STARMAP_V1"], {"ari": "ARI"}) == ""


def test_gains_of_other_systems_are_compared_with_that_of_the_paper(paper):
    from benchmarks.paper._page import Page
    from benchmarks.paper._reliability_page import _judge_comparable

    rows = [
        (pair, method, score, 0.5, 0.5 + gain)
        for pair, of_spage in (("OSMFISH", 0.1), ("STARMAP_V1", 0.03))
        for method, score, gain in (("paper", "own", 0.06), ("SpaGE", "post hoc", of_spage))
    ]
    frame = pd.DataFrame(rows, columns=["pair", "method", "score", "all", "top half"]).assign(seed=0)
    page = Page()
    _judge_comparable(frame, page)
    assert page.verdicts[0]["verdict"] == "holds in part"
    assert "STARMAP_V1: SpaGE +0.030, paper +0.060" in page.verdicts[0]["evidence"]


def test_boosting_chooses_its_settings_without_the_held_out_genes(fold, monkeypatch):
    from dataclasses import replace

    from benchmarks.paper import _rivals

    from stimpute.tl.metrics import pcc

    monkeypatch.setitem(_rivals.BOOSTING, "max_iter", 10)
    monkeypatch.setattr(_rivals, "ROUNDS", (2, 10))
    predicted = _rivals.boosting_and_panel_mean(fold)
    assert predicted.shape == fold.truth.shape
    blind = replace(fold, truth=np.zeros_like(fold.truth))
    assert np.array_equal(predicted, _rivals.boosting_and_panel_mean(blind))
    alone = _rivals.boosting(fold)
    assert pcc(fold.truth, predicted).mean() > pcc(fold.truth, alone).mean() - 0.02
